"""Starting values of weights."""

from __future__ import annotations

import math

import numpy as np

from rnncli.system.arrays import Array

DRAWN = 1 << 16  # random numbers drawn at a time


def glorot_(W: Array, fan_in: int, fan_out: int, rng: np.random.Generator) -> None:
    """Fill W with the uniform distribution of Glorot and Bengio (2010), +-sqrt(6 / (fan_in + fan_out))."""
    uniform_(W, float(np.sqrt(6.0 / (fan_in + fan_out))), rng)


def uniform_(W: Array, limit: float, rng: np.random.Generator) -> None:
    """Fill W with uniform numbers from -limit to limit, drawn in float64 in the order of its elements.

    Drawn in blocks of rows: the same numbers, without a float64 copy of W.
    """
    rows = max(1, DRAWN // max(1, math.prod(W.shape[1:])))
    for start in range(0, len(W), rows):
        part = W[start : start + rows]
        part[...] = rng.uniform(-limit, limit, part.shape)


def orthogonal_(W: Array, rng: np.random.Generator) -> None:
    """Fill the square matrix W with a random orthogonal one (Saxe et al. 2014): QR of a normal matrix, signs fixed."""
    q, r = np.linalg.qr(rng.standard_normal(W.shape))
    W[...] = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
