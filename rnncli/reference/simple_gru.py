"""The simplified GRU of notebook 001 ("Basics of gated recurrent unit"): no reset gate, and a = c.

    cct = tanh(Wc [c_prev; xt] + bc)               (1)  candidate, c tilde
    ut = sigmoid(Wu [c_prev; xt] + bu)             (2)  update gate: c_prev is kept if it is near 0
    c_next = ut * cct + (1 - ut) * c_prev          (3)

Parameters: Wc, Wu (n_a, n_a + n_x), the first n_a columns for c_prev; bc, bu (n_a, 1); with an output layer
Wy (n_y, n_a), by (n_y, 1). Equals `gru` with rt = 1 and zt = 1 - ut.
"""

from __future__ import annotations

import numpy as np

from rnncli.reference.functional import sigmoid, sigmoid_backward, tanh_backward
from rnncli.reference.output import output_forward
from rnncli.reference.sequence import Caches, Gradients, Parameters, backward_over_time, forward_over_time
from rnncli.system.arrays import Array

SimpleGruCache = tuple[Array, Array, Array, Array, Array, Parameters]


def simple_gru_cell_forward(
    xt: Array, c_prev: Array, parameters: Parameters
) -> tuple[Array, Array | None, SimpleGruCache]:
    """One time step, equations (1) to (3) above (notebook 001, section 2; which lacks equation (2)).

    xt (n_x, m), c_prev (n_a, m). Returns c_next (n_a, m); yt_pred = softmax(Wy c_next + by) (n_y, m), or None if
    `parameters` has no Wy; cache = (c_next, c_prev, ut, cct, xt, parameters).

    Raises KeyError if a parameter is missing, ValueError if shapes do not match.
    """
    p = parameters
    concat = np.concatenate([c_prev, xt], axis=0)  # (n_a + n_x, m)
    cct: Array = np.tanh(p["Wc"] @ concat + p["bc"])  # (1)
    ut = sigmoid(p["Wu"] @ concat + p["bu"])  # (2)
    c_next = ut * cct + (1 - ut) * c_prev  # (3)
    yt_pred = output_forward(c_next, parameters)
    return c_next, yt_pred, (c_next, c_prev, ut, cct, xt, parameters)


def simple_gru_cell_backward(dc_next: Array, cache: SimpleGruCache) -> Gradients:
    """Gradients of one time step, equations (3) to (1) backward.

    dc_next (n_a, m). Returns dxt (n_x, m), dc_prev (n_a, m), dWc and dWu (n_a, n_a + n_x), dbc and dbu (n_a, 1).
    """
    _, c_prev, ut, cct, xt, parameters = cache
    n_a = c_prev.shape[0]
    concat = np.concatenate([c_prev, xt], axis=0)
    dcct = tanh_backward(dc_next * ut, cct)  # (3), (1)
    du = sigmoid_backward(dc_next * (cct - c_prev), ut)  # (3), (2)
    dconcat = parameters["Wc"].T @ dcct + parameters["Wu"].T @ du  # (n_a + n_x, m)
    return {
        "dxt": dconcat[n_a:],
        "dc_prev": dc_next * (1 - ut) + dconcat[:n_a],
        "dWc": dcct @ concat.T,
        "dWu": du @ concat.T,
        "dbc": dcct.sum(axis=1, keepdims=True),
        "dbu": du.sum(axis=1, keepdims=True),
    }


def simple_gru_forward(x: Array, c0: Array, parameters: Parameters) -> tuple[Array, Array | None, Caches]:
    """The whole sequence.

    x (n_x, m, T_x), c0 (n_a, m). Returns c (n_a, m, T_x); y_pred (n_y, m, T_x), or None if `parameters` has no
    Wy; caches = (list of T_x caches, x).

    Raises ValueError if `x` does not have three axes or has no time step, and as `simple_gru_cell_forward` does.
    """
    (c,), y_pred, caches = forward_over_time(simple_gru_cell_forward, x, (c0,), parameters)
    return c, y_pred, caches


def simple_gru_backward(dc: Array, caches: Caches) -> Gradients:
    """Backpropagation through time.

    dc (n_a, m, T), T <= T_x: the gradient of the loss with respect to `c` at the first T steps; zero at later ones.
    Returns dx (n_x, m, T_x), dc0 (n_a, m) and the parameters' gradients, shaped as in `simple_gru_cell_backward`. For
    dWy and dby see `output_backward`.

    Raises ValueError if the shape of `dc` does not match the forward pass.
    """
    return backward_over_time(simple_gru_cell_backward, dc, caches, parts=("c",))
