"""The basic recurrent cell (notebooks 000 to 004): a<t> = tanh(Waa a<t-1> + Wax x<t> + ba)."""

from __future__ import annotations

import numpy as np

from rnncli.model.buffers import Buffers
from rnncli.model.cells.base import State, Tensors, flops_of_gates, held_of_gates, initialise_gates_
from rnncli.model.cells.inputs import Inputs, gate_inputs, hidden_rows, to_steps, weight_gradients_
from rnncli.model.parameters import Array, Shapes

Cache = tuple[Inputs, Array]


class Rnn:
    """Same result as `reference.rnn_forward` and `rnn_backward`; a test of the engines holds them together."""

    states: tuple[str, ...] = ("a",)

    def shapes(self, n_x: int, n_a: int) -> Shapes:
        return {"Wxa": (n_x, n_a), "Waa": (n_a, n_a), "ba": (n_a,)}

    def initialise_(self, p: Tensors, rng: np.random.Generator) -> None:
        initialise_gates_(p, rng)

    def forward(self, p: Tensors, x: Inputs, state: State, buffers: Buffers) -> tuple[Array, State, Cache]:
        z = gate_inputs(p, x, buffers)  # (T, n_a, B)
        a = buffers.array("a", (x.T + 1, *z.shape[1:]), z.dtype)
        a[0] = state[0]
        for t in range(x.T):
            np.matmul(p["Waa"], a[t], out=a[t + 1])  # (n_a, n_a) @ (n_a, B)
            a[t + 1] += z[t]
            np.tanh(a[t + 1], out=a[t + 1])
        return hidden_rows(a, buffers), (a[-1].copy(),), (x, a)

    def backward_(
        self, p: Tensors, g: Tensors, dhidden: Array, dstate: State, cache: Cache, buffers: Buffers
    ) -> tuple[Array | None, State]:
        x, a = cache
        dh, dz = (buffers.scratch(name, a[1:].shape, a.dtype) for name in ("dh", "dz"))
        to_steps(dhidden, dh)
        np.multiply(a[1:], a[1:], out=dz)
        np.subtract(1, dz, out=dz)  # tanh' at every step, (T, n_a, B)
        WaaT = np.ascontiguousarray(p["Waa"].T)
        da = dstate[0].copy()
        for t in reversed(range(x.T)):
            da += dh[t]
            dz[t] *= da
            np.matmul(WaaT, dz[t], out=da)
        return weight_gradients_(p, g, x, a, dz, buffers), (da,)

    def flops(self, n_x: int, n_a: int, positions: int, one_hot: bool) -> tuple[int, int]:
        return flops_of_gates(1, n_x, n_a, positions, one_hot)

    def held(self, n_x: int, n_a: int, T: int, B: int, one_hot: bool) -> tuple[int, int]:
        return held_of_gates(1, 1, 0, n_x, n_a, T, B, one_hot)  # a
