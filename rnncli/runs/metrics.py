"""`metrics.jsonl`: a row for each step and each epoch, as they happen, and for each time that a run went back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rnncli.system import json_text
from rnncli.errors import WriteError
from rnncli.runs.progress import Progress


class Metrics:
    """`metrics.jsonl`: a row is on its way to the disk as soon as it is written."""

    def __init__(self, path: Path, progress: Progress) -> None:
        """Open for appending; first, what was written behind that progress is dropped, and a torn last line.
        Raises WriteError.
        """
        with _told(path):
            self._file = open(path, "a+b")  # noqa: SIM115 - closed by `close`
        try:
            with _told(path):
                self._file.seek(0)
                self._file.truncate(sum(map(len, _until(self._file, progress))))
        except WriteError:
            self.close()
            raise

    def append(self, row: Mapping[str, Any]) -> None:
        with _told(Path(self._file.name)):
            self._file.write(json_text.dumps(row).encode() + b"\n")
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


def _until(rows: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
    """The rows up to that progress. Those before a rollback that it has behind it stay, whatever their steps."""
    rollbacks = 0
    for row in rows:
        try:
            content = json.loads(row)
            kind, step = content.get("event"), content["step"]
            if kind == "rollback":
                rollbacks = content["rollbacks"]
                late = rollbacks > progress.rollbacks
            else:
                late = step > progress.step or (kind == "epoch" and content["epoch"] > progress.epoch)
                late = late and rollbacks == progress.rollbacks
        except (ValueError, LookupError, TypeError, AttributeError):
            return
        if late or not row.endswith(b"\n"):
            return
        yield row
