"""The output layer of every cell: y_hat = softmax(Wy a + by). The matrix is called Wya in the basic RNN, else Wy."""

from __future__ import annotations

import numpy as np

from rnncli.reference.cost import Reduction, cross_entropy_backward
from rnncli.reference.functional import softmax
from rnncli.reference.sequence import Gradients, Parameters
from rnncli.system.arrays import Array


def output_forward(a: Array, parameters: Parameters) -> Array | None:
    """yt_pred = softmax(Wy a + by) for one time step (notebook 001, section 1.1, step 2).

    a (n_a, m); Wya or Wy (n_y, n_a); by (n_y, 1). Returns (n_y, m), each column a distribution; None if
    `parameters` has neither Wya nor Wy, as in the lower layers of a stack.
    """
    name = _output_matrix(parameters)
    if name is None:
        return None
    return softmax(parameters[name] @ a + parameters["by"])


def output_backward(
    a: Array,
    y_pred: Array,
    targets: Array,
    parameters: Parameters,
    mask: Array | None = None,
    reduction: Reduction = "mean",
) -> Gradients:
    """Gradients of the cross-entropy cost with respect to the output layer and the hidden states.

    Gives the `da` that the backward functions of the notebooks take. With dz = (y_hat - y) / number of real positions,

        dWy = sum over t of dz[t] a[t]^T        dby = sum over t and m of dz[t]        da[t] = Wy^T dz[t]

    a (n_a, m, T_x), y_pred and targets (n_y, m, T_x), mask (m, T_x) or None; `mask` and `reduction` as in
    `cross_entropy_cost`. Returns dWya or dWy (n_y, n_a), dby (n_y, 1), da (n_a, m, T_x).

    Raises ValueError if `parameters` has no output layer, and as `cross_entropy_cost` does.
    """
    name = _output_matrix(parameters)
    if name is None:
        raise ValueError("parameters have no output layer; add Wya or Wy, and by")
    dz = cross_entropy_backward(y_pred, targets, mask, reduction)
    return {
        f"d{name}": np.einsum("ymt,amt->ya", dz, a),
        "dby": dz.sum(axis=(1, 2))[:, np.newaxis],
        "da": np.einsum("ya,ymt->amt", parameters[name], dz),
    }


def _output_matrix(parameters: Parameters) -> str | None:
    return next((name for name in ("Wya", "Wy") if name in parameters), None)
