"""The two loops over time that every cell shares: forward, and backpropagation through time.

A cell is a pair of functions on one time step, in the order of arguments and results of the course:

    cell_forward(xt, *state, parameters)        -> *state_next, yt_pred, cache
    cell_backward(*dstate_next, cache)          -> {"dxt", "da_prev" (and "dc_prev"), one gradient per parameter}

where the state is (a,) for the basic RNN and the GRU, (a, c) for the LSTM and (c,) for the simple GRU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnncli.system.arrays import Array

Parameters = Mapping[str, Array]
Gradients = dict[str, Array]
Caches = tuple[list[Any], Array]  # one cache per time step, and x; passed from the forward to the backward pass


def forward_over_time(
    cell_forward: Callable[..., Any], x: Array, state: tuple[Array, ...], parameters: Parameters
) -> tuple[tuple[Array, ...], Array | None, Caches]:
    """Apply one cell, with the same parameters, to every time step (notebook 001, section 1.2).

    x      (n_x, m, T_x)
    state  the initial state: one array (n_a, m) for each part

    Returns the states of every step, (n_a, m, T_x) for each part; the predictions (n_y, m, T_x), or None if
    `parameters` has no output layer; and (list of T_x caches, x).

    Raises ValueError if `x` does not have three axes or has no time step.
    """
    if x.ndim != 3 or x.shape[2] == 0:
        raise ValueError(f"x has shape {x.shape}; it must be (n_x, m, T_x) with at least one time step")
    # A state sliced out of a longer sequence is strided, and products of strided arrays may round differently.
    state = tuple(np.ascontiguousarray(part) for part in state)
    states, predictions, caches = [], [], []
    for t in range(x.shape[2]):
        *state_next, yt_pred, cache = cell_forward(x[:, :, t], *state, parameters)
        state = tuple(state_next)
        states.append(state)
        predictions.append(yt_pred)
        caches.append(cache)
    # Lists, stacked at the end: the dtype of the result is then that of the equations, which may be complex.
    over_time = tuple(np.stack(part, axis=2) for part in zip(*states, strict=True))
    y_pred = None if predictions[0] is None else np.stack(predictions, axis=2)
    return over_time, y_pred, (caches, x)


def backward_over_time(
    cell_backward: Callable[..., Gradients],
    dstate: Array,
    caches: Caches,
    parts: tuple[str, ...] = ("a",),
    dpart_last: tuple[Array, ...] = (),
) -> Gradients:
    """Backpropagation through time: step backward, carry the gradient of the state, sum those of the parameters.

    dstate      (n_a, m, T): gradient of the loss with respect to the first part of the state at steps 0 ... T - 1.
                T may be less than T_x; the gradient at later steps is then zero.
    caches      those that `forward_over_time` returned
    parts       the names of the parts of the state, so that "da_prev" of step 0 is returned as "da0"
    dpart_last  (n_a, m) for each further part: its gradient after the last of the T_x steps

    Returns dx (n_x, m, T_x), d<part>0 (n_a, m) for each part, and one summed gradient for each parameter of the cell.

    Raises ValueError if `dstate` has more steps than the forward pass or a different (n_a, m).
    """
    steps, x = caches
    _check_dstate(dstate, state_shape=steps[0][0].shape, T_x=len(steps))
    carried = (np.zeros(dstate.shape[:2], dstate.dtype), *dpart_last)
    dx: list[Array] = []
    sums: Gradients = {}
    for t in reversed(range(x.shape[2])):
        # A state affects the loss in two ways: directly at its step, and through the state of the next step.
        dnext = carried[0] + dstate[:, :, t] if t < dstate.shape[2] else carried[0]
        step = cell_backward(dnext, *carried[1:], steps[t])
        dx.append(step.pop("dxt"))
        carried = tuple(step.pop(f"d{part}_prev") for part in parts)
        for name, gradient in step.items():
            sums[name] = sums[name] + gradient if name in sums else gradient
    starts = {f"d{part}0": gradient for part, gradient in zip(parts, carried, strict=True)}
    return {"dx": np.stack(dx[::-1], axis=2), **starts, **sums}


def _check_dstate(dstate: Array, state_shape: tuple[int, ...], T_x: int) -> None:
    if dstate.ndim != 3 or dstate.shape[:2] != state_shape or dstate.shape[2] > T_x:
        n_a, m = state_shape
        raise ValueError(
            f"the gradient of the states has shape {dstate.shape}; it must be (n_a, m, T) = ({n_a}, {m}, at most {T_x})"
        )
