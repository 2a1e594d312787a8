"""The GRU as PyTorch and cuDNN have it (Cho et al. 2014, with the reset gate after the recurrent product).

    r = sigmoid(Wxr x + Wr a_prev + br)
    z = sigmoid(Wxz x + Wz a_prev + bz)
    n = tanh(Wxn x + bn + r * (Wn a_prev + bna))
    a = (1 - z) n + z a_prev

Gates are stacked r, z, n; the candidate's recurrent product has the bias `bna` of its own.
"""

from __future__ import annotations

import numpy as np

from rnncli.cells.cell import State, Tensors, initialise_gates_
from rnncli.cells.inputs import Inputs, gate_inputs, to_rows, to_steps, weight_gradients_
from rnncli.parameters import Array, Shapes

Cache = tuple[Inputs, Array, Array, Array]


class Gru:
    """Same result as `reference.gru_forward` and `gru_backward`; a test of the engines holds them together."""

    states: tuple[str, ...] = ("a",)

    def shapes(self, n_x: int, n_a: int) -> Shapes:
        return {"Wxa": (n_x, 3 * n_a), "Waa": (3 * n_a, n_a), "ba": (3 * n_a,), "bna": (n_a,)}

    def initialise_(self, p: Tensors, rng: np.random.Generator) -> None:
        initialise_gates_(p, rng)
        p["bna"][...] = 0

    def forward(self, p: Tensors, x: Inputs, state: State) -> tuple[Array, State, Cache]:
        gates = gate_inputs(p, x)  # (T, 3 n_a, B)
        n_a, B = p["Waa"].shape[1], gates.shape[2]
        a = np.empty((x.T + 1, n_a, B), gates.dtype)
        a[0] = state[0]
        recurrent = np.empty_like(gates)
        bna = p["bna"][:, None]
        for t in range(x.T):
            g, u = gates[t], np.matmul(p["Waa"], a[t], out=recurrent[t])  # (3 n_a, n_a) @ (n_a, B)
            u[2 * n_a :] += bna
            rz, n = g[: 2 * n_a], g[2 * n_a :]
            rz += u[: 2 * n_a]
            rz *= 0.5  # sigmoid(z) = tanh(z / 2) / 2 + 1 / 2
            np.tanh(rz, out=rz)
            rz *= 0.5
            rz += 0.5
            n += rz[:n_a] * u[2 * n_a :]
            np.tanh(n, out=n)
            np.subtract(a[t], n, out=a[t + 1])
            a[t + 1] *= rz[n_a:]
            a[t + 1] += n
        return to_rows(a[1:]), (a[-1],), (x, gates, a, recurrent[:, 2 * n_a :])

    def backward_(
        self, p: Tensors, g: Tensors, dhidden: Array, dstate: State, cache: Cache
    ) -> tuple[Array | None, State]:
        x, gates, a, u = cache  # u = Wn a_prev + bna
        n_a = p["Waa"].shape[1]
        r, z, n = (gates[:, k * n_a : (k + 1) * n_a] for k in range(3))
        dh = to_steps(dhidden, x.T)
        # What multiplies da in each gate does not depend on it: over all steps at once.
        dgates, du = np.empty_like(gates), np.empty_like(gates)
        np.multiply(1 - z, 1 - n * n, out=dgates[:, 2 * n_a :])
        np.multiply(a[:-1] - n, z * (1 - z), out=dgates[:, n_a : 2 * n_a])
        np.multiply(dgates[:, 2 * n_a :], u * r * (1 - r), out=dgates[:, :n_a])
        WaaT = np.ascontiguousarray(p["Waa"].T)
        da = dstate[0]
        for t in reversed(range(x.T)):
            da = dh[t] + da
            for k in range(3):
                dgates[t, k * n_a : (k + 1) * n_a] *= da
            du[t, : 2 * n_a] = dgates[t, : 2 * n_a]
            np.multiply(dgates[t, 2 * n_a :], r[t], out=du[t, 2 * n_a :])
            da = da * z[t] + WaaT @ du[t]
        np.sum(du[:, 2 * n_a :], axis=(0, 2), out=g["bna"])
        return weight_gradients_(p, g, x, a, dgates, du), (da,)
