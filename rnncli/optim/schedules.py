"""Learning-rate schedules."""

from __future__ import annotations

from typing import Protocol


class Schedule(Protocol):
    """The factor of the learning rate at each step. Made from an instance of its `Options`, if it has that class."""

    def factor(self, step: int, done: float) -> float:
        """The factor after `step` steps, when the share `done` (0 to 1) of the planned words has been read."""


class Constant:
    """The learning rate of the config, unchanged."""

    def __init__(self, options: object = None) -> None:
        pass

    def factor(self, step: int, done: float) -> float:
        return 1.0


SCHEDULES: dict[str, type[Constant]] = {"constant": Constant}
