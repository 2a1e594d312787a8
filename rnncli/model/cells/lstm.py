"""The LSTM with a forget gate (Hochreiter and Schmidhuber 1997, Gers et al. 2000; notebooks 001 to 003).

Gates are stacked f, i, o, c~ (the course's Gamma_f, Gamma_i or Gamma_u, Gamma_o and the candidate).
"""

from __future__ import annotations

import numpy as np

from rnncli.model.buffers import Buffers
from rnncli.model.cells.base import LayerState, initialise_gates_
from rnncli.model.cells.inputs import Inputs, gate_inputs, hidden_rows, to_steps, transposed, weight_gradients_
from rnncli.model.parameters import Section
from rnncli.system.arrays import Array, Shapes, Tensors

Cache = tuple[Inputs, Array, Array, Array, Array]


class Lstm:
    """Same result as `reference.lstm_forward` and `lstm_backward`; a test of the engines compares them.

    forget_bias: the starting value of the bias of the forget gate; 1: it is open at the start (Jozefowicz et al. 2015).
    """

    states: tuple[str, ...] = ("a", "c")

    def __init__(self, forget_bias: float = 1.0) -> None:
        self.forget_bias = forget_bias

    def shapes(self, n_x: int, n_a: int) -> Shapes:
        return {"Wxa": (n_x, 4 * n_a), "Waa": (4 * n_a, n_a), "ba": (4 * n_a,)}

    def initialise_(self, p: Tensors, rng: np.random.Generator) -> None:
        initialise_gates_(p, rng)
        p["ba"][: p["Waa"].shape[1]] = self.forget_bias

    def forward(self, p: Tensors, x: Inputs, state: LayerState, buffers: Buffers) -> tuple[Array, LayerState, Cache]:
        gates = gate_inputs(p, x, buffers)  # (T, 4 n_a, B)
        n_a, T, B, dtype = p["Waa"].shape[1], x.T, x.B, gates.dtype
        a, c = (buffers.array(name, (T + 1, n_a, B), dtype) for name in self.states)
        tanh_c = buffers.array("tanh c", (T, n_a, B), dtype)
        a[0], c[0] = state
        recurrent, remembered = np.empty_like(gates[0]), np.empty_like(a[0])
        of_gates = gates, gates[:, : 3 * n_a], gates.reshape(T, 4, n_a, B)
        of_states = a[:-1], c[:-1], a[1:], c[1:], tanh_c
        for z, z_sigmoid, four, a_prev, c_prev, a_t, c_t, tanh_c_t in zip(*of_gates, *of_states, strict=True):
            z += np.matmul(p["Waa"], a_prev, out=recurrent)  # (4 n_a, n_a) @ (n_a, B)
            z_sigmoid *= 0.5  # sigmoid(z) = tanh(z / 2) / 2 + 1 / 2: one tanh for all four gates
            np.tanh(z, out=z)
            z_sigmoid *= 0.5
            z_sigmoid += 0.5
            f, i, o, candidate = four
            np.multiply(f, c_prev, out=remembered)
            np.multiply(i, candidate, out=c_t)
            c_t += remembered
            np.tanh(c_t, out=tanh_c_t)
            np.multiply(o, tanh_c_t, out=a_t)
        return hidden_rows(a, buffers), (a[-1].copy(), c[-1].copy()), (x, gates, a, c, tanh_c)

    def backward_(
        self, p: Tensors, g: Section, dhidden: Array, dlast: LayerState, cache: Cache, buffers: Buffers
    ) -> tuple[Array | None, LayerState]:
        x, gates, a, c, tanh_c = cache
        n_a = p["Waa"].shape[1]
        f, i, o, candidate = (gates[:, k * n_a : (k + 1) * n_a] for k in range(4))
        dh, da_to_dc = (buffers.scratch(name, tanh_c.shape, dhidden.dtype) for name in ("dh", "da to dc"))
        to_steps(dhidden, dh)
        # The factors of dc and da in each gate do not depend on them: computed for all steps at once.
        dz = buffers.scratch("dz", gates.shape, gates.dtype)
        for k, (factor, gate) in enumerate(((c[:-1], f), (candidate, i), (tanh_c, o))):
            slope = np.subtract(1, gate, out=dz[:, k * n_a : (k + 1) * n_a])
            slope *= gate
            slope *= factor
        slope = np.multiply(candidate, candidate, out=dz[:, 3 * n_a :])
        np.subtract(1, slope, out=slope)
        slope *= i
        np.multiply(tanh_c, tanh_c, out=da_to_dc)
        np.subtract(1, da_to_dc, out=da_to_dc)
        da_to_dc *= o
        WaaT = transposed(p["Waa"], buffers)
        da, dc = (each.copy() for each in dlast)
        T, B = x.T, x.B
        of_gates = dz[:, : 2 * n_a].reshape(T, 2, n_a, B), dz[:, 2 * n_a : 3 * n_a], dz[:, 3 * n_a :], dz
        backwards = (each[::-1] for each in (dh, da_to_dc, f, *of_gates))
        for dh_t, da_to_dc_t, f_t, df_di, do, dcandidate, dz_t in zip(*backwards, strict=True):
            da += dh_t
            da_to_dc_t *= da
            dc += da_to_dc_t
            df_di *= dc
            do *= da
            dcandidate *= dc
            dc *= f_t
            np.matmul(WaaT, dz_t, out=da)
        return weight_gradients_(p, g, x, a, dz, buffers), (da, dc)
