"""The protocol of an optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from rnncli.model.parameters import Touched
from rnncli.system.arrays import Array


class Optimizer(Protocol):
    """Changes a vector of parameters by its gradient.

    Made from the size of the vector, its dtype and an instance of `Options`, the frozen dataclass of its settings,
    whose keys are next to `optimizer.name` in a config.
    """

    @property
    def Options(self) -> type:
        """A frozen dataclass of settings (`schema.fields.setting`); `NoOptions` if there are no settings."""

    squares: tuple[str, ...]
    """Names of the moments that are never below 0."""
    moments: dict[str, Array]
    """Arrays (size,) by name, kept between steps and stored in checkpoints."""

    @staticmethod
    def moment_names(options: Any = None) -> tuple[str, ...]:
        """Names of the moments of an optimizer with these options."""

    def __init__(self, size: int, dtype: np.dtype[np.generic], options: Any = None) -> None: ...

    def step_(
        self, vector: Array, gradient: Array, learning_rate: float, step: int, tables: Sequence[Touched] = ()
    ) -> None:
        """Update `vector` (size,) in place; `step` counts from 1. `gradient` is not changed.

        `tables` are parts of the gradient that are known to be zero except for some rows.
        """
