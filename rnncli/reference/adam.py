"""Adam (Kingma and Ba, 2015, algorithm 1) with the names of notebook 002, for parameters of any name."""

from __future__ import annotations

import numpy as np

from rnncli.reference.sequence import Gradients, Parameters


def initialize_adam(parameters: Parameters) -> tuple[Gradients, Gradients]:
    """Return zero moments v (gradient) and s (its square): "d" + name -> zeros of the parameter's shape and dtype."""
    v = {f"d{name}": np.zeros_like(value) for name, value in parameters.items()}
    s = {f"d{name}": np.zeros_like(value) for name, value in parameters.items()}
    return v, s


def update_parameters_with_adam(
    parameters: Parameters,
    grads: Parameters,
    v: Parameters,
    s: Parameters,
    t: int,
    learning_rate: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> tuple[Gradients, Gradients, Gradients]:
    """Take one step, and return new dictionaries parameters, v, s; the arguments are not modified.

    parameters  name -> array; `grads`, `v` and `s` need "d" + name for each. Other entries of `grads` (dx, da0) are
                ignored.
    t           number of this step, from 1: corrects the bias of moments that started at zero

    epsilon is added outside the root, as in the paper. In notebook 002 it is inside, which makes steps shorter when
    gradients are below sqrt(epsilon) (docs/errata.md).

    Raises ValueError if `t` is below 1, KeyError if a gradient or a moment is missing.
    """
    if t < 1:
        raise ValueError(f"t is {t}; steps are counted from 1, at 0 the bias correction divides by zero")
    new_parameters, new_v, new_s = {}, {}, {}
    for name, value in parameters.items():
        d = f"d{name}"
        new_v[d] = beta1 * v[d] + (1 - beta1) * grads[d]
        new_s[d] = beta2 * s[d] + (1 - beta2) * grads[d] ** 2
        v_corrected = new_v[d] / (1 - beta1**t)
        s_corrected = new_s[d] / (1 - beta2**t)
        new_parameters[name] = value - learning_rate * v_corrected / (np.sqrt(s_corrected) + epsilon)
    return new_parameters, new_v, new_s
