"""`metrics.jsonl`: a row for each step and each epoch, as they happen, and for each time that a run went back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from rnncli import plain_json
from rnncli.errors import WriteError
from rnncli.progress import Progress


class Metrics:
    """`metrics.jsonl`: a row is on its way to the disk as soon as it is written."""

    def __init__(self, path: Path, progress: Progress) -> None:
        """Open for appending; first, what was written behind that progress is dropped, and a torn last line.
        Raises WriteError.
        """
        with _told(path):
            self._file = open(path, "a+b")  # noqa: SIM115 - closed by `close`
        try:
            self.rewind(progress)
        except WriteError:
            self.close()
            raise

    def rewind(self, progress: Progress) -> None:
        """Drop the rows of later steps, of the ends of later epochs, and of later rollbacks. Raises WriteError."""
        with _told(Path(self._file.name)):
            self._file.seek(0)
            kept = takewhile(lambda row: _belongs(row, progress), self._file)
            self._file.truncate(sum(map(len, kept)))

    def append(self, row: Mapping[str, Any]) -> None:
        with _told(Path(self._file.name)):
            self._file.write(plain_json.dumps(row).encode() + b"\n")
            self._file.flush()

    def sync(self) -> None:
        """Have every row on the disk. Raises WriteError."""
        with _told(Path(self._file.name)):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        with suppress(OSError):  # a row that found no room was told of by `append`
            self._file.close()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(f"{path}: cannot write: {error.strerror}; make room there, or set run.dir") from error


def _belongs(row: bytes, progress: Progress) -> bool:
    """Whether a row is whole, and of a time up to that progress."""
    try:
        content = json.loads(row)
        kind = content.get("event")
        late = (kind == "epoch" and content["epoch"] > progress.epoch) or (
            kind == "rollback" and content["rollbacks"] > progress.rollbacks
        )
        return row.endswith(b"\n") and not late and bool(content["step"] <= progress.step)
    except (ValueError, LookupError, TypeError, AttributeError):
        return False
