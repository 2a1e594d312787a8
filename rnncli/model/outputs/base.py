"""Protocols of output layers."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from rnncli.model.noise import Noise
from rnncli.model.parameters import Section
from rnncli.system.arrays import Array, Shapes, Tensors


class Output(Protocol):
    """A probability distribution over the next word, given hidden states as rows (N, H)."""

    exact: bool
    """Whether the loss of `forward` is -ln P. If not, it is a random estimate, for training only."""

    def forward(self, p: Tensors, hidden: Array, targets: Array, noise: Noise | None = None) -> tuple[Array, Any]:
        """The training loss of each row in nats, (N,), and the cache.

        A layer that is not exact raises TypeError without noise.
        """

    def backward_(self, p: Tensors, g: Section, scale: float, cache: Any) -> Array:
        """Overwrite `g` with the gradients of `scale` times the sum of the rows' losses; return that of hidden, (N, H).

        Use a cache only once: its largest array is overwritten.
        """

    def score(self, p: Tensors, hidden: Array, targets: Array) -> Array:
        """-ln P(target) of each row in nats, (N,)."""

    def log_probabilities(self, p: Tensors, hidden: Array) -> Array:
        """Log-probability of every word in nats, (N, V)."""


class OutputLayer(Output, Protocol):
    """An output layer that a config can name.

    Made from an instance of `Options`, the frozen dataclass of its settings (None: the defaults), and the counts of the
    words in the training text, (V,), or None if unknown.
    """

    @property
    def Options(self) -> type:
        """A frozen dataclass of settings (`schema.fields.setting`); `NoOptions` if there are no settings."""

    def __init__(self, options: Any = None, counts: Array | None = None) -> None: ...

    @staticmethod
    def shapes(hidden_size: int, vocabulary_size: int, options: Any = None) -> Shapes:
        """Shapes of the parameters by name, in the order in which they are drawn and stored. Raises ConfigError."""

    @staticmethod
    def word_rows(shapes: Shapes) -> dict[str, range]:
        """For each tensor whose first rows belong to words, one each: the ids of these words."""

    @staticmethod
    def initialise_(p: Tensors, rng: np.random.Generator) -> None:
        """Fill the parameters with their starting values."""
