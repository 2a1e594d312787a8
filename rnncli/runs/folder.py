"""The run folder: its checkpoints and guards, and which of them a run stands for or goes on from; how it is found.

    <run>/config.yaml                  as resolved
    <run>/vocabulary.txt               one word a line, in the order of ids
    <run>/metrics.jsonl                one object a step, one an epoch, and one each time that it went back
    <run>/checkpoints/step-00001234.npz
    <run>/guard/step-00001000.npz      what a run that diverges goes back to

The last checkpoint is the one of the highest step that can be read; it says itself which step was the best. A guard is
a checkpoint, too: a run that was killed goes on from the newest of both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import NamedTuple

from rnncli.errors import RunError, UsageError, WriteError
from rnncli.runs import checkpoint, lock
from rnncli.runs.checkpoint import Described
from rnncli.runs.checkpoint_file import OtherVersionError
from rnncli.system import disk

CHECKPOINT = re.compile(r"step-(\d{8,})\.npz")


class Last(NamedTuple):
    """Where a run goes on: a checkpoint, every byte of it verified, and what is wrong with later ones."""

    path: Path
    described: Described
    passed_over: list[str]


class RunFolder:
    """Paths and files of one run; nothing is made before `create`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.vocabulary = path / "vocabulary.txt"
        self.metrics = path / "metrics.jsonl"
        self._verified: dict[tuple[Path, int, int, int], Described] = {}

    def create(self) -> None:
        """Make the folder, with the one for checkpoints in it. Raises WriteError."""
        self._make(disk.make_folder, self.path / "checkpoints")

    def create_for_guards(self) -> None:
        """Make the folder for guards, in a run folder that must be there. Raises WriteError."""
        self._make(lambda path: path.mkdir(exist_ok=True), self.path / "guard")

    def _make(self, make: Callable[[Path], None], folder: Path) -> None:
        try:
            make(folder)
        except OSError as error:
            raise WriteError(f"{self.path}: cannot make the run folder: {error.strerror}; set run.dir") from error

    def checkpoint_at(self, step: int) -> Path:
        """Where the checkpoint of a step stands."""
        return self.path / "checkpoints" / f"step-{step:08d}.npz"

    def guard_at(self, step: int) -> Path:
        """Where the guard of a step stands."""
        return self.path / "guard" / f"step-{step:08d}.npz"

    def checkpoints(self) -> list[Path]:
        """Every checkpoint, by step."""
        return _by_step(self.path / "checkpoints")

    def guards(self) -> list[Path]:
        """Every guard, by step: two, but for those of killed processes."""
        return _by_step(self.path / "guard")

    def holds_run(self) -> bool:
        """Whether a run was begun here."""
        return self.metrics.exists() or bool(self.checkpoints()) or bool(self.guards())

    def begin(self) -> None:
        """Mark the folder as that of a run, and remove what killed processes left half written. Raises WriteError."""
        for folder in (self.path, self.path / "checkpoints", self.path / "guard"):
            disk.clear(folder)
        try:
            if not self.metrics.exists():
                self.metrics.touch()
                disk.sync(self.path)
        except OSError as error:
            raise WriteError(f"{self.metrics}: cannot write: {error.strerror}; set run.dir") from error

    def last(self) -> Last | None:
        """The newest checkpoint, or guard, that is whole; None where there is none at all.

        Raises RunError where there are some and none is whole, and where the newest is of another format version.
        """
        while True:
            errors, paths = list[RunError](), self.newest_first()
            for path in paths:
                try:
                    return Last(path, self._verify(path), [str(error) for error in errors])
                except OtherVersionError:
                    raise
                except RunError as error:
                    errors.append(error)
            if paths == self.newest_first():  # else another process is training here, and has removed what was listed
                break
        if errors and self.checkpoints():  # a guard alone may be lost in a power cut: the run then begins anew
            raise errors[0]
        return None

    def _verify(self, path: Path) -> Described:
        """What a checkpoint says, every byte of it verified: once, unless the file changes."""
        try:
            stat = path.stat()
        except OSError:
            return checkpoint.verify(path)  # which says what is the matter
        key = (path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if key not in self._verified:
            found = checkpoint.verify(path)
            if found.progress.step != _step(path):
                raise RunError(f"{path}: is of step {found.progress.step}; a checkpoint has the name of its step")
            self._verified[key] = found
        return self._verified[key]

    def newest(self, guarded: int, step: int) -> Path | None:
        """The newest guard up to `guarded` that is whole, else the newest checkpoint up to `step`; None without one."""
        guards = [path for path in self.guards() if _step(path) <= guarded]
        checkpoints = [path for path in self.checkpoints() if _step(path) <= step]
        for path in guards[::-1] + checkpoints[::-1]:
            with suppress(RunError):
                self._verify(path)
                return path
        return None

    def preferred(self) -> list[Path]:
        """Every checkpoint in the order in which the run stands for it: the best, the last, those before it."""
        newest_first = [*self.checkpoints()[::-1], *self.guards()[::-1]]
        for path in newest_first:
            try:
                step = checkpoint.describe(path).progress.best_step
            except RunError:
                continue
            best = [self.checkpoint_at(step)] if step is not None and self.checkpoint_at(step).exists() else []
            return best + [other for other in newest_first if other not in best]
        return newest_first

    def prune(self, keep: int, step: int, needed: Collection[int | None]) -> None:
        """Remove all but the last `keep` checkpoints up to `step`, which was just written, and those of the steps that
        are `needed`. Later ones go, too: a resumed run found them damaged, or one that diverged went back.
        """
        paths = self.checkpoints()
        until = sum(_step(path) <= step for path in paths)
        kept = {*paths[max(0, until - keep) : until], *(self.checkpoint_at(each) for each in needed if each)}
        remove(path for path in paths if path not in kept)

    def prune_guards(self, kept: Collection[int]) -> None:
        """Remove all guards but those of some steps."""
        remove(path for path in self.guards() if _step(path) not in kept)

    def sync_guards(self) -> None:
        """Have the guards on the disk. Raises WriteError."""
        guards = self.guards()
        try:
            for path in [*guards, *{path.parent for path in guards}, *([self.path] if guards else [])]:
                disk.sync(path)
        except OSError as error:
            raise WriteError(f"{self.path}: cannot write there: {error.strerror}; set run.dir") from error

    def newest_first(self) -> list[Path]:
        """Checkpoints and guards; of one step, the checkpoint, which may have the end of an epoch, first."""
        paths = [*self.guards(), *self.checkpoints()]
        return sorted(paths, key=_step)[::-1]

    def move_aside(self) -> Path:
        """Rename the folder to the first free of `<run>.1`, `<run>.2`, ...; nothing is deleted.

        Raises UsageError for a folder that has more in it than a run.
        """
        own = {self.config.name, self.vocabulary.name, self.metrics.name, "checkpoints", "guard", ".lock"}
        names = {path.name for path in self.path.iterdir() if not disk.TEMPORARY.fullmatch(path.name)}
        if foreign := sorted(names - own):
            raise UsageError(
                f"{self.path}: has {foreign[0]} in it beside the run, and is not moved aside; set another run.dir"
            )
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.{number}")).exists():
            number += 1
        try:
            self.path.rename(aside)
            disk.sync(aside.parent)
        except OSError as error:
            raise WriteError(f"{self.path}: cannot move the old run to {aside}: {error.strerror}") from error
        return aside

    def lock(self) -> AbstractContextManager[None]:
        """Hold the folder for one writer. Raises RunInUseError and WriteError."""
        return lock.hold(self.path)

    def holder(self) -> str | None:
        """Who is writing to this folder now, or None."""
        return lock.holder(self.path)


def remove(paths: Iterable[Path]) -> None:
    """Remove files; one that cannot be removed stays, and costs room alone."""
    for path in paths:
        with suppress(OSError):
            path.unlink()


def _step(path: Path) -> int:
    """Of a checkpoint, by its name; -1 for another name."""
    found = CHECKPOINT.fullmatch(path.name)
    return int(found[1]) if found else -1


def _by_step(folder: Path) -> list[Path]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise RunError(f"{folder}: cannot be read: {error.strerror}; what is in it is needed") from error
    return sorted((folder / name for name in names if CHECKPOINT.fullmatch(name)), key=_step)
