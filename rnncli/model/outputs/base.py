"""What an output layer is."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from rnncli.model.parameters import Array, Shapes

Tensors = dict[str, Array]


class Output(Protocol):
    """A probability distribution over the next word, given hidden states as rows (N, H)."""

    exact: bool
    """Whether the loss of `forward` is -ln P. If not it is an estimate, with random numbers, good for training only."""

    def forward(
        self, p: Tensors, hidden: Array, targets: Array, rng: np.random.Generator | None = None
    ) -> tuple[Array, Any]:
        """The loss of each row in nats, (N,), and the cache; `rng` is needed where the loss is not exact."""

    def backward_(self, p: Tensors, g: Tensors, scale: float, cache: Any) -> Array:
        """Write the gradients of `scale` times the sum of the rows' losses into `g`; return that of hidden, (N, H).

        The cache may be used once: its largest array is overwritten.
        """

    def score(self, p: Tensors, hidden: Array, targets: Array) -> Array:
        """-ln P(target) of each row in nats, (N,)."""

    def log_probabilities(self, p: Tensors, hidden: Array) -> Array:
        """Ln P of every word, (N, V); each row is a distribution."""

    def flops(self, p: Tensors, cache: Any) -> tuple[int, int]:
        """Floating-point operations of the matrix products of `forward` and of `backward_`, for the cache of a pass.

        A product of (n, k) and (k, m) has 2 n m k. The cache may have been used.
        """

    def held(self, shapes: Shapes, positions: int, scored: int) -> int:
        """How many numbers are in memory at most, beside parameters of these shapes and their gradients.

        In a step over so many positions, and while so many are scored.
        """
