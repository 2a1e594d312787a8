"""Progress on stderr: a bar on a terminal, otherwise at most one line every three seconds, or nothing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

SECONDS_BETWEEN_LINES = 3.0


class Style(Enum):
    BAR = auto()
    LINES = auto()
    SILENT = auto()


def style(quiet: bool) -> Style:
    """The style that fits stderr: a bar on a terminal unless NO_COLOR is set, silent if `quiet`."""
    if quiet:
        return Style.SILENT
    return Style.BAR if sys.stderr.isatty() and "NO_COLOR" not in os.environ else Style.LINES


class Bar:
    """A bar on stderr, erased when it is closed. `options` are those of tqdm."""

    def __init__(self, **options: Any) -> None:
        from tqdm import tqdm

        tqdm.monitor_interval = 0  # no thread of its own, which may not start; `describe` keeps the bar alive
        self._bar = tqdm(file=sys.stderr, dynamic_ncols=True, leave=False, **options)

    @property
    def done(self) -> int:
        return int(self._bar.n)

    def advance_to(self, done: int) -> None:
        self._bar.update(done - self._bar.n)

    def describe(self, text: str, refresh: bool = True) -> None:
        """Set the text of the bar; without `refresh` it appears with the next update."""
        self._bar.set_description_str(text, refresh=refresh)

    def write(self, line: str) -> None:
        """Write a line above the bar."""
        self._bar.write(line, file=sys.stderr)

    def close(self) -> None:
        self._bar.close()


class Pace:
    """Writes at most one line every SECONDS_BETWEEN_LINES; a line that was queued goes first."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write, self._last, self._queued = write, time.monotonic(), ""

    def queue(self, line: str) -> None:
        """Write this line as soon as one is due; it replaces a line that is still queued."""
        self._queued = line

    def write(self, line: Callable[[], str] | None = None) -> None:
        """If a line is due, write the queued one, otherwise the one that `line` returns."""
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_LINES or not (self._queued or line):
            return
        self._write(self._queued or (line() if line else ""))
        self._last, self._queued = now, ""
