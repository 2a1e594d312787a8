"""Standard output and standard error that may be closed, full or gone."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from rnncli.errors import WriteError, reason

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Sink(io.RawIOBase):
    """The bytes of a standard stream, on their way to `below`.

    `required` output that cannot be written ends the command: with SystemExit(0) if its reader has exited, otherwise
    with WriteError. Other output is dropped, and `dropped` is called with the reason, the first time.
    """

    def __init__(self, below: Any, required: bool) -> None:
        self._below, self.required = below, required
        self.dropped: Callable[[str], None] = _nothing

    def write(self, data: Any) -> int:
        try:
            while (written := self._below.write(data)) is None:  # a terminal or pipe that does not block, and is full
                select.select([], [self._below], [])
            self._below.flush()
            return int(written)
        except OSError as error:
            required, self.required = self.required, False  # the rest is dropped
            if not required:
                dropped, self.dropped = self.dropped, _nothing
                dropped(reason(error))
                return len(data)
            if isinstance(error, BrokenPipeError):  # head, less
                raise SystemExit(0) from None
            problem = "no space left" if error.errno in NO_SPACE else reason(error)
            raise WriteError(
                problem, location="standard output", remedy="free some space, or write elsewhere"
            ) from None

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return bool(self._below.isatty())

    def fileno(self) -> int:
        return int(self._below.fileno())


@contextmanager
def standard_streams() -> Iterator[None]:
    """Replace sys.stdout and sys.stderr by streams that keep a command alive; a closed one becomes the null device.

    Standard output is required, see `Sink`; `optional_stdout` changes that.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes this number: otherwise the next file, a checkpoint, would have it
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _stream(sys.stdout, True), _stream(sys.stderr, False)
    try:
        yield
    finally:
        ours, (sys.stdout, sys.stderr) = (sys.stdout, sys.stderr), before
        for stream in set(ours) - set(before):
            with suppress(WriteError, SystemExit):
                stream.close()


def optional_stdout(dropped: Callable[[str], None]) -> None:
    """From now on, drop standard output that cannot be written; `dropped` is called the first time, with the reason."""
    sink = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(sink, Sink):
        sink.required, sink.dropped = False, dropped


def _nothing(reason: str) -> None:
    pass


def _stream(stream: TextIO | None, required: bool) -> TextIO:
    """A stream above a `Sink`. Characters that its encoding lacks are written as escapes."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    below = getattr(stream.buffer, "raw", stream.buffer)
    buffer = io.BufferedWriter(Sink(below, required))
    return io.TextIOWrapper(buffer, stream.encoding, "backslashreplace", line_buffering=True)
