"""The full softmax over the vocabulary, and the softmax over the rows of a matrix that all output layers use.

    P(k | x) = exp(W_k x + b_k) / Z

The (N, n) matrix of logits is exponentiated in place, on all cores, and never normalised: 1/Z scales the small (N, d)
matrices in the products before and after it instead. The maximum of a row is subtracted only if Z shows that the row
over- or underflows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rnncli.model.buffers import Buffers
from rnncli.model.initialise import glorot_
from rnncli.model.noise import Noise
from rnncli.model.parameters import Section
from rnncli.schema.fields import NoOptions
from rnncli.system import threads
from rnncli.system.arrays import Array, Shapes, Tensors

# Elements of the (N, n) matrix that one core processes together, so that they stay in its cache.
BLOCK = 1 << 18
# Upper bound on elements of the (N, n) matrix at a time, in passes that keep nothing for a backward pass.
SCORED = 1 << 22

Cache = tuple[Array, Array, Array, Array]


class Softmax:
    """Forward and backward pass of a softmax over the rows of one matrix, in a buffer that later steps reuse."""

    def __init__(self) -> None:
        self._buffers = Buffers()

    def buffer(self, rows: int, columns: int, dtype: np.dtype[Any]) -> Array:
        """An array (rows, columns), not initialised, valid until the next call."""
        return self._buffers.array("logits", (rows, columns), dtype)

    def forward(self, W: Array, b: Array, x: Array, targets: Array) -> tuple[Array, Cache]:
        """-ln P(target) of each row. W (n, d), b (n,), x (N, d), targets (N,); the result is (N,) in nats."""
        logits = np.matmul(x, W.T, out=self.buffer(len(x), len(W), np.result_type(x, W)))
        target_logits = logits[np.arange(len(targets)), targets] + b[targets]
        Z, shift = exponentiate_(logits, b, lambda rows: x[rows] @ W.T)
        return np.log(Z) + shift - target_logits, (x, targets, logits, Z)

    def backward_(self, W: Array, dW: Array, db: Array, scale: float, cache: Cache) -> Array:
        """Write the gradients of `scale` times the sum of the rows' losses into dW and db; return that of x, (N, d).

        The gradient of the logits is scale * (exponentials / Z - onehot(targets)), which is scale / Z times
        (exponentials - Z onehot(targets)). Only the last bracket is computed, in place.
        """
        x, targets, exponentials, Z = cache
        exponentials[np.arange(len(targets)), targets] -= Z
        weight = scale / Z  # (N,)
        np.matmul(exponentials.T, x * weight[:, None], out=dW)
        np.matmul(weight, exponentials, out=db)
        dx: Array = exponentials @ W
        dx *= weight[:, None]
        return dx

    def score(self, W: Array, b: Array, x: Array, targets: Array) -> Array:
        """-ln P(target) of each row, (N,), without the whole (N, n) matrix in memory."""
        return in_pieces(lambda rows: self.forward(W, b, x[rows], targets[rows])[0], len(x), len(W))


class FullSoftmax:
    """Same result as `StepwiseFull`; a test of the engines compares them."""

    Options = NoOptions
    exact = True

    def __init__(self, options: object = None, counts: Array | None = None) -> None:
        self._softmax = Softmax()

    @staticmethod
    def shapes(hidden_size: int, vocabulary_size: int, options: object = None) -> Shapes:
        return {"Wya": (vocabulary_size, hidden_size), "by": (vocabulary_size,)}

    @staticmethod
    def word_rows(shapes: Shapes) -> dict[str, range]:
        return {name: range(shape[0]) for name, shape in shapes.items()}

    @staticmethod
    def initialise_(p: Tensors, rng: np.random.Generator) -> None:
        vocabulary_size, hidden_size = p["Wya"].shape
        glorot_(p["Wya"], hidden_size, vocabulary_size, rng)
        p["by"][...] = 0

    def forward(self, p: Tensors, hidden: Array, targets: Array, noise: Noise | None = None) -> tuple[Array, Cache]:
        return self._softmax.forward(p["Wya"], p["by"], hidden, targets)

    def backward_(self, p: Tensors, g: Section, scale: float, cache: Cache) -> Array:
        return self._softmax.backward_(p["Wya"], g["Wya"], g["by"], scale, cache)

    def score(self, p: Tensors, hidden: Array, targets: Array) -> Array:
        return self._softmax.score(p["Wya"], p["by"], hidden, targets)

    def log_probabilities(self, p: Tensors, hidden: Array) -> Array:
        return log_softmax(p["Wya"], p["by"], hidden)


def in_pieces(score: Callable[[slice], Array], rows: int, columns: int) -> Array:
    """Scores of `rows` rows, (rows,), computed in slices of at most SCORED elements (at least one row)."""
    step = rows_in_a_piece(columns)
    return np.concatenate([score(slice(start, start + step)) for start in range(0, max(rows, 1), step)])


def rows_in_a_piece(columns: int) -> int:
    """Number of rows to score at a time."""
    return max(1, SCORED // columns)


def log_softmax(W: Array, b: Array, x: Array) -> Array:
    """Return ln P of every row of W, (N, n)."""
    logits = x @ W.T + b
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits


def exponentiate_(logits: Array, b: Array | None, again: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Turn logits (N, n) into exp(logits + b - shift) in place; the sums Z of its rows and the shift, (N,) each.

    The shift is zero except for rows that over- or underflow without it; `again(rows)` recomputes their logits.
    """

    def work(start: int) -> None:
        rows = logits[start : start + step]
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            if b is not None:
                rows += b
            np.exp(rows, out=rows)

    step = max(1, BLOCK // max(1, logits.shape[1]))
    starts = range(0, len(logits), step)
    threads.share(work, starts, logits.size)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        Z: Array = logits @ np.ones(logits.shape[1], logits.dtype)
    shift = np.zeros_like(Z)
    if len(bad := np.flatnonzero(~_trusted(Z))):
        shifted = again(bad)
        if b is not None:
            shifted += b
        shift[bad] = shifted.real.max(axis=1)
        shifted -= shift[bad, None]
        with np.errstate(under="ignore"):
            logits[bad] = np.exp(shifted)
        Z[bad] = logits[bad].sum(axis=1)
    return Z, shift


def _trusted(Z: Array) -> Array:
    """Mask of the sums of unshifted exponentials that are far enough from overflow and underflow for an accurate 1/Z.

    The bounds are fourth roots of the smallest and largest numbers (3e-10 and 4e9 in float32), so that products with
    scale/Z in the backward pass stay normal numbers. False for sums that are not finite.
    """
    info = np.finfo(Z.real.dtype)
    trusted: Array = (Z.real > info.tiny**0.25) & (Z.real < info.max**0.25)
    return trusted
