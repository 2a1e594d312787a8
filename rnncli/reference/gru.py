"""The GRU (Cho et al., 2014) as in PyTorch and cuDNN: the reset gate is applied after the recurrent product.

    rt = sigmoid(Wr [a_prev; xt] + br)                         (1)  reset gate
    zt = sigmoid(Wz [a_prev; xt] + bz)                         (2)  update gate: the part of a_prev that is kept
    nt = tanh(Wnx xt + bnx + rt * (Wna a_prev + bna))          (3)  candidate
    a_next = (1 - zt) * nt + zt * a_prev                       (4)

Parameters: Wr, Wz (n_a, n_a + n_x), the first n_a columns for a_prev; Wna (n_a, n_a), Wnx (n_a, n_x); br, bz, bna,
bnx (n_a, 1); with an output layer Wy (n_y, n_a), by (n_y, 1). PyTorch has two biases per gate: br and bz are their
sums; only bna and bnx must be separate.

The GRU of notebook 001 has no reset gate, and its update gate is 1 - zt: see `simple_gru`.
"""

from __future__ import annotations

import numpy as np

from rnncli.reference.functional import sigmoid, sigmoid_backward, tanh_backward
from rnncli.reference.output import output_forward
from rnncli.reference.sequence import Caches, Gradients, Parameters, backward_over_time, forward_over_time
from rnncli.system.arrays import Array

GruCache = tuple[Array, Array, Array, Array, Array, Array, Array, Parameters]


def gru_cell_forward(xt: Array, a_prev: Array, parameters: Parameters) -> tuple[Array, Array | None, GruCache]:
    """One time step, equations (1) to (4) above (torch.nn.GRUCell).

    xt (n_x, m), a_prev (n_a, m). Returns a_next (n_a, m); yt_pred = softmax(Wy a_next + by) (n_y, m), or None if
    `parameters` has no Wy; cache = (a_next, a_prev, rt, zt, nt, recurrent, xt, parameters), with recurrent =
    Wna a_prev + bna.

    Raises KeyError if a parameter is missing, ValueError if shapes do not match.
    """
    p = parameters
    concat = np.concatenate([a_prev, xt], axis=0)  # (n_a + n_x, m)
    rt = sigmoid(p["Wr"] @ concat + p["br"])  # (1)
    zt = sigmoid(p["Wz"] @ concat + p["bz"])  # (2)
    recurrent = p["Wna"] @ a_prev + p["bna"]
    nt: Array = np.tanh(p["Wnx"] @ xt + p["bnx"] + rt * recurrent)  # (3)
    a_next = (1 - zt) * nt + zt * a_prev  # (4)
    yt_pred = output_forward(a_next, parameters)
    return a_next, yt_pred, (a_next, a_prev, rt, zt, nt, recurrent, xt, parameters)


def gru_cell_backward(da_next: Array, cache: GruCache) -> Gradients:
    """Gradients of one time step, equations (4) to (1) backward.

    da_next (n_a, m). Returns dxt (n_x, m), da_prev (n_a, m), dWr and dWz (n_a, n_a + n_x), dWna (n_a, n_a),
    dWnx (n_a, n_x), dbr, dbz, dbna, dbnx (n_a, 1).
    """
    _, a_prev, rt, zt, nt, recurrent, xt, parameters = cache
    n_a = a_prev.shape[0]
    concat = np.concatenate([a_prev, xt], axis=0)
    dn = tanh_backward(da_next * (1 - zt), nt)  # (4), (3): gradient of the argument of tanh
    drecurrent = dn * rt  # (3)
    dr = sigmoid_backward(dn * recurrent, rt)  # (3), (1)
    dz = sigmoid_backward(da_next * (a_prev - nt), zt)  # (4), (2)
    dconcat = parameters["Wr"].T @ dr + parameters["Wz"].T @ dz  # (n_a + n_x, m)
    return {
        "dxt": parameters["Wnx"].T @ dn + dconcat[n_a:],
        "da_prev": da_next * zt + parameters["Wna"].T @ drecurrent + dconcat[:n_a],
        "dWr": dr @ concat.T,
        "dWz": dz @ concat.T,
        "dWna": drecurrent @ a_prev.T,
        "dWnx": dn @ xt.T,
        "dbr": dr.sum(axis=1, keepdims=True),
        "dbz": dz.sum(axis=1, keepdims=True),
        "dbna": drecurrent.sum(axis=1, keepdims=True),
        "dbnx": dn.sum(axis=1, keepdims=True),
    }


def gru_forward(x: Array, a0: Array, parameters: Parameters) -> tuple[Array, Array | None, Caches]:
    """The whole sequence (torch.nn.GRU, one layer).

    x (n_x, m, T_x), a0 (n_a, m). Returns a (n_a, m, T_x); y_pred (n_y, m, T_x), or None if `parameters` has no
    Wy; caches = (list of T_x caches, x).

    Raises ValueError if `x` does not have three axes or has no time step, and as `gru_cell_forward` does.
    """
    (a,), y_pred, caches = forward_over_time(gru_cell_forward, x, (a0,), parameters)
    return a, y_pred, caches


def gru_backward(da: Array, caches: Caches) -> Gradients:
    """Backpropagation through time.

    da (n_a, m, T), T <= T_x: the gradient of the loss with respect to `a` at the first T steps; zero at later ones.
    Returns dx (n_x, m, T_x), da0 (n_a, m) and the parameters' gradients, shaped as in `gru_cell_backward`. For dWy
    and dby see `output_backward`.

    Raises ValueError if the shape of `da` does not match the forward pass.
    """
    return backward_over_time(gru_cell_backward, da, caches)
