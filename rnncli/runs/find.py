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

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from rnncli.errors import RunError
from rnncli.runs.folder import RunFolder

T = TypeVar("T")


def reading(path: str | None, use: Callable[[list[Path]], T]) -> T:
    """What `use` makes of the checkpoints that `find` finds: once more where a run that is being trained has removed
    them meanwhile. Raises RunError.
    """
    while True:
        paths = find(path)
        try:
            return use(paths)
        except (RunError, FileNotFoundError) as error:
            if find(path) == paths:
                raise error if isinstance(error, RunError) else RunError(f"{error.filename}: no such file") from error


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
    with suppress(RunError):  # which may not be read
        for path in RunFolder(folder).checkpoints():
            with suppress(OSError):  # gone between looking and asking
                ages.append(path.stat().st_mtime_ns)
    return max(ages)
