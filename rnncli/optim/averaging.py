"""Averages of the parameters over training steps, on which a model is measured and used.

The average is a vector beside the moments of the optimizer, and is stored with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from rnncli.model.parameters import CHUNK
from rnncli.schema.fields import setting
from rnncli.system import threads
from rnncli.system.arrays import Array


class Averaging(Protocol):
    """How the parameters are averaged. Made from an instance of `Options`, the frozen dataclass of its settings."""

    names: tuple[str, ...]
    """Names of the arrays that it keeps: `("average",)`, or none."""
    patience: int | None
    """It begins after so many epochs without a lower validation loss; None: at the first step."""

    def __init__(self, options: Any = None) -> None: ...

    def share(self, number: int) -> float:
        """The share of the parameters in the average after the step `number` (from 1) since it began; 1 at first."""


class NoAveraging:
    """The parameters themselves are used."""

    names: tuple[str, ...] = ()
    patience: int | None = None

    def __init__(self, options: Any = None) -> None:
        pass

    def share(self, number: int) -> float:
        return 1.0


class Ema:
    """Exponential moving average. The decay begins low, (1 + n) / (10 + n) after n steps, so that the first parameters
    are soon forgotten.
    """

    @dataclass(frozen=True)
    class Options:
        decay: float = setting(0.999, above=0, below=1)

    names: tuple[str, ...] = ("average",)
    patience: int | None = None

    def __init__(self, options: Any = None) -> None:
        self.decay: float = (options or self.Options()).decay

    def share(self, number: int) -> float:
        return 1 - min(self.decay, number / (9 + number)) if number > 1 else 1.0


class Asgd:
    """The mean over all steps since validation has stalled (Polyak and Juditsky 1992, Merity et al. 2018): it begins
    after `patience` epochs without a lower loss, as `training.patience` counts them.
    """

    @dataclass(frozen=True)
    class Options:
        patience: int = setting(5, minimum=1)

    names: tuple[str, ...] = ("average",)

    def __init__(self, options: Any = None) -> None:
        self.patience: int | None = (options or self.Options()).patience

    def share(self, number: int) -> float:
        return 1 / number


AVERAGING: dict[str, type[Averaging]] = {"none": NoAveraging, "ema": Ema, "asgd": Asgd}


def average_(average: Array, vector: Array, share: float) -> None:
    """Average += share * (vector - average), in place; both (size,). A copy at share 1, whatever the average was."""

    def work(start: int) -> None:
        chunk = slice(start, start + CHUNK)
        if share == 1:
            average[chunk] = vector[chunk]
        else:
            average[chunk] += share * (vector[chunk] - average[chunk])

    threads.share(work, range(0, vector.size, CHUNK), vector.size)
