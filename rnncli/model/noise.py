"""What is added to a training pass alone: random streams, the masks of dropout, and penalties."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from rnncli.model.penalties import NO_PENALTIES, Penalties
from rnncli.schema.fields import setting
from rnncli.system.arrays import Array
from rnncli.system.randomness import stream

LEVELS = 1 << 16  # rates are rounded to multiples of 1 / LEVELS: 16 random bits decide about an element


@dataclass(frozen=True)
class Dropout:
    """Shares that a training pass sets to zero; what remains is divided by the share that is kept.

    input: features of the input rows. hidden: features of the hidden states between two layers. output: of those that
    enter the output layer. word: rows of the embedding, each in all its occurrences in a window. recurrent: elements of
    the recurrent weights `Waa` (DropConnect; Wan et al. 2013, Merity et al. 2018). masks: `window`, one mask for all
    steps of a window (Gal and Ghahramani 2016), or `step`, one for each (Zaremba et al. 2014).
    """

    input: float = setting(0.0, minimum=0, below=1, later=True)
    hidden: float = setting(0.0, minimum=0, below=1, later=True)
    output: float = setting(0.0, minimum=0, below=1, later=True)
    word: float = setting(0.0, minimum=0, below=1, later=True)
    recurrent: float = setting(0.0, minimum=0, below=1, later=True)
    masks: str = setting("window", choices=("window", "step"), later=True)


NO_DROPOUT = Dropout()


@dataclass(frozen=True)
class Noise:
    """Noise of the training step `index` of an epoch. Passes that evaluate or predict have no noise.

    Streams are addressed by purpose, epoch, index and any position that the caller adds (such as a layer), so that a
    resumed run draws the same numbers. Masks are None where nothing is dropped.
    """

    random_seed: int
    epoch: int
    index: int
    dropout: Dropout = NO_DROPOUT
    penalties: Penalties = NO_PENALTIES

    def stream(self, purpose: str, *position: int) -> np.random.Generator:
        """The random stream of one purpose, at one position, in this step."""
        return stream(self.random_seed, purpose, self.epoch, self.index, *position)

    def words(self, vocabulary_size: int, ids: Array, dtype: DTypeLike) -> Array | None:
        """Factors (T, B, 1) of the embedding rows of ids (T, B)."""
        mask = self._mask(self.dropout.word, (vocabulary_size,), dtype, "drop words")
        return None if mask is None else mask[ids][:, :, None]

    def input(self, T: int, B: int, n: int, dtype: DTypeLike) -> Array | None:
        """Factors of the input rows: (T, B, n), or (1, B, n) for all steps."""
        return self._mask(self.dropout.input, (self._steps(T), B, n), dtype, "drop input")

    def hidden(self, layer: int, layers: int, T: int, B: int, n: int, dtype: DTypeLike) -> Array | None:
        """Factors of the hidden states of a layer, as those of the input."""
        rate = self.dropout.hidden if layer < layers - 1 else self.dropout.output
        return self._mask(rate, (self._steps(T), B, n), dtype, "drop hidden", layer)

    def recurrent(self, layer: int, shape: tuple[int, ...], dtype: DTypeLike) -> Array | None:
        """Factors of the recurrent weights of a layer, in their shape."""
        return self._mask(self.dropout.recurrent, shape, dtype, "drop recurrent weights", layer)

    def _steps(self, T: int) -> int:
        return T if self.dropout.masks == "step" else 1

    def _mask(
        self, rate: float, shape: tuple[int, ...], dtype: DTypeLike, purpose: str, *position: int
    ) -> Array | None:
        """Zeros at the given rate, and the reciprocal of the share that is kept elsewhere."""
        if not rate:
            return None
        kept, size = max(1, round((1 - rate) * LEVELS)), math.prod(shape)
        drawn = np.frombuffer(self.stream(purpose, *position).bytes(2 * size), "<u2")
        real = np.empty(0, dtype).real.dtype
        factors: Array = np.multiply(drawn < kept, real.type(LEVELS / kept), dtype=real)
        return factors.reshape(shape)
