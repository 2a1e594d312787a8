"""The run folder: its lock, its checkpoints, its metrics; how a run is found.

    <run>/config.yaml                  as resolved
    <run>/vocabulary.txt               one word a line, in the order of ids
    <run>/metrics.jsonl                one object a step, and one an epoch
    <run>/checkpoints/step-00001234.npz

The last checkpoint is the one of the highest step that can be read; it says itself which step was the best.
"""

from __future__ import annotations

import json
import math
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from rnncli import checkpoint, disk, plain_json
from rnncli.errors import RunError, RunInUseError, UsageError, WriteError

PROBED_FOR = 0.1  # seconds; who only asks whether a lock is held (`holder`) has it for much less
CHECKPOINT = re.compile(r"step-(\d{8,})\.npz")


class RunFolder:
    """Paths and files of one run; nothing is made before `create`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.vocabulary = path / "vocabulary.txt"
        self.metrics = path / "metrics.jsonl"

    def create(self) -> None:
        """Make the folder. Raises WriteError where that is not possible."""
        try:
            (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"{self.path}: cannot make the run folder: {error.strerror}; set run.dir") from error

    def checkpoint_at(self, step: int) -> Path:
        """Where the checkpoint of a step stands."""
        return self.path / "checkpoints" / f"step-{step:08d}.npz"

    def checkpoints(self) -> list[Path]:
        """Every checkpoint, by step."""
        found = ((CHECKPOINT.fullmatch(path.name), path) for path in (self.path / "checkpoints").glob("step-*.npz"))
        return [path for _, path in sorted((int(match[1]), path) for match, path in found if match)]

    def holds_run(self) -> bool:
        """Whether a run was begun here."""
        return self.metrics.exists() or bool(self.checkpoints())

    def begin(self) -> None:
        """Mark the folder as that of a run. Raises WriteError."""
        try:
            self.metrics.touch()
        except OSError as error:
            raise WriteError(f"{self.metrics}: cannot write: {error.strerror}; set run.dir") from error

    def last(self) -> tuple[Path, checkpoint.Meta] | None:
        """The newest checkpoint that is whole, every member verified, and what it says; None where there is none.

        Raises RunError where there are checkpoints and none is whole.
        """
        first_error: RunError | None = None
        for path in reversed(self.checkpoints()):
            try:
                return path, checkpoint.verify(path)
            except RunError as error:
                first_error = first_error or error
        if first_error:
            raise first_error
        return None

    def preferred(self) -> list[Path]:
        """Every checkpoint in the order in which the run stands for it: the best, the last, those before it."""
        newest_first = self.checkpoints()[::-1]
        for path in newest_first:
            try:
                step = checkpoint.read_meta(path)["best_step"]
            except RunError:
                continue
            best = [self.checkpoint_at(step)] if step is not None and self.checkpoint_at(step).exists() else []
            return best + [other for other in newest_first if other not in best]
        return newest_first

    def prune(self, keep: int, best_step: int | None, step: int) -> None:
        """Remove all but the best and the last `keep` checkpoints up to `step`, which was just written, and what killed
        writers left half done. A later one, which a resumed run found damaged, does not count.
        """
        for path in (self.path / "checkpoints").glob(".step-*.tmp"):
            path.unlink(missing_ok=True)
        paths = self.checkpoints()
        for path in paths[: max(0, paths.index(self.checkpoint_at(step)) + 1 - keep)]:
            if best_step is None or path != self.checkpoint_at(best_step):
                path.unlink(missing_ok=True)

    def move_aside(self) -> Path:
        """Rename the folder to the first free of `<run>.1`, `<run>.2`, ...; nothing is deleted.

        Raises UsageError for a folder that has more in it than a run.
        """
        own = {self.config.name, self.vocabulary.name, self.metrics.name, "checkpoints", ".lock"}
        if foreign := sorted({path.name for path in self.path.iterdir()} - own):
            raise UsageError(
                f"{self.path}: has {foreign[0]} in it beside the run, and is not moved aside; set another run.dir"
            )
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.{number}")).exists():
            number += 1
        try:
            self.path.rename(aside)
        except OSError as error:
            raise WriteError(f"{self.path}: cannot move the old run to {aside}: {error.strerror}") from error
        return aside

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one writer; the kernel lets go when the process ends, however it ends.

        Raises RunInUseError, naming the holder, where another process has it. A system without `flock` (Windows) has
        no such lock.
        """
        try:
            descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise WriteError(f"{self.path}: cannot write there: {error.strerror}; set run.dir") from error
        try:
            patience = time.monotonic() + PROBED_FOR
            while not disk.lock(descriptor):
                if time.monotonic() > patience:
                    holder = _holder(descriptor)
                    raise RunInUseError(f"{self.path}: in use by {holder}; wait for it, or set another run.dir")
                time.sleep(PROBED_FOR / 10)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            yield
        finally:
            os.close(descriptor)

    def holder(self) -> str | None:
        """Who is writing to this folder now, or None. Asking holds the lock for an instant, for which `lock` waits."""
        try:
            descriptor = os.open(self.path / ".lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return None if disk.lock(descriptor, shared=True) else _holder(descriptor)
        finally:
            os.close(descriptor)


def _holder(descriptor: int) -> str:
    """What the holder of a lock wrote into its file."""
    return os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"


class Metrics:
    """`metrics.jsonl`: a row is on its way to the disk as soon as it is written."""

    def __init__(self, path: Path, last_step: int, epochs: float = math.inf) -> None:
        """Open for appending; first, what was written behind a checkpoint is dropped, and a torn last line: rows of
        steps after `last_step`, and of the end of an epoch after the first `epochs`.
        """
        try:
            self._file = open(path, "a+b")  # noqa: SIM115 - closed by `close`
            self._file.seek(0)
            kept = takewhile(lambda row: _belongs(row, last_step, epochs), self._file if last_step else ())
            self._file.truncate(sum(map(len, kept)))
        except OSError as error:
            raise WriteError(f"{path}: cannot write: {error.strerror}") from error

    def append(self, row: Mapping[str, Any]) -> None:
        try:
            self._file.write(plain_json.dumps(row).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise WriteError(f"{self._file.name}: cannot write: {error.strerror}") from error

    def close(self) -> None:
        with suppress(OSError):  # a row that found no room was told of by `append`
            self._file.close()


def _belongs(row: bytes, last_step: int, epochs: float) -> bool:
    """Whether a row is whole, and of a time up to that step and the end of that epoch."""
    try:
        content = json.loads(row)
        completed = content.get("event") != "epoch" or content["epoch"] <= epochs
        return row.endswith(b"\n") and completed and bool(content["step"] <= last_step)
    except (ValueError, LookupError, TypeError, AttributeError):
        return False


def find(path: str | None) -> list[Path]:
    """The checkpoints that `--run PATH` stands for, the first to be preferred: the file itself, or those of a run
    folder, its best before its last.

    Without a path: of the current folder if it is a run, else of the newest run under ./runs. Raises RunError, which
    says where was looked.
    """
    if path is not None:
        given = Path(path)
        if given.is_file():
            return [given]
        if not given.exists():
            raise RunError(f"{path}: no such run or checkpoint; `rnncli train CONFIG` makes one")
        if found := RunFolder(given).preferred():
            return found
        raise RunError(f"{path}: no checkpoint in this folder yet; name a run folder or a checkpoint file")
    if here := RunFolder(Path()).preferred():
        return here
    runs = [(_age(folder), folder) for folder in Path("runs").glob("*")]
    newest = max((run for run in runs if run[0]), default=None)
    if newest is None:
        raise RunError(
            "no run found: looked in ./runs and in the current folder; train one (`rnncli train CONFIG`), "
            "or name one with --run PATH"
        )
    return RunFolder(newest[1]).preferred()


def _age(folder: Path) -> int:
    """When the newest checkpoint of a folder was written, in ns; 0 where there is none."""
    ages = [0]
    for path in RunFolder(folder).checkpoints():
        with suppress(OSError):  # gone between looking and asking
            ages.append(path.stat().st_mtime_ns)
    return max(ages)
