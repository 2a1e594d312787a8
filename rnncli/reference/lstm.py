"""The LSTM of the notebooks (Hochreiter and Schmidhuber, 1997; forget gate: Gers et al., 2000).

    ft = sigmoid(Wf [a_prev; xt] + bf)      (1)  forget gate
    it = sigmoid(Wi [a_prev; xt] + bi)      (2)  update gate, Gamma_u in the text, Wi and bi in the code
    cct = tanh(Wc [a_prev; xt] + bc)        (3)  candidate, c tilde
    c_next = ft * c_prev + it * cct         (4)  memory
    ot = sigmoid(Wo [a_prev; xt] + bo)      (5)  output gate
    a_next = ot * tanh(c_next)              (6)  hidden state

Parameters: Wf, Wi, Wc, Wo (n_a, n_a + n_x), the first n_a columns for a_prev; bf, bi, bc, bo (n_a, 1); with an output
layer Wy (n_y, n_a), by (n_y, 1). `*` is elementwise, `@` the matrix product.
"""

from __future__ import annotations

import numpy as np

from rnncli.reference.functional import sigmoid, sigmoid_backward, tanh_backward
from rnncli.reference.output import output_forward
from rnncli.reference.sequence import Caches, Gradients, Parameters, backward_over_time, forward_over_time
from rnncli.system.arrays import Array

LstmCache = tuple[Array, Array, Array, Array, Array, Array, Array, Array, Array, Parameters]


def lstm_cell_forward(
    xt: Array, a_prev: Array, c_prev: Array, parameters: Parameters
) -> tuple[Array, Array, Array | None, LstmCache]:
    """One time step, equations (1) to (6) (notebook 001, section 2.1; figure 4).

    xt (n_x, m), a_prev and c_prev (n_a, m). Returns a_next and c_next (n_a, m); yt_pred = softmax(Wy a_next + by)
    (n_y, m), or None if `parameters` has no Wy;
    cache = (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters).

    Raises KeyError if a parameter is missing, ValueError if shapes do not match.
    """
    p = parameters
    concat = np.concatenate([a_prev, xt], axis=0)  # (n_a + n_x, m)
    ft = sigmoid(p["Wf"] @ concat + p["bf"])  # (1)
    it = sigmoid(p["Wi"] @ concat + p["bi"])  # (2)
    cct: Array = np.tanh(p["Wc"] @ concat + p["bc"])  # (3)
    c_next = ft * c_prev + it * cct  # (4)
    ot = sigmoid(p["Wo"] @ concat + p["bo"])  # (5)
    a_next = ot * np.tanh(c_next)  # (6)
    yt_pred = output_forward(a_next, parameters)
    return a_next, c_next, yt_pred, (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters)


def lstm_cell_backward(da_next: Array, dc_next: Array, cache: LstmCache) -> Gradients:
    """Gradients of one time step: equations (7) to (17) of notebook 001, section 3.2, with (8) to (10) corrected.

    da_next, dc_next (n_a, m). Returns dxt (n_x, m), da_prev and dc_prev (n_a, m), dWf, dWi, dWc, dWo
    (n_a, n_a + n_x), dbf, dbi, dbc, dbo (n_a, 1). The errors of the notebook are in docs/errata.md.
    """
    _, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters = cache
    p, n_a = parameters, a_prev.shape[0]
    concat = np.concatenate([a_prev, xt], axis=0)
    tanh_c: Array = np.tanh(c_next)
    dct = dc_next + tanh_backward(da_next * ot, tanh_c)  # from later steps, and through (6)
    dot = sigmoid_backward(da_next * tanh_c, ot)  # (7)
    dcct = tanh_backward(dct * it, cct)  # (8)
    dit = sigmoid_backward(dct * cct, it)  # (9)
    dft = sigmoid_backward(dct * c_prev, ft)  # (10)
    dconcat = p["Wf"].T @ dft + p["Wi"].T @ dit + p["Wc"].T @ dcct + p["Wo"].T @ dot  # (n_a + n_x, m)
    return {
        "dxt": dconcat[n_a:],  # (17): the columns W[:, n_a:]
        "da_prev": dconcat[:n_a],  # (15): the columns W[:, :n_a]
        "dc_prev": dct * ft,  # (16)
        "dWf": dft @ concat.T,  # (11)
        "dWi": dit @ concat.T,  # (12)
        "dWc": dcct @ concat.T,  # (13)
        "dWo": dot @ concat.T,  # (14)
        "dbf": dft.sum(axis=1, keepdims=True),
        "dbi": dit.sum(axis=1, keepdims=True),
        "dbc": dcct.sum(axis=1, keepdims=True),
        "dbo": dot.sum(axis=1, keepdims=True),
    }


def lstm_forward(
    x: Array, a0: Array, parameters: Parameters, c0: Array | None = None
) -> tuple[Array, Array | None, Array, Caches]:
    """The whole sequence (notebook 001, section 2.2).

    x (n_x, m, T_x), a0 (n_a, m), c0 (n_a, m) or None for zeros, as in the notebook. Returns a (n_a, m, T_x);
    y (n_y, m, T_x), or None if `parameters` has no Wy; c (n_a, m, T_x); caches = (list of T_x caches, x).

    Raises ValueError if `x` does not have three axes or has no time step, and as `lstm_cell_forward` does.
    """
    state = (a0, np.zeros_like(a0) if c0 is None else c0)
    (a, c), y, caches = forward_over_time(lstm_cell_forward, x, state, parameters)
    return a, y, c, caches


def lstm_backward(da: Array, caches: Caches, dc_last: Array | None = None) -> Gradients:
    """Backpropagation through time; da_prev and dc_prev are both carried to the previous step (notebook 001, 3.3).

    da (n_a, m, T), T <= T_x: the gradient of the loss with respect to `a` at the first T steps; zero at later ones.
    dc_last (n_a, m): its gradient with respect to the last memory c[:, :, T_x - 1]; None for zero.
    Returns dx (n_x, m, T_x), da0 and dc0 (n_a, m), dWf, dWi, dWc, dWo (n_a, n_a + n_x), dbf, dbi, dbc, dbo (n_a, 1).
    For dWy and dby see `output_backward`.

    Raises ValueError if the shape of `da` does not match the forward pass.
    """
    dc_next = np.zeros(da.shape[:2], da.dtype) if dc_last is None else dc_last
    return backward_over_time(lstm_cell_backward, da, caches, parts=("a", "c"), dpart_last=(dc_next,))
