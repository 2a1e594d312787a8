"""The basic recurrent cell (notebooks 000 to 004): a<t> = tanh(Waa a<t-1> + Wax x<t> + ba)."""

from __future__ import annotations

import numpy as np

from rnncli.model.buffers import Buffers
from rnncli.model.cells.base import LayerState, initialise_gates_
from rnncli.model.cells.inputs import Inputs, gate_inputs, hidden_rows, to_steps, transposed, weight_gradients_
from rnncli.model.parameters import Section
from rnncli.system.arrays import Array, Shapes, Tensors

Cache = tuple[Inputs, Array]


class Rnn:
    """Same result as `reference.rnn_forward` and `rnn_backward`; a test of the engines compares them."""

    states: tuple[str, ...] = ("a",)

    def shapes(self, n_x: int, n_a: int) -> Shapes:
        return {"Wxa": (n_x, n_a), "Waa": (n_a, n_a), "ba": (n_a,)}

    def initialise_(self, p: Tensors, rng: np.random.Generator) -> None:
        initialise_gates_(p, rng)

    def forward(self, p: Tensors, x: Inputs, state: LayerState, buffers: Buffers) -> tuple[Array, LayerState, Cache]:
        z = gate_inputs(p, x, buffers)  # (T, n_a, B)
        a = buffers.array("a", (x.T + 1, *z.shape[1:]), z.dtype)
        a[0] = state[0]
        for t in range(x.T):
            np.matmul(p["Waa"], a[t], out=a[t + 1])  # (n_a, n_a) @ (n_a, B)
            a[t + 1] += z[t]
            np.tanh(a[t + 1], out=a[t + 1])
        return hidden_rows(a, buffers), (a[-1].copy(),), (x, a)

    def backward_(
        self, p: Tensors, g: Section, dhidden: Array, dlast: LayerState, cache: Cache, buffers: Buffers
    ) -> tuple[Array | None, LayerState]:
        x, a = cache
        dh, dz = (buffers.scratch(name, a[1:].shape, a.dtype) for name in ("dh", "dz"))
        to_steps(dhidden, dh)
        np.multiply(a[1:], a[1:], out=dz)
        np.subtract(1, dz, out=dz)  # tanh' at every step, (T, n_a, B)
        WaaT = transposed(p["Waa"], buffers)
        da = dlast[0].copy()
        for t in reversed(range(x.T)):
            da += dh[t]
            dz[t] *= da
            np.matmul(WaaT, dz[t], out=da)
        return weight_gradients_(p, g, x, a, dz, buffers), (da,)
