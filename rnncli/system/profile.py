"""Where the time of a training step goes: the sections that it is in, one after another.

Instrumented code says `profile.enter("output")`, and the time since the last switch is booked on the section before.
By default it says so to a `Profile` that does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

SECTIONS = ("data", "input", "cells forward", "output", "cells backward", "clip and update")
"""`input`: the embeddings' rows, and in the backward pass their gradients; `output`: forward and backward."""


class Profile:
    """Does nothing."""

    def begin(self) -> None:
        """A step begins, with its data; one that had begun and not ended is forgotten."""

    def enter(self, section: str) -> None:
        """The step goes over to this section; outside of a step this does nothing."""

    def count(self, flops: Callable[[], Mapping[str, int]]) -> None:
        """Ask for the floating-point operations of this step's matrix products, by section."""

    def end(self) -> None:
        """The step is done."""

    def report(self) -> dict[str, Any] | None:
        """What was booked; None where nothing was."""
        return None


class StepProfile(Profile):
    """Books seconds and floating-point operations, and forgets the first steps once it has others."""

    def __init__(self, first: int = 0) -> None:
        """`first` steps warm the caches."""
        self._first = first
        self._seen = 0
        self._section: str | None = None  # None outside of a step
        self._since = 0.0
        self._step = _Booked()  # the step under way
        self._all = _Booked()

    def begin(self) -> None:
        self._step = _Booked()
        self._section, self._since = SECTIONS[0], time.perf_counter()

    def enter(self, section: str) -> None:
        if self._section is None:
            return
        now = time.perf_counter()
        self._step.seconds[self._section] += now - self._since
        self._section, self._since = section, now

    def count(self, flops: Callable[[], Mapping[str, int]]) -> None:
        for section, number in flops().items():
            self._step.flops[section] += number

    def end(self) -> None:
        if self._section is None:
            return
        self.enter(self._section)
        self._section = None
        if self._seen == self._first:
            self._all = _Booked()
        self._seen += 1
        self._all.add(self._step)

    def report(self) -> dict[str, Any] | None:
        """Means over the steps: {"steps", "milliseconds", "gflops", "sections"}, and in each of the sections {"name",
        "milliseconds", "percent", "gflops"}.

        `gflops` are thousand million floating-point operations a second, of the matrix products over the time of the
        whole section; None where it has none.
        """
        booked = self._all
        total, steps = sum(booked.seconds.values()), booked.steps
        if not steps or not total:
            return None
        return {
            "steps": steps,
            "milliseconds": 1e3 * total / steps,
            "gflops": _rate(sum(booked.flops.values()), total),
            "sections": [
                {
                    "name": name,
                    "milliseconds": 1e3 * seconds / steps,
                    "percent": 100 * seconds / total,
                    "gflops": _rate(booked.flops[name], seconds),
                }
                for name, seconds in booked.seconds.items()
            ],
        }


class _Booked:
    """Seconds and floating-point operations of some steps, by section."""

    def __init__(self) -> None:
        self.steps = 0
        self.seconds = dict.fromkeys(SECTIONS, 0.0)
        self.flops = dict.fromkeys(SECTIONS, 0)

    def add(self, step: _Booked) -> None:
        self.steps += 1
        for name in SECTIONS:
            self.seconds[name] += step.seconds[name]
            self.flops[name] += step.flops[name]


def _rate(flops: int, seconds: float) -> float | None:
    return flops / seconds / 1e9 if flops and seconds else None
