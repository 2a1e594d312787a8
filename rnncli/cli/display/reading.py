"""Display of reading and measuring texts: a bar after one second, or a line every few seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rnncli.cli.display.progress import Bar, Pace, Style, style
from rnncli.cli.options import notify

if TYPE_CHECKING:
    from rnncli.text.files import Watch

SECONDS_BEFORE = 1.0


@contextmanager
def reading_display(quiet: bool = False) -> Iterator[Watch]:
    """Yield the callback that shows how much of the texts is read."""
    match style(quiet):
        case Style.SILENT:
            yield lambda activity, done, total: None
        case Style.LINES:
            yield _ReadingLines().watch
        case Style.BAR:
            bar = _ReadingBar()
            try:
                yield bar.watch
            finally:
                bar.close()


class _ReadingBar:
    """A bar with MB/s for each activity."""

    def __init__(self) -> None:
        self._activity = ""
        self._bar: Bar | None = None

    def watch(self, activity: str, done: int, total: int | None) -> None:
        from rnncli.text.files import MEASURING

        if self._bar is None or activity != self._activity or done < self._bar.done:
            self.close()
            self._activity = activity
            unit = " words" if activity == MEASURING else "B"
            self._bar = Bar(total=total, desc=activity, unit=unit, unit_scale=True, delay=SECONDS_BEFORE)
        self._bar.advance_to(done)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class _ReadingLines:
    """A line with MB/s every few seconds, the first of an activity a few seconds after it started."""

    def __init__(self) -> None:
        self._activity, self._started, self._pace = "", 0.0, Pace(notify)

    def watch(self, activity: str, done: int, total: int | None) -> None:
        if activity != self._activity:
            self._activity, self._started, self._pace = activity, time.monotonic(), Pace(notify)
        self._pace.write(lambda: self._line(done, total))

    def _line(self, done: int, total: int | None) -> str:
        from rnncli.text.files import MEASURING

        unit, size, digits = ("words", 1.0, 0) if self._activity == MEASURING else ("MB", 1e6, 1)
        of = f" of {total / size:,.0f}" if total else ""
        rate = done / size / (time.monotonic() - self._started)
        return f"{self._activity}: {done / size:,.0f}{of} {unit}, {rate:,.{digits}f} {unit}/s"
