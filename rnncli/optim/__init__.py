"""Optimizers over one flat vector, clipping, and learning-rate schedules.

To add one, write a class that implements `Optimizer` or `Schedule`, and add it to `OPTIMIZERS` or `SCHEDULES`.
"""

from __future__ import annotations

from rnncli.optim.adam import Adam, LazyAdam
from rnncli.optim.averaging import AVERAGING, Averaging, average_
from rnncli.optim.base import Optimizer
from rnncli.optim.clip import clip_by_global_norm_
from rnncli.optim.decay import decay_
from rnncli.optim.schedules import SCHEDULES, Moment, Schedule
from rnncli.optim.sgd import Sgd

OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "lazy_adam": LazyAdam, "sgd": Sgd}

__all__ = ["AVERAGING", "OPTIMIZERS", "SCHEDULES", "Adam", "LazyAdam", "Moment", "Optimizer", "Schedule", "Sgd"]
__all__ += ["Averaging", "average_", "clip_by_global_norm_", "decay_"]
