"""The basic recurrent cell (notebooks 000 to 004): a<t> = tanh(Waa a<t-1> + Wax x<t> + ba)."""

from __future__ import annotations

import numpy as np

from rnncli.cells.cell import State, Tensors, initialise_gates_
from rnncli.cells.inputs import Inputs, gate_inputs, to_rows, to_steps, weight_gradients_
from rnncli.parameters import Array, Shapes

Cache = tuple[Inputs, Array]


class Rnn:
    """Same result as `reference.rnn_forward` and `rnn_backward`; a test of the engines holds them together."""

    states: tuple[str, ...] = ("a",)

    def shapes(self, n_x: int, n_a: int) -> Shapes:
        return {"Wxa": (n_x, n_a), "Waa": (n_a, n_a), "ba": (n_a,)}

    def initialise_(self, p: Tensors, rng: np.random.Generator) -> None:
        initialise_gates_(p, rng)

    def forward(self, p: Tensors, x: Inputs, state: State) -> tuple[Array, State, Cache]:
        z = gate_inputs(p, x)  # (T, n_a, B)
        a = np.empty((x.T + 1, *z.shape[1:]), z.dtype)
        a[0] = state[0]
        for t in range(x.T):
            np.matmul(p["Waa"], a[t], out=a[t + 1])  # (n_a, n_a) @ (n_a, B)
            a[t + 1] += z[t]
            np.tanh(a[t + 1], out=a[t + 1])
        return to_rows(a[1:]), (a[-1],), (x, a)

    def backward_(
        self, p: Tensors, g: Tensors, dhidden: Array, dstate: State, cache: Cache
    ) -> tuple[Array | None, State]:
        x, a = cache
        dh = to_steps(dhidden, x.T)
        dz = 1 - a[1:] * a[1:]  # tanh' at every step, (T, n_a, B)
        WaaT = np.ascontiguousarray(p["Waa"].T)
        da = dstate[0]
        for t in reversed(range(x.T)):
            dz[t] *= dh[t] + da
            da = WaaT @ dz[t]
        return weight_gradients_(p, g, x, a, dz), (da,)
