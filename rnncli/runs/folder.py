"""The run folder: its files, its checkpoints and guards, and which of them are preferred, resumed from or removed.

    <run>/config.yaml                  with every setting resolved
    <run>/vocabulary.txt               one word per line, in the order of ids
    <run>/metrics.jsonl                one JSON object per step, epoch, rollback and measurement at the end
    <run>/checkpoints/step-00001234.npz
    <run>/guard/step-00001000.npz      where a run that diverges rolls back to

The last checkpoint is the readable one of the highest step; its metadata names the best step. A guard is a file of the
same format: a killed run resumes from the newest of both.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import NamedTuple

from rnncli.errors import RunError, UsageError, reason
from rnncli.runs import checkpoint, lock
from rnncli.runs.checkpoint import Metadata
from rnncli.runs.checkpoint_file import OtherVersionError
from rnncli.system import disk

CHECKPOINT = re.compile(r"step-(\d{8,})\.npz")


class ResumePoint(NamedTuple):
    """A checkpoint or guard, every byte of it verified."""

    path: Path
    metadata: Metadata
    passed_over: list[str]  # why newer ones were skipped


class RunFolder:
    """Paths and files of one run; nothing is created before `create`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.vocabulary = path / "vocabulary.txt"
        self.metrics = path / "metrics.jsonl"
        self._verified: dict[tuple[Path, int, int, int], Metadata] = {}

    def create(self) -> None:
        """Create the folder and its folder for checkpoints. Raises WriteError."""
        with disk.writing(self.path, "set run.dir"):
            disk.make_folder(self._real / "checkpoints")

    def create_for_guards(self) -> None:
        """Create the folder for guards; the run folder must exist. Raises WriteError."""
        with disk.writing(self.path, "set run.dir"):
            (self.path / "guard").mkdir(exist_ok=True)

    def checkpoint_at(self, step: int) -> Path:
        """Path of the checkpoint of a step."""
        return self.path / "checkpoints" / f"step-{step:08d}.npz"

    def guard_at(self, step: int) -> Path:
        """Path of the guard of a step."""
        return self.path / "guard" / f"step-{step:08d}.npz"

    def checkpoints(self) -> list[Path]:
        """Every checkpoint, in the order of steps. Raises RunError if the folder cannot be read."""
        return _by_step(self.path / "checkpoints")

    def guards(self) -> list[Path]:
        """Every guard, in the order of steps: at most two, and those left by killed processes. Raises RunError."""
        return _by_step(self.path / "guard")

    def holds_run(self) -> bool:
        """Whether the folder contains a run. Raises RunError if it cannot be read."""
        return self.metrics.exists() or bool(self.checkpoints()) or bool(self.guards())

    def begin(self) -> None:
        """Mark the folder as a run, and remove temporary files of killed processes. Raises WriteError."""
        for folder in (self.path, self.path / "checkpoints", self.path / "guard"):
            disk.clear(folder)
        with disk.writing(self.metrics):
            if not self.metrics.exists():
                self.metrics.touch()
                disk.sync(self.path)

    def last(self) -> ResumePoint | None:
        """The newest valid checkpoint or guard, which a run resumes from; None if the run has no valid guard and no
        checkpoint.

        Raises RunError if checkpoints exist and none is valid, or if the newest has another format version.
        """
        while True:
            errors, paths = list[RunError](), self.newest_first()
            for path in paths:
                try:
                    return ResumePoint(path, self._verify(path), [str(error) for error in errors])
                except OtherVersionError:
                    raise
                except RunError as error:
                    errors.append(error)
            if paths == self.newest_first():  # else another process that trains here removed files: look again
                break
        if errors and self.checkpoints():  # guards alone may be lost in a power cut: the run restarts from step 0
            raise errors[0]
        return None

    def _verify(self, path: Path) -> Metadata:
        """Verify every byte of a checkpoint and return its metadata; again only if the file changes."""
        try:
            stat = path.stat()
        except OSError:
            return checkpoint.verify(path)  # raises a RunError that names the problem
        key = (path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if key not in self._verified:
            found = checkpoint.verify(path)
            if found.progress.position.step != _step(path):
                raise RunError(
                    f"contains step {found.progress.position.step}",
                    location=str(path),
                    remedy="rename it to that step, or remove it",
                )
            self._verified[key] = found
        return self._verified[key]

    def newest(self, guarded: int, step: int) -> Path | None:
        """The newest valid guard up to step `guarded`, else the newest valid checkpoint up to `step`, else None."""
        guards = [path for path in self.guards() if _step(path) <= guarded]
        checkpoints = [path for path in self.checkpoints() if _step(path) <= step]
        for path in guards[::-1] + checkpoints[::-1]:
            with suppress(RunError):
                self._verify(path)
                return path
        return None

    def preferred(self) -> list[Path]:
        """Files in order of preference: the best checkpoint, the last, the earlier ones, the guards.

        Before them those after the last readable one, of which each may be the best; and the best even if it is
        missing: whoever reads them reports both.
        """
        newest_first = [*self.checkpoints()[::-1], *self.guards()[::-1]]
        for number, path in enumerate(newest_first):
            try:
                step = checkpoint.read_metadata(path).progress.measured.best_step
            except RunError:
                continue
            first = newest_first[:number] + ([] if step is None else [self.checkpoint_at(step)])
            return first + [other for other in newest_first if other not in first]
        return newest_first

    def prune(self, keep: int, step: int, needed: Collection[int | None]) -> None:
        """Remove all checkpoints except the last `keep` up to `step`, which was just written, and those of the steps
        in `needed`. Later ones are removed too: they were damaged when the run resumed, or abandoned by a rollback.
        """
        paths = self.checkpoints()
        until = sum(_step(path) <= step for path in paths)
        kept = {*paths[max(0, until - keep) : until], *(self.checkpoint_at(each) for each in needed if each)}
        remove(path for path in paths if path not in kept)

    def prune_guards(self, kept: Collection[int]) -> None:
        """Remove all guards except those of the steps in `kept`."""
        remove(path for path in self.guards() if _step(path) not in kept)

    def sync_guards(self) -> None:
        """Make the guards durable. Raises WriteError."""
        guards = self.guards()
        with disk.writing(self.path):
            for path in [*guards, *{path.parent for path in guards}, *([self.path] if guards else [])]:
                disk.sync(path)

    def newest_first(self) -> list[Path]:
        """Checkpoints and guards. Of one step the checkpoint comes first: it may include the end of an epoch."""
        paths = [*self.guards(), *self.checkpoints()]
        return sorted(paths, key=_step)[::-1]

    def move_aside(self) -> Path:
        """Rename the folder to the first free name of `<run>.1`, `<run>.2`, ...; nothing is deleted.

        If the path is a link, the folder behind it is renamed, and the link stays. The files of a folder that cannot be
        renamed, such as a mount, move to `<run>.1`, ... inside it. Raises UsageError if the folder contains files that
        are not part of a run, and WriteError.
        """
        real, own = self._real, {self.config.name, self.vocabulary.name, self.metrics.name, "checkpoints", "guard"}
        other = re.compile(rf"{disk.TEMPORARY.pattern}|{re.escape(real.name)}\.\d+|{re.escape(lock.NAME)}|lost\+found")
        names = {path.name for path in real.iterdir()}
        if foreign := sorted(each for each in names - own if not other.fullmatch(each)):
            raise UsageError(
                f"contains {foreign[0]}, which is not part of the run, so it is not moved aside",
                location=str(self.path),
                remedy="set another run.dir",
            )
        aside = _free(real)
        with disk.writing(aside, "move the old run aside by hand, or set another run.dir"):
            try:
                real.rename(aside)
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS):
                    raise
                aside = _free(real / real.name)
                aside.mkdir()
                for each in sorted(names & own):
                    (real / each).rename(aside / each)
            disk.sync(aside.parent)
        return aside

    @property
    def _real(self) -> Path:
        """The folder itself, if the path is a link."""
        return Path(os.path.realpath(self.path)) if self.path.is_symlink() else self.path

    def lock(self) -> AbstractContextManager[None]:
        """Lock the folder for one writer. Raises RunInUseError and WriteError."""
        return lock.hold(self.path)

    def holder(self) -> str | None:
        """The process that holds the lock of this folder, or None."""
        return lock.holder(self.path)


def _free(path: Path) -> Path:
    """The first of `<path>.1`, `<path>.2`, ... that does not exist."""
    return next(each for n in itertools.count(1) if not os.path.lexists(each := path.with_name(f"{path.name}.{n}")))


def remove(paths: Iterable[Path]) -> None:
    """Remove files; ignore those that cannot be removed, as they cost only disk space."""
    for path in paths:
        with suppress(OSError):
            path.unlink()


def _step(path: Path) -> int:
    """Step in the name of a checkpoint; -1 for any other name."""
    found = CHECKPOINT.fullmatch(path.name)
    return int(found[1]) if found else -1


def _by_step(folder: Path) -> list[Path]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise RunError(
            f"cannot be read: {reason(error)}", location=str(folder), remedy="allow reading it, or name another run"
        ) from error
    return sorted((folder / name for name in names if CHECKPOINT.fullmatch(name)), key=_step)
