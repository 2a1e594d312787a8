"""Time of a training step by section.

Instrumented code calls `profile.enter("output")`; the time since the last call is added to the previous section. The
default `Profile` does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

SECTIONS = ("data", "input", "cells forward", "output", "cells backward", "clip and update")
"""`input`: embedding lookup and its gradient; `output`: output layer, forward and backward."""


class Profile:
    """Does nothing."""

    def begin(self) -> None:
        """Start a step, in the section `data`; discard a step that was started but not ended."""

    def enter(self, section: str) -> None:
        """Switch to this section; without effect outside of a step."""

    def count(self, flops: Callable[[], Mapping[str, int]]) -> None:
        """Add the floating-point operations of this step's matrix products by section; `flops` may not be called."""

    def end(self) -> None:
        """End the step."""

    def report(self) -> dict[str, Any] | None:
        """The measurements, or None if no step was measured."""
        return None


class StepProfile(Profile):
    """Measures seconds and floating-point operations; discards the first steps as soon as there are others."""

    def __init__(self, first: int = 0) -> None:
        """first: number of steps that warm the caches, and are discarded."""
        self._first = first
        self._seen = 0
        self._section: str | None = None  # None outside of a step
        self._since = 0.0
        self._step = _Sums()  # the step in progress
        self._all = _Sums()

    def begin(self) -> None:
        self._step = _Sums()
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
            self._all = _Sums()
        self._seen += 1
        self._all.add(self._step)

    def report(self) -> dict[str, Any] | None:
        """Means over the steps: {"steps", "milliseconds", "gflops", "sections"}, and in each of the sections {"name",
        "milliseconds", "percent", "gflops"}.

        `gflops`: 1e9 floating-point operations per second, those of the matrix products over the time of the whole
        section; None for a section without matrix products.
        """
        sums = self._all
        total, steps = sum(sums.seconds.values()), sums.steps
        if not steps or not total:
            return None
        return {
            "steps": steps,
            "milliseconds": 1e3 * total / steps,
            "gflops": _rate(sum(sums.flops.values()), total),
            "sections": [
                {
                    "name": name,
                    "milliseconds": 1e3 * seconds / steps,
                    "percent": 100 * seconds / total,
                    "gflops": _rate(sums.flops[name], seconds),
                }
                for name, seconds in sums.seconds.items()
            ],
        }


class _Sums:
    """Seconds and floating-point operations of some steps, by section."""

    def __init__(self) -> None:
        self.steps = 0
        self.seconds = dict.fromkeys(SECTIONS, 0.0)
        self.flops = dict.fromkeys(SECTIONS, 0)

    def add(self, step: _Sums) -> None:
        self.steps += 1
        for name in SECTIONS:
            self.seconds[name] += step.seconds[name]
            self.flops[name] += step.flops[name]


def _rate(flops: int, seconds: float) -> float | None:
    return flops / seconds / 1e9 if flops and seconds else None
