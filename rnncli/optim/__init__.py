"""Optimizers over one flat vector, clipping, and learning-rate schedules.

To add an optimizer or a schedule: a class that has what its protocol says, and a line in its table.
"""

from __future__ import annotations

from rnncli.optim.adam import Adam, LazyAdam
from rnncli.optim.base import Optimizer
from rnncli.optim.clip import clip_by_global_norm_
from rnncli.optim.schedules import SCHEDULES, Schedule
from rnncli.optim.sgd import Sgd

OPTIMIZERS: dict[str, type[Adam] | type[Sgd]] = {"adam": Adam, "lazy_adam": LazyAdam, "sgd": Sgd}

__all__ = ["OPTIMIZERS", "SCHEDULES", "Adam", "LazyAdam", "Optimizer", "Schedule", "Sgd", "clip_by_global_norm_"]
