"""What an output layer is."""

from __future__ import annotations

from typing import Any, Protocol

from rnncli.parameters import Array

Tensors = dict[str, Array]


class Output(Protocol):
    """A probability distribution over the next word, given hidden states as rows (N, H)."""

    def forward(self, p: Tensors, hidden: Array, targets: Array) -> tuple[Array, Any]:
        """-ln P(target) of each row in nats, (N,), and the cache."""

    def backward_(self, p: Tensors, g: Tensors, scale: float, cache: Any) -> Array:
        """Write the gradients of `scale` times the sum of the rows' losses into `g`; return that of hidden, (N, H).

        The cache may be used once: its largest array is overwritten.
        """

    def log_probabilities(self, p: Tensors, hidden: Array) -> Array:
        """Ln P of every word, (N, V); each row is a distribution."""
