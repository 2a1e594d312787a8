"""Clipping, the optimizers and the learning-rate schedules, all over one flat vector.

A vector is worked on in chunks, which all cores share. What is computed of a chunk does not depend on who computes it,
and sums of chunks are added up in their order.
"""

from __future__ import annotations

from typing import Protocol


class Schedule(Protocol):
    """What the learning rate is multiplied by at each step."""

    def factor(self, step: int, done: float) -> float:
        """The factor after `step` steps, when `done` of the planned words, a share from 0 to 1, have been read."""


class Constant:
    """The learning rate as it is set."""

    def __init__(self, options: object = None) -> None:
        pass

    def factor(self, step: int, done: float) -> float:
        return 1.0


SCHEDULES: dict[str, type[Constant]] = {"constant": Constant}
