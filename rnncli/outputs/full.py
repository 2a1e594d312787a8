"""The full softmax over the vocabulary: P(w | h) = exp(Wya_w h + by_w) / Z."""

from __future__ import annotations

import numpy as np

from rnncli.outputs.output import Tensors
from rnncli.parameters import Array, Shapes, add_rows_, glorot_

# Rows of the (N, V) matrix that are worked on together: this many elements stay in a core's second-level cache.
BLOCK = 1 << 17

Cache = tuple[Array, Array, Array, Array]


class FullSoftmax:
    """Same result as `stepwise.WordByWord`; a test of the engines holds them together.

    The (N, V) matrix is exponentiated in place and never normalised: 1/Z is folded into the small (N, H) matrices on
    either side of it, and the one-hot target is subtracted as a sparse update of rows.
    """

    def __init__(self, options: object = None) -> None:
        self._scratch: Array = np.empty(0)

    @staticmethod
    def shapes(hidden_size: int, vocabulary_size: int, options: object = None) -> Shapes:
        return {"Wya": (vocabulary_size, hidden_size), "by": (vocabulary_size,)}

    @staticmethod
    def initialise_(p: Tensors, rng: np.random.Generator) -> None:
        vocabulary_size, hidden_size = p["Wya"].shape
        glorot_(p["Wya"], hidden_size, vocabulary_size, rng)
        p["by"][...] = 0

    def forward(self, p: Tensors, hidden: Array, targets: Array) -> tuple[Array, Cache]:
        """-ln P(target) of each row. hidden (N, H), targets (N,) ids; the result is (N,) in nats."""
        logits = self._logits(p, hidden)
        rows = np.arange(len(targets))
        target_logits = logits[rows, targets]  # a copy, before they are exponentiated
        Z = _exponentiate_(logits)
        shift = np.zeros_like(Z)
        if len(bad := np.flatnonzero(~_trusted(Z))):
            # These rows over- or underflowed: once more, with the maximum of each taken off.
            again = hidden[bad] @ p["Wya"].T + p["by"]
            shift[bad] = again.real.max(axis=1)
            again -= shift[bad, None]
            Z[bad] = _exponentiate_(again)
            logits[bad] = again
        nll = np.log(Z) + shift - target_logits
        return nll, (hidden, targets, logits, Z)

    def backward_(self, p: Tensors, g: Tensors, scale: float, cache: Cache) -> Array:
        hidden, targets, exponentials, Z = cache
        weight = scale / Z  # (N,)
        # dlogits = scale * (exponentials / Z - onehot(targets)), never formed
        dhidden: Array = exponentials @ p["Wya"]
        dhidden *= weight[:, None]
        dhidden -= scale * p["Wya"][targets]
        np.matmul(exponentials.T, hidden * weight[:, None], out=g["Wya"])
        add_rows_(g["Wya"], targets, -scale * hidden)
        np.matmul(weight, exponentials, out=g["by"])
        g["by"] -= scale * np.bincount(targets, minlength=len(g["by"]))
        return dhidden

    def log_probabilities(self, p: Tensors, hidden: Array) -> Array:
        logits = hidden @ p["Wya"].T + p["by"]
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return logits

    def _logits(self, p: Tensors, hidden: Array) -> Array:
        """Hidden @ Wya.T + by, (N, V), in a buffer that is made once and reused by the next step."""
        N, V = len(hidden), len(p["by"])
        dtype = np.result_type(hidden, p["Wya"])
        if self._scratch.size < N * V or self._scratch.dtype != dtype:
            self._scratch = np.empty(N * V, dtype)
        logits = self._scratch[: N * V].reshape(N, V)
        np.matmul(hidden, p["Wya"].T, out=logits)  # (N, H) @ (H, V)
        for rows in _blocks(logits):
            rows += p["by"]
        return logits


def _blocks(matrix: Array) -> list[Array]:
    step = max(1, BLOCK // matrix.shape[1])
    return [matrix[start : start + step] for start in range(0, len(matrix), step)]


def _exponentiate_(logits: Array) -> Array:
    """Exponentiate in place; the sums of the rows, (N,)."""
    Z = np.empty(len(logits), logits.dtype)
    start = 0
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for rows in _blocks(logits):
            np.exp(rows, out=rows)
            np.sum(rows, axis=1, out=Z[start : start + len(rows)])
            start += len(rows)
    return Z


def _trusted(Z: Array) -> Array:
    """Which sums of unshifted exponentials are far enough from overflow and underflow for 1/Z to keep its digits.

    The bounds are fourth roots of the smallest and largest numbers (3e-10 and 4e9 in float32), so that what is
    multiplied by scale/Z in the backward pass stays a normal number. False for what is not finite.
    """
    info = np.finfo(Z.real.dtype)
    trusted: Array = (Z.real > info.tiny**0.25) & (Z.real < info.max**0.25)
    return trusted
