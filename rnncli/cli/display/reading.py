"""How reading and measuring texts looks: nothing for a second, then a bar on a terminal, or a line now and then."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rnncli.cli.options import tell

if TYPE_CHECKING:
    from rnncli.text.files import Watch

SECONDS_BEFORE = 1.0
SECONDS_BETWEEN_LINES = 3.0


@contextmanager
def reading_display(quiet: bool = False) -> Iterator[Watch]:
    """What is to be told how far the reading of files is."""
    if quiet:
        yield lambda what, done, total: None
        return
    bar = _Bar() if sys.stderr.isatty() and "NO_COLOR" not in os.environ else _Lines()
    try:
        yield bar.watch
    finally:
        bar.close()


class _Bar:
    """A bar with MB/s for each thing that is done."""

    def __init__(self) -> None:
        self._what = ""
        self._bar: Any = None

    def watch(self, what: str, done: int, total: int | None) -> None:
        from tqdm import tqdm

        from rnncli.text.files import MEASURING

        if what != self._what or self._bar is None or done < self._bar.n:
            self.close()
            self._what = what
            self._bar = tqdm(
                total=total,
                desc=what,
                unit=" words" if what == MEASURING else "B",
                unit_scale=True,
                delay=SECONDS_BEFORE,
                leave=False,
                dynamic_ncols=True,
                file=sys.stderr,
            )
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class _Lines:
    """A line every few seconds."""

    def __init__(self) -> None:
        self._what, self._started, self._last = "", 0.0, 0.0

    def watch(self, what: str, done: int, total: int | None) -> None:
        from rnncli.text.files import MEASURING

        now = time.monotonic()
        if what != self._what:
            self._what, self._started, self._last = what, now, now
        if now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            unit, size, digits = ("words", 1.0, 0) if what == MEASURING else ("MB", 1e6, 1)
            of = f" of {total / size:,.0f}" if total else ""
            rate = done / size / (now - self._started)
            tell(f"{what}: {done / size:,.0f}{of} {unit}, {rate:,.{digits}f} {unit}/s")

    def close(self) -> None:
        pass
