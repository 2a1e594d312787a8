"""The basic recurrent network of the notebooks: a = tanh(Waa a_prev + Wax x + ba), y_hat = softmax(Wya a + by).

Parameters: Waa (n_a, n_a), Wax (n_a, n_x), ba (n_a, 1), with an output layer Wya (n_y, n_a), by (n_y, 1).
"""

from __future__ import annotations

import numpy as np

from rnncli.reference.functional import tanh_backward
from rnncli.reference.output import output_forward
from rnncli.reference.sequence import Caches, Gradients, Parameters, backward_over_time, forward_over_time
from rnncli.system.arrays import Array

RnnCache = tuple[Array, Array, Array, Parameters]


def rnn_cell_forward(xt: Array, a_prev: Array, parameters: Parameters) -> tuple[Array, Array | None, RnnCache]:
    """One time step (notebook 001, section 1.1; figure 2).

    xt (n_x, m), a_prev (n_a, m). Returns a_next (n_a, m); yt_pred (n_y, m), or None if `parameters` has no Wya;
    cache = (a_next, a_prev, xt, parameters).

    Raises KeyError if a parameter is missing, ValueError if shapes do not match.
    """
    Waa, Wax, ba = parameters["Waa"], parameters["Wax"], parameters["ba"]
    a_next: Array = np.tanh(Waa @ a_prev + Wax @ xt + ba)  # (n_a, n_a) @ (n_a, m) + (n_a, n_x) @ (n_x, m) + (n_a, 1)
    yt_pred = output_forward(a_next, parameters)
    return a_next, yt_pred, (a_next, a_prev, xt, parameters)


def rnn_cell_backward(da_next: Array, cache: RnnCache) -> Gradients:
    """Gradients of one time step (notebook 001, section 3.1; figure 5), by d tanh(z) = (1 - tanh(z)^2) dz.

    da_next (n_a, m). Returns dxt (n_x, m), da_prev (n_a, m), dWax (n_a, n_x), dWaa (n_a, n_a), dba (n_a, 1).
    """
    a_next, a_prev, xt, parameters = cache
    Waa, Wax = parameters["Waa"], parameters["Wax"]
    dz = tanh_backward(da_next, a_next)
    return {
        "dxt": Wax.T @ dz,
        "da_prev": Waa.T @ dz,
        "dWax": dz @ xt.T,
        "dWaa": dz @ a_prev.T,
        "dba": dz.sum(axis=1, keepdims=True),
    }


def rnn_forward(x: Array, a0: Array, parameters: Parameters) -> tuple[Array, Array | None, Caches]:
    """The whole sequence (notebook 001, section 1.2; figure 3).

    x (n_x, m, T_x), a0 (n_a, m). Returns a (n_a, m, T_x); y_pred (n_y, m, T_x), or None if `parameters` has no
    Wya; caches = (list of T_x caches, x).

    Raises ValueError if `x` does not have three axes or has no time step, and as `rnn_cell_forward` does.
    """
    (a,), y_pred, caches = forward_over_time(rnn_cell_forward, x, (a0,), parameters)
    return a, y_pred, caches


def rnn_backward(da: Array, caches: Caches) -> Gradients:
    """Backpropagation through time (notebook 001, section 3.1).

    da (n_a, m, T), T <= T_x: the gradient of the loss with respect to `a` at the first T steps; zero at later ones.
    Returns dx (n_x, m, T_x), da0 (n_a, m), dWax (n_a, n_x), dWaa (n_a, n_a), dba (n_a, 1). For dWya and dby see
    `output_backward`.

    Raises ValueError if the shape of `da` does not match the forward pass.
    """
    return backward_over_time(rnn_cell_backward, da, caches)
