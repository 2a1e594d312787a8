"""Cross-entropy of a sequence in nats over the positions that are not padding, and its gradient.

The cost in notebook 000 lacks the minus sign and takes class indices instead of probabilities; see docs/errata.md.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from rnncli.system.arrays import Array

Reduction = Literal["mean", "sum"]


def cross_entropy_cost(
    y_pred: Array, targets: Array, mask: Array | None = None, reduction: Reduction = "mean"
) -> np.inexact[Any]:
    """J = -sum over positions of log y_hat[target], divided by the number of real positions for "mean".

    y_pred   (n_y, m, T_x), or (n_y, m) for one step: predicted distributions along the first axis
    targets  one-hot, of the same shape; may be zero at padded positions
    mask     (m, T_x), or (m,): true at real positions, false at padding; None: no padding

    Returns a scalar of the common dtype of both; infinity if the probability of a target has underflowed to 0.

    Raises ValueError if shapes do not match, no position is real, or `reduction` is neither "mean" nor "sum".
    """
    real = _real_positions(y_pred, targets, mask)
    of_target = np.where(real, (targets * y_pred).sum(axis=0), 1)  # log 1 = 0: a padded position costs nothing
    with np.errstate(divide="ignore"):
        total = -np.log(of_target).sum()
    cost: np.inexact[Any] = total / _divisor(real, reduction)
    return cost


def cross_entropy_backward(
    y_pred: Array, targets: Array, mask: Array | None = None, reduction: Reduction = "mean"
) -> Array:
    """Gradient of `cross_entropy_cost` with respect to z, for y_pred = softmax(z): y_hat - y at real positions.

    Arguments as for `cross_entropy_cost`. Returns an array with the shape of `y_pred`: y_pred - targets, for "mean"
    divided by the number of real positions; zero at padded positions.

    Raises ValueError as `cross_entropy_cost` does.
    """
    real = _real_positions(y_pred, targets, mask)
    dz: Array = np.where(real, y_pred - targets, 0) / _divisor(real, reduction)
    return dz


def _real_positions(y_pred: Array, targets: Array, mask: Array | None) -> Array:
    if y_pred.shape != targets.shape:
        raise ValueError(f"y_pred has shape {y_pred.shape}, targets {targets.shape}: they must be equal")
    real = np.ones(y_pred.shape[1:], bool) if mask is None else np.asarray(mask, bool)
    if real.shape != y_pred.shape[1:]:
        raise ValueError(f"mask has shape {real.shape}; for y_pred {y_pred.shape} it must be {y_pred.shape[1:]}")
    if not real.any():
        raise ValueError("mask has no real position; the cost needs at least one")
    return real


def _divisor(real: Array, reduction: Reduction) -> int:
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction is {reduction!r}; choose 'mean' or 'sum'")
    return int(real.sum()) if reduction == "mean" else 1
