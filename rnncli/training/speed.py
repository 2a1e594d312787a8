"""Words per second of the steps of this process."""

from __future__ import annotations

import statistics

FIRST_TIMED_STEP = 5  # the first few steps of a process warm caches and are left out of words/s


class Speed:
    """Times of the steps that this process takes, and of those of the epoch in progress."""

    def __init__(self) -> None:
        self._rates: list[float] = []
        self._words, self._seconds = 0, 0.0

    def add(self, words: int, seconds: float) -> float:
        """Count a step; its words per second."""
        self._words, self._seconds = self._words + words, self._seconds + seconds
        self._rates.append(words / seconds)
        return self._rates[-1]

    def __bool__(self) -> bool:
        """Whether a step was taken."""
        return bool(self._rates)

    @property
    def median(self) -> float | None:
        """Median words per second of the steps, without the first few; None without a step."""
        rates = self._rates[FIRST_TIMED_STEP:] or self._rates
        return statistics.median(rates) if rates else None

    def end_epoch_(self) -> tuple[float | None, float]:
        """Words per second and seconds of the steps of this epoch, (None, 0) without any; begin the next."""
        words, seconds = self._words, self._seconds
        self._words, self._seconds = 0, 0.0
        return words / seconds if seconds else None, seconds
