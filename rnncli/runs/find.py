"""Finding runs on disk: which is the newest, and which checkpoint `--run PATH` names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rnncli.errors import RunError
from rnncli.runs import checkpoint
from rnncli.runs.checkpoint import Checkpoint
from rnncli.runs.folder import RunFolder

DEPTH = 3  # how many levels below a folder are searched for runs


class Readable(NamedTuple):
    """A checkpoint, read without what only resuming needs; `size` of the file in bytes."""

    path: Path
    checkpoint: Checkpoint
    size: int
    problems: list[str]  # why checkpoints that come before it were skipped
    alternatives: list[Path]  # all checkpoints of its run, itself included


def newest_runs(folder: Path | None = None) -> list[Path]:
    """The run folders in `folder`: itself, or up to three levels below it; the latest write first.

    The latest write is that of a checkpoint or a row of metrics. Without a folder: the current folder if it is a run,
    then those below ./runs.
    """
    places = [(Path(), 0), (Path("runs"), DEPTH)] if folder is None else [(folder, DEPTH)]
    visited = set[str]()
    found = [run for place, depth in places for run in _runs_below(place, depth, visited)]
    return sorted(found, key=lambda path: (folder is None and path != Path(), -last_write(path), path))


def _runs_below(folder: Path, depth: int, visited: set[str]) -> Iterator[Path]:
    """Each run once; skips hidden folders, folders inside a run, and folders that cannot be read."""
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    with suppress(OSError, RunError):
        if RunFolder(folder).holds_run():
            yield folder
            return
        if depth:
            with os.scandir(folder) as entries:
                folders = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
            for entry in sorted(folders, key=lambda each: (each.is_symlink(), each.name)):  # a run before links to it
                yield from _runs_below(folder / entry.name, depth - 1, visited)


def last_write(run: Path) -> float:
    """When a checkpoint or a row of metrics was last written, in seconds since 1970; 0 if never."""
    folder, times = RunFolder(run), [0.0]
    files = [folder.metrics]
    with suppress(RunError):  # a folder that cannot be read
        files += folder.checkpoints()
    for file in files:
        with suppress(OSError):  # removed since it was listed
            times.append(file.stat().st_mtime)
    return max(times)


def candidates(path: str | Path | None) -> list[Path]:
    """The checkpoints that `--run PATH` may mean, in order of preference.

    A checkpoint file: only itself. A run folder: its best checkpoint, then the last, then earlier ones. None: those of
    the current folder if it is a run, else of the first of `newest_runs()` that has a checkpoint. Raises RunError if no
    checkpoint exists; the message says where it was searched.
    """
    if path is not None:
        return _checkpoints(path)
    for run in newest_runs():
        with suppress(RunError):  # a folder that cannot be read
            if paths := RunFolder(run).preferred():
                return paths
    raise RunError(
        "no run found: looked in ./runs and in the current folder",
        remedy="train one (`rnncli train CONFIG`), or name one with --run PATH",
    )


def _checkpoints(path: str | Path) -> list[Path]:
    given = Path(path)
    if given.is_file():
        return [given]
    if not given.exists():
        raise RunError("no such run or checkpoint", location=str(path), remedy="`rnncli train CONFIG` makes one")
    if paths := RunFolder(given).preferred():
        return paths
    raise RunError(
        "no checkpoint in this folder yet", location=str(path), remedy="name a run folder or a checkpoint file"
    )


def first_readable(path: str | Path | None) -> Readable:
    """Read the first of `candidates(path)` that is valid.

    Searches again if a process that trains the run removes a file in the meantime. Raises RunError, for the first
    candidate, if none is valid.
    """
    while True:
        errors, files = list[RunError](), candidates(path)
        for file in files:
            try:
                stored, size = _read(file)
                return Readable(file, stored, size, list(map(str, errors)), files)
            except RunError as error:
                if not os.path.lexists(file) and candidates(path) != files:  # removed in the meantime
                    break
                errors.append(error)
        else:
            raise errors[0]


def _read(file: Path) -> tuple[Checkpoint, int]:
    stored = checkpoint.read(file, resume=False)
    try:
        return stored, file.stat().st_size
    except FileNotFoundError as error:
        raise RunError("no such checkpoint", location=str(file)) from error
