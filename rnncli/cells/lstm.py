"""The LSTM with a forget gate (Hochreiter and Schmidhuber 1997, Gers et al. 2000; notebooks 001 to 003).

Gates are stacked f, i, o, c~ (the course's Gamma_f, Gamma_i or Gamma_u, Gamma_o and the candidate).
"""

from __future__ import annotations

import numpy as np

from rnncli.cells.cell import State, Tensors, initialise_gates_
from rnncli.cells.inputs import Inputs, gate_inputs, to_rows, to_steps, weight_gradients_
from rnncli.parameters import Array, Shapes

Cache = tuple[Inputs, Array, Array, Array, Array]


class Lstm:
    """Same result as `reference.lstm_forward` and `lstm_backward`; a test of the engines holds them together."""

    states: tuple[str, ...] = ("a", "c")

    def shapes(self, n_x: int, n_a: int) -> Shapes:
        return {"Wxa": (n_x, 4 * n_a), "Waa": (4 * n_a, n_a), "ba": (4 * n_a,)}

    def initialise_(self, p: Tensors, rng: np.random.Generator) -> None:
        initialise_gates_(p, rng)
        p["ba"][: p["Waa"].shape[1]] = 1  # an open forget gate at the start (Jozefowicz et al. 2015)

    def forward(self, p: Tensors, x: Inputs, state: State) -> tuple[Array, State, Cache]:
        gates = gate_inputs(p, x)  # (T, 4 n_a, B)
        n_a, B = p["Waa"].shape[1], gates.shape[2]
        a = np.empty((x.T + 1, n_a, B), gates.dtype)
        c = np.empty_like(a)
        tanh_c = np.empty((x.T, n_a, B), gates.dtype)
        a[0], c[0] = state
        recurrent, remembered = np.empty_like(gates[0]), np.empty_like(a[0])
        for t in range(x.T):
            z = gates[t]
            z += np.matmul(p["Waa"], a[t], out=recurrent)  # (4 n_a, n_a) @ (n_a, B)
            z[: 3 * n_a] *= 0.5  # sigmoid(z) = tanh(z / 2) / 2 + 1 / 2: one tanh for all four gates
            np.tanh(z, out=z)
            z[: 3 * n_a] *= 0.5
            z[: 3 * n_a] += 0.5
            f, i, o, candidate = (z[k * n_a : (k + 1) * n_a] for k in range(4))
            np.multiply(f, c[t], out=remembered)
            np.multiply(i, candidate, out=c[t + 1])
            c[t + 1] += remembered
            np.tanh(c[t + 1], out=tanh_c[t])
            np.multiply(o, tanh_c[t], out=a[t + 1])
        return to_rows(a[1:]), (a[-1], c[-1]), (x, gates, a, c, tanh_c)

    def backward_(
        self, p: Tensors, g: Tensors, dhidden: Array, dstate: State, cache: Cache
    ) -> tuple[Array | None, State]:
        x, gates, a, c, tanh_c = cache
        n_a = p["Waa"].shape[1]
        f, i, o, candidate = (gates[:, k * n_a : (k + 1) * n_a] for k in range(4))
        dh = to_steps(dhidden, x.T)
        # What multiplies dc and da in each gate does not depend on them: over all steps at once.
        dz = np.empty_like(gates)
        np.multiply(c[:-1], f * (1 - f), out=dz[:, :n_a])
        np.multiply(candidate, i * (1 - i), out=dz[:, n_a : 2 * n_a])
        np.multiply(tanh_c, o * (1 - o), out=dz[:, 2 * n_a : 3 * n_a])
        np.multiply(i, 1 - candidate * candidate, out=dz[:, 3 * n_a :])
        da_to_dc = o * (1 - tanh_c * tanh_c)
        WaaT = np.ascontiguousarray(p["Waa"].T)
        da, dc = dstate
        for t in reversed(range(x.T)):
            da = dh[t] + da
            dc = dc + da * da_to_dc[t]
            dz[t, :n_a] *= dc
            dz[t, n_a : 2 * n_a] *= dc
            dz[t, 2 * n_a : 3 * n_a] *= da
            dz[t, 3 * n_a :] *= dc
            dc = dc * f[t]
            da = WaaT @ dz[t]
        return weight_gradients_(p, g, x, a, dz), (da, dc)
