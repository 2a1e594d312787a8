"""Random streams of a training pass, addressed by purpose and position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rnncli.system.randomness import stream


@dataclass(frozen=True)
class Noise:
    """Random streams of the training step `index` of an epoch. Passes that evaluate or predict have no noise.

    Streams are addressed by purpose, epoch, index and any position that the caller adds (such as a layer), so that a
    resumed run draws the same numbers.
    """

    random_seed: int
    epoch: int
    index: int

    def stream(self, purpose: str, *position: int) -> np.random.Generator:
        """The random stream of one purpose, at one position, in this step."""
        return stream(self.random_seed, purpose, self.epoch, self.index, *position)
