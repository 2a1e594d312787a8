"""Learning-rate schedules: factors of `optimizer.learning_rate` over a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from rnncli.schema.fields import setting


@dataclass(frozen=True)
class Moment:
    """The step about to be taken.

    before, after: the share of the planned words (0 to 1) that has been read before this step and after it. epoch:
    epochs completed. stalls: how often validation has called for a lower learning rate.
    """

    before: float
    after: float
    epoch: int = 0
    stalls: int = 0


class Schedule(Protocol):
    """The factor of the learning rate at each step.

    Made from an instance of `Options`, the frozen dataclass of its settings.
    """

    @property
    def Options(self) -> type:
        """A frozen dataclass of settings (`schema.fields.setting`)."""

    spans_run: bool
    """Whether it depends on the length of the run."""
    patience: int | None
    """So many epochs without a lower validation loss are a stall; None: stalls are not counted."""

    def __init__(self, options: Any = None) -> None: ...

    def factor(self, at: Moment) -> float:
        """The factor of the step at this moment, 0 to 1."""


class Constant:
    """The learning rate of the config, but for a linear warm-up from 0 and a linear annealing to 0, both of which every
    schedule can have.
    """

    @dataclass(frozen=True)
    class Options:
        """Shares of the run."""

        warmup: float = setting(0.0, minimum=0, below=1, later=True)
        annealing: float = setting(0.0, minimum=0, maximum=1, later=True)

    patience: int | None = None

    def __init__(self, options: Any = None) -> None:
        self.options: Any = options or self.Options()
        self.spans_run = bool(self.options.warmup or self.options.annealing)

    def factor(self, at: Moment) -> float:
        o = self.options
        rising = at.after / o.warmup if o.warmup else 1.0
        falling = (1 - at.before) / o.annealing if o.annealing else 1.0
        return min(1.0, rising) * min(1.0, falling) * self.curve(at)

    def curve(self, at: Moment) -> float:
        """The factor without warm-up and annealing."""
        return 1.0

    def _after_warmup(self, at: Moment) -> float:
        """The share of the run after its warm-up that has been read."""
        warmup: float = self.options.warmup
        return max(0.0, (at.before - warmup) / (1 - warmup))


class Step(Constant):
    """Multiplies the learning rate by `gamma` after `after` epochs, and again every `every` epochs (Zaremba et al. 2014
    halve it every epoch from the fifth on).
    """

    @dataclass(frozen=True)
    class Options(Constant.Options):
        gamma: float = setting(0.5, above=0, below=1)
        after: int = setting(1, minimum=1)
        every: int = setting(1, minimum=1)

    def curve(self, at: Moment) -> float:
        o = self.options
        return float(o.gamma ** max(0, (at.epoch - o.after) // o.every + 1))


class Plateau(Constant):
    """Multiplies the learning rate by `gamma` whenever `patience` epochs bring no lower validation loss."""

    @dataclass(frozen=True)
    class Options(Constant.Options):
        gamma: float = setting(0.25, above=0, below=1)
        patience: int = setting(1, minimum=1)

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.patience = self.options.patience

    def curve(self, at: Moment) -> float:
        return float(self.options.gamma**at.stalls)


class Cosine(Constant):
    """Falls along half a cosine from 1 to `final` (Loshchilov and Hutter 2017, without restarts)."""

    @dataclass(frozen=True)
    class Options(Constant.Options):
        final: float = setting(0.0, minimum=0, maximum=1)

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.spans_run = True

    def curve(self, at: Moment) -> float:
        return _between(self.options.final, 1.0, (1 + math.cos(math.pi * self._after_warmup(at))) / 2)


class Linear(Cosine):
    """Falls in a straight line from 1 to `final`."""

    def curve(self, at: Moment) -> float:
        return _between(self.options.final, 1.0, 1 - self._after_warmup(at))


class OneCycle(Constant):
    """Rises along half a cosine from `initial` to 1 at the share `peak` of the run, then falls to `final` (Smith and
    Topin 2019).
    """

    @dataclass(frozen=True)
    class Options(Constant.Options):
        peak: float = setting(0.3, above=0, below=1)
        initial: float = setting(0.04, above=0, maximum=1)
        final: float = setting(0.0, minimum=0, maximum=1)

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.spans_run = True

    def curve(self, at: Moment) -> float:
        o = self.options
        if at.before < o.peak:
            return _between(o.initial, 1.0, (1 - math.cos(math.pi * at.before / o.peak)) / 2)
        return _between(o.final, 1.0, (1 + math.cos(math.pi * (at.before - o.peak) / (1 - o.peak))) / 2)


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "step": Step,
    "plateau": Plateau,
    "cosine": Cosine,
    "linear": Linear,
    "one_cycle": OneCycle,
}
