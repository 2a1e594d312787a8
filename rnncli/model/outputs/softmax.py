"""The softmax over the rows of a matrix, P(k | x) = exp(W_k x + b_k) / Z: what every output layer is made of.

The (N, n) matrix of logits is exponentiated in place, on all cores, and never normalised: 1/Z is folded into the small
(N, d) matrices on either side of it. The maximum of a row is taken off only where the sum shows that it must be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rnncli.model.buffers import Buffers
from rnncli.model.parameters import Array
from rnncli.system import threads

# Rows of the (N, n) matrix that are worked on together: about this many elements stay in a core's own cache.
BLOCK = 1 << 18
# Elements of the (N, n) matrix that are made at a time where nothing is kept for a backward pass.
SCORED = 1 << 22

Cache = tuple[Array, Array, Array, Array]


class Softmax:
    """Forward and backward through one matrix, in a buffer that is made once and reused by the next step."""

    def __init__(self) -> None:
        self._buffers = Buffers()

    def buffer(self, rows: int, columns: int, dtype: np.dtype[Any]) -> Array:
        """Room for (rows, columns) numbers, valid until the next call."""
        return self._buffers.array("logits", (rows, columns), dtype)

    def forward(self, W: Array, b: Array, x: Array, targets: Array) -> tuple[Array, Cache]:
        """-ln P(target) of each row. W (n, d), b (n,), x (N, d), targets (N,); the result is (N,) in nats."""
        logits = np.matmul(x, W.T, out=self.buffer(len(x), len(W), np.result_type(x, W)))
        target_logits = logits[np.arange(len(targets)), targets] + b[targets]
        Z, shift = exponentiate_(logits, b, lambda rows: x[rows] @ W.T)
        return np.log(Z) + shift - target_logits, (x, targets, logits, Z)

    def backward_(self, W: Array, dW: Array, db: Array, scale: float, cache: Cache) -> Array:
        """Write the gradients of `scale` times the sum of the rows' losses into dW and db; return that of x, (N, d).

        Of the logits it is scale * (exponentials / Z - onehot(targets)), which is scale / Z times
        (exponentials - Z onehot(targets)); only this last bracket is formed, in place.
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
        """-ln P(target) of each row, (N,), without the (N, n) matrix in memory."""
        return in_pieces(lambda rows: self.forward(W, b, x[rows], targets[rows])[0], len(x), len(W))


def in_pieces(score: Callable[[slice], Array], rows: int, columns: int) -> Array:
    """The scores of so many rows, of some rows at a time, so that SCORED elements of (rows, columns) are the most."""
    step = rows_in_a_piece(columns)
    return np.concatenate([score(slice(start, start + step)) for start in range(0, max(rows, 1), step)])


def rows_in_a_piece(columns: int) -> int:
    """How many rows are scored at a time."""
    return max(1, SCORED // columns)


def log_softmax(W: Array, b: Array, x: Array) -> Array:
    """Ln P of every k, (N, n)."""
    logits = x @ W.T + b
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits


def exponentiate_(logits: Array, b: Array | None, again: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Turn logits (N, n) into exp(logits + b - shift) in place; the sums Z of its rows and the shift, (N,) each.

    The shift is zero but for rows that over- or underflow without it: `again(rows)` are their logits, once more.
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
    """Which sums of unshifted exponentials are far enough from overflow and underflow for 1/Z to keep its digits.

    The bounds are fourth roots of the smallest and largest numbers (3e-10 and 4e9 in float32), so that what is
    multiplied by scale/Z in the backward pass stays a normal number. False for what is not finite.
    """
    info = np.finfo(Z.real.dtype)
    trusted: Array = (Z.real > info.tiny**0.25) & (Z.real < info.max**0.25)
    return trusted
