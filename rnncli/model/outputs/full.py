"""The full softmax over the vocabulary: P(w | h) = exp(Wya_w h + by_w) / Z."""

from __future__ import annotations

import numpy as np

from rnncli.model.initialise import glorot_
from rnncli.model.outputs.base import Tensors
from rnncli.model.outputs.softmax import Cache, Softmax, log_softmax, rows_in_a_piece
from rnncli.model.parameters import Array, Shapes


class FullSoftmax:
    """Same result as `by_word.WordByWord`; a test of the engines holds them together."""

    exact = True

    def __init__(self, options: object = None, counts: Array | None = None) -> None:
        self._softmax = Softmax()

    @staticmethod
    def shapes(hidden_size: int, vocabulary_size: int, options: object = None) -> Shapes:
        return {"Wya": (vocabulary_size, hidden_size), "by": (vocabulary_size,)}

    @staticmethod
    def initialise_(p: Tensors, rng: np.random.Generator) -> None:
        vocabulary_size, hidden_size = p["Wya"].shape
        glorot_(p["Wya"], hidden_size, vocabulary_size, rng)
        p["by"][...] = 0

    def forward(
        self, p: Tensors, hidden: Array, targets: Array, rng: np.random.Generator | None = None
    ) -> tuple[Array, Cache]:
        return self._softmax.forward(p["Wya"], p["by"], hidden, targets)

    def backward_(self, p: Tensors, g: Tensors, scale: float, cache: Cache) -> Array:
        return self._softmax.backward_(p["Wya"], g["Wya"], g["by"], scale, cache)

    def score(self, p: Tensors, hidden: Array, targets: Array) -> Array:
        return self._softmax.score(p["Wya"], p["by"], hidden, targets)

    def log_probabilities(self, p: Tensors, hidden: Array) -> Array:
        return log_softmax(p["Wya"], p["by"], hidden)

    def flops(self, p: Tensors, cache: Cache) -> tuple[int, int]:
        products = len(cache[0]) * p["Wya"].size
        return 2 * products, 4 * products

    def held(self, shapes: Shapes, positions: int, scored: int) -> int:
        words, size = shapes["Wya"]
        rows = max(positions, min(scored, rows_in_a_piece(words)))
        return rows * words + 2 * positions * size  # the logits, and two of the small matrices beside them
