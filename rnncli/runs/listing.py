"""The runs in a folder, and how each stands: from the words of its newest checkpoint, never from its numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnncli.runs import checkpoint
from rnncli.runs.checkpoint_file import OtherVersionError
from rnncli.errors import RunError
from rnncli.runs.progress import done, finished
from rnncli.runs.folder import RunFolder

DEPTH = 3  # folders below the one that is looked in
LONGEST_ROW = 1 << 16  # bytes at the end of metrics.jsonl, among them its last whole row


@dataclass(frozen=True)
class Run:
    """A run as it stands.

    `state`: `training` (another process, `holder`, has it), `finished` (for `reason`, epochs or patience), `stopped`,
    `no checkpoint yet`, `damaged` (there are checkpoints, and none can be read), or `other version` (the newest is of a
    format version that is not read). `changed`: when a checkpoint or a row of its metrics was written last, in seconds
    since 1970. `bytes`: of all its files.

    The rest is what `checkpoint` says, the newest checkpoint or guard that can be read; None where there is none.
    `problems`: what is wrong with those that were passed over. `epoch`: epochs completed, of the `epochs` that were
    planned. A run that is training has its step and epoch from its metrics. Train perplexity is that of the last epoch
    that was completed, or of what was read of the first; None where the output layer is sampled.
    """

    path: Path
    state: str
    changed: float
    bytes: int
    reason: str | None = None
    holder: str | None = None
    checkpoint: Path | None = None
    cell: str | None = None
    layers: int | None = None
    hidden_size: int | None = None
    output: str | None = None
    epoch: int | None = None
    epochs: int | None = None
    step: int | None = None
    train_perplexity: float | None = None
    best_valid_perplexity: float | None = None
    problems: tuple[str, ...] = ()


def runs(folder: str | None = None) -> Iterator[Run]:
    """Every run in `folder`, itself or up to three folders below it, the one that was written to last first.

    Without a folder: the current one if it is a run, and those below ./runs. Of each only the newest checkpoint that
    can be read is opened, and of that only what it says in words; a run that cannot be read stops nothing. Raises
    RunError, which says where was looked, where there is none.
    """
    places = [Path(), Path("runs")] if folder is None else [Path(folder)]
    if folder is not None and not places[0].is_dir():
        what = "not a folder; `rnncli inspect` shows a checkpoint" if places[0].exists() else "no such folder"
        raise RunError(f"{folder}: {what}; name a folder that has runs in it")
    seen = set[str]()
    depths = [0, DEPTH] if folder is None else [DEPTH]
    found = [run for place, depth in zip(places, depths, strict=True) for run in _below(place, depth, seen)]
    if not found:
        where = "looked in ./runs and in the current folder" if folder is None else f"looked in {folder} and below"
        raise RunError(
            f"no run found: {where}; train one (`rnncli train CONFIG`), or name a folder: rnncli runs FOLDER"
        )
    newest_first = sorted(found, key=lambda path: (-_changed(path), path))
    return map(_read, newest_first)


def _below(folder: Path, depth: int, seen: set[str]) -> Iterator[Path]:
    """The runs in a folder, each once; nothing is looked for inside a run, nor in what may not be read."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    with suppress(OSError, RunError):
        if RunFolder(folder).holds_run():
            yield folder
            return
        if depth:
            with os.scandir(folder) as entries:
                folders = [each for each in entries if each.is_dir() and not each.name.startswith(".")]
            for each in sorted(folders, key=lambda each: (each.is_symlink(), each.name)):  # a run before links to it
                yield from _below(folder / each.name, depth - 1, seen)


def _changed(path: Path) -> float:
    folder, times = RunFolder(path), [0.0]
    files = [folder.metrics]
    with suppress(RunError):  # which may not be read
        files += folder.checkpoints()
    for file in files:
        with suppress(OSError):  # gone between looking and asking
            times.append(file.stat().st_mtime)
    return max(times)


def _read(path: Path) -> Run:
    folder = RunFolder(path)
    holder = folder.holder()
    newest, problems = _newest(folder)
    if holder is not None:
        state = "training"
        newest |= {"reason": None} | _since(newest.get("step", 0), folder.metrics)
    elif any(isinstance(problem, OtherVersionError) for problem in problems):
        state = "other version"
    elif newest:
        state = "finished" if newest["reason"] else "stopped"
    else:
        state = "damaged" if problems else "no checkpoint yet"
    told = tuple(map(str, problems))
    return Run(path, state, _changed(path), _size(path), holder=holder, problems=told, **newest)


def _newest(folder: RunFolder) -> tuple[dict[str, Any], list[RunError]]:
    """What the newest checkpoint or guard that can be read says, and what is wrong with those that are newer."""
    while True:
        problems, gone = list[RunError](), False
        try:
            paths = folder.newest_first()
        except RunError as error:
            return {}, [error]
        for path in paths:
            try:
                return _said_by(path), problems
            except RunError as error:
                if os.path.lexists(path):
                    problems.append(error)
                else:
                    gone = True
        if not gone:  # else a run that is being trained has removed what was listed, and has newer ones
            return {}, problems


def _said_by(path: Path) -> dict[str, Any]:
    described = checkpoint.describe(path)
    config, p = described.config, described.progress
    m, reason = config.model, finished(p, config)
    ended = done(p, config, reason or "", described.random_seed)
    model = {"cell": m.cell, "layers": m.layers, "hidden_size": m.hidden_size, "output": m.output.name}
    position = {"epoch": p.epoch, "epochs": config.training.epochs, "step": p.step, "reason": reason}
    perplexities = {name: getattr(ended, name) for name in ("train_perplexity", "best_valid_perplexity")}
    return {"checkpoint": path} | model | position | perplexities


def _since(step: int, metrics: Path) -> dict[str, Any]:
    """The step and the completed epochs that the last row of metrics tells of, where it is of a later step."""
    if not os.path.isfile(metrics):
        return {}
    try:
        with open(metrics, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LONGEST_ROW))
            *_, last, _ = file.read().split(b"\n")  # behind the last line end: nothing, or a row on its way
        row = json.loads(last)
        if row["step"] <= step:
            return {}
        return {"step": row["step"], "epoch": row["epoch"] - (row["event"] != "epoch")}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _size(path: Path) -> int:
    sizes = [0]
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                sizes.append(os.lstat(os.path.join(folder, name)).st_size)
    return sum(sizes)
