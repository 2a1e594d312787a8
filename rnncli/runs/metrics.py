"""`metrics.jsonl`: a row for each step, each epoch, each rollback and the test, written as it happens."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rnncli.errors import WriteError
from rnncli.runs.progress import Progress
from rnncli.system import disk, json_text

TAIL = 1 << 16  # bytes read from the end of a file; they contain its last complete row


def last_row(path: Path) -> dict[str, Any]:
    """The last complete row of `metrics.jsonl`; empty if there is none, or it cannot be read."""
    try:
        if not os.path.isfile(path):  # opening a pipe would block
            return {}
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            *_, last, _ = file.read().split(b"\n")  # after the last line end: nothing, or a partly written row
        row = json.loads(last)
        return row if isinstance(row, dict) else {}
    except (OSError, ValueError):
        return {}


def figures_of_test(path: Path, data: str | None = None, step: int | None = None) -> dict[str, Any] | None:
    """The figures of the test, if the run ends with one. data: the hash of the text, step: of the checkpoint that was
    to be measured; None: any.
    """
    row = last_row(path)
    meant = row.get("event") == "test" and data in (None, row.get("data")) and step in (None, row.get("measured_step"))
    figures = row.get("test") if meant else None
    return figures if isinstance(figures, dict) and isinstance(figures.get("perplexity", ""), float | None) else None


class Metrics:
    """An open `metrics.jsonl`; each row is handed to the system as soon as it is appended."""

    def __init__(self, path: Path, progress: Progress) -> None:
        """Open for appending, after dropping the rows later than `progress` and a partly written last line.

        Raises WriteError.
        """
        with disk.writing(path):
            self._file = open(path, "a+b")  # noqa: SIM115 - closed by `close`
        try:
            with disk.writing(path):
                self._file.seek(0)
                self._file.truncate(sum(map(len, _until(self._file, progress))))
        except WriteError:
            self.close()
            raise

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row. Raises WriteError."""
        with disk.writing(Path(self._file.name)):
            self._file.write(json_text.dumps(row).encode() + b"\n")
            self._file.flush()

    def sync(self) -> None:
        """Make every row durable. Raises WriteError."""
        with disk.writing(Path(self._file.name)):
            disk.flush(self._file)

    def close(self) -> None:
        with suppress(OSError):  # `append` has raised it already
            self._file.close()


def _until(rows: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
    """The rows up to `progress`. Rows before a rollback already included in it are kept, whatever their steps."""
    rollbacks = 0
    for row in rows:
        try:
            content = json.loads(row)
            kind, step = content.get("event"), content["step"]
            if kind in ("calibration", "test"):  # they are measured again
                return
            if kind == "rollback":
                rollbacks = content["rollbacks"]
                late = rollbacks > progress.recovery.rollbacks
            else:
                late = step > progress.position.step or (kind == "epoch" and content["epoch"] > progress.position.epoch)
                late = late and rollbacks == progress.recovery.rollbacks
        except (ValueError, LookupError, TypeError, AttributeError):
            return
        if late or not row.endswith(b"\n"):
            return
        yield row
