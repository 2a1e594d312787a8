"""The GRU as in PyTorch and cuDNN (Cho et al. 2014, with the reset gate after the recurrent product).

    r = sigmoid(Wxr x + Wr a_prev + br)
    z = sigmoid(Wxz x + Wz a_prev + bz)
    n = tanh(Wxn x + bn + r * (Wn a_prev + bna))
    a = (1 - z) n + z a_prev

Gates are stacked r, z, n; the candidate's recurrent product has a separate bias, `bna`.
"""

from __future__ import annotations

import numpy as np

from rnncli.model.buffers import Buffers
from rnncli.model.cells.base import LayerState, initialise_gates_
from rnncli.model.cells.inputs import Inputs, gate_inputs, hidden_rows, to_steps, transposed, weight_gradients_
from rnncli.model.parameters import Section
from rnncli.system.arrays import Array, Shapes, Tensors

Cache = tuple[Inputs, Array, Array, Array]


class Gru:
    """Same result as `reference.gru_forward` and `gru_backward`; a test of the engines compares them."""

    states: tuple[str, ...] = ("a",)

    def shapes(self, n_x: int, n_a: int) -> Shapes:
        return {"Wxa": (n_x, 3 * n_a), "Waa": (3 * n_a, n_a), "ba": (3 * n_a,), "bna": (n_a,)}

    def initialise_(self, p: Tensors, rng: np.random.Generator) -> None:
        initialise_gates_(p, rng)
        p["bna"][...] = 0

    def forward(self, p: Tensors, x: Inputs, state: LayerState, buffers: Buffers) -> tuple[Array, LayerState, Cache]:
        gates = gate_inputs(p, x, buffers)  # (T, 3 n_a, B)
        n_a, T, B, dtype = p["Waa"].shape[1], x.T, x.B, gates.dtype
        a = buffers.array("a", (T + 1, n_a, B), dtype)
        u = buffers.array("u", (T, n_a, B), dtype)  # Wn a_prev + bna
        a[0] = state[0]
        recurrent, reset = np.empty_like(gates[0]), np.empty_like(a[0])
        bna = p["bna"][:, None]
        for t in range(T):
            np.matmul(p["Waa"], a[t], out=recurrent)  # (3 n_a, n_a) @ (n_a, B)
            np.add(recurrent[2 * n_a :], bna, out=u[t])
            rz, n = gates[t, : 2 * n_a], gates[t, 2 * n_a :]
            rz += recurrent[: 2 * n_a]
            rz *= 0.5  # sigmoid(z) = tanh(z / 2) / 2 + 1 / 2
            np.tanh(rz, out=rz)
            rz *= 0.5
            rz += 0.5
            n += np.multiply(rz[:n_a], u[t], out=reset)
            np.tanh(n, out=n)
            np.subtract(a[t], n, out=a[t + 1])
            a[t + 1] *= rz[n_a:]
            a[t + 1] += n
        return hidden_rows(a, buffers), (a[-1].copy(),), (x, gates, a, u)

    def backward_(
        self, p: Tensors, g: Section, dhidden: Array, dlast: LayerState, cache: Cache, buffers: Buffers
    ) -> tuple[Array | None, LayerState]:
        x, gates, a, u = cache
        n_a = p["Waa"].shape[1]
        r, z, n = (gates[:, k * n_a : (k + 1) * n_a] for k in range(3))
        dh = to_steps(dhidden, buffers.scratch("dh", u.shape, dhidden.dtype))
        # The factor of da in each gate does not depend on da: computed for all steps at once.
        dgates, du = (buffers.scratch(name, gates.shape, gates.dtype) for name in ("dz", "du"))
        dr, dz, dn = (dgates[:, k * n_a : (k + 1) * n_a] for k in range(3))
        np.multiply(n, n, out=dn)
        np.subtract(1, dn, out=dn)
        np.subtract(1, z, out=dz)
        dn *= dz
        dz *= z
        dz *= np.subtract(a[:-1], n, out=buffers.scratch("difference", u.shape, u.dtype))
        np.subtract(1, r, out=dr)
        dr *= r
        dr *= u
        dr *= dn
        WaaT = transposed(p["Waa"], buffers)
        da, through = dlast[0].copy(), np.empty_like(dlast[0])
        for t in reversed(range(x.T)):
            da += dh[t]
            dgates[t].reshape(3, n_a, -1)[...] *= da
            du[t, : 2 * n_a] = dgates[t, : 2 * n_a]
            np.multiply(dn[t], r[t], out=du[t, 2 * n_a :])
            da *= z[t]
            da += np.matmul(WaaT, du[t], out=through)
        np.sum(du[:, 2 * n_a :], axis=(0, 2), out=g["bna"])
        return weight_gradients_(p, g, x, a, dgates, buffers, du), (da,)
