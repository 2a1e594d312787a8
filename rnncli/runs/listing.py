"""A summary of each run in a folder, from the metadata of its newest checkpoint; no arrays are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnncli.errors import RunError
from rnncli.runs import checkpoint
from rnncli.runs.checkpoint_file import OtherVersionError
from rnncli.runs.find import last_write, newest_runs
from rnncli.runs.folder import RunFolder
from rnncli.runs.metrics import figures_of_test, last_row
from rnncli.runs.progress import done, finished


@dataclass(frozen=True)
class RunSummary:
    """The state of a run.

    `state`: `training` (another process, `holder`, holds the lock), `finished` (`reason`: epochs or patience),
    `stopped` (also before `data.test` is measured), `no checkpoint yet`, `damaged` (no checkpoint can be read), or
    `other version` (the newest checkpoint has a format version that this rnncli does not read). `changed`: when a
    checkpoint or a row of metrics was last written, in seconds since 1970. `bytes`: total size of all files of the run.

    The other fields come from `checkpoint`, the newest checkpoint or guard that can be read; None without one.
    `problems`: why newer ones were skipped. `epoch`: epochs completed, out of `epochs`. For a run in training, step
    and epoch come from its metrics. `train_perplexity`: of the last completed epoch, or of the part of the first epoch
    done so far; None if the output layer is sampled. `test_perplexity`: of data.test, measured after training.
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
    test_perplexity: float | None = None
    problems: tuple[str, ...] = ()


def summaries(folder: str | None = None) -> Iterator[RunSummary]:
    """A summary of each run that `newest_runs` finds, in its order.

    Opens only the newest readable checkpoint of each run, and reads only its metadata; a run that cannot be read is
    listed with its problem. Raises RunError if no run exists; the message says where it was searched.
    """
    if folder is not None and not Path(folder).is_dir():
        problem = "not a folder (`rnncli inspect` shows a checkpoint)" if Path(folder).exists() else "no such folder"
        raise RunError(problem, location=folder, remedy="name a folder that contains runs")
    found = newest_runs(None if folder is None else Path(folder))
    if not found:
        where = "looked in ./runs and in the current folder" if folder is None else f"looked in {folder} and below"
        raise RunError(
            f"no run found: {where}",
            remedy="train one (`rnncli train CONFIG`), or name a folder: rnncli runs FOLDER",
        )
    return map(_summary, found)


def _summary(path: Path) -> RunSummary:
    folder = RunFolder(path)
    holder = folder.holder()
    newest, problems = _newest(folder)
    if holder is not None:
        state = "training"
        newest |= {"reason": None} | _position_after(newest.get("step", 0), folder.metrics)
    elif any(isinstance(problem, OtherVersionError) for problem in problems):
        state = "other version"
    elif newest:
        state = "finished" if newest["reason"] else "stopped"
    else:
        state = "damaged" if problems else "no checkpoint yet"
    messages = tuple(map(str, problems))
    return RunSummary(path, state, last_write(path), _size(path), holder=holder, problems=messages, **newest)


def _newest(folder: RunFolder) -> tuple[dict[str, Any], list[RunError]]:
    """Fields of a summary from the newest readable checkpoint or guard, and the errors of newer ones."""
    while True:
        problems, removed = list[RunError](), False
        try:
            paths = folder.newest_first()
        except RunError as error:
            return {}, [error]
        for path in paths:
            try:
                return _fields_from(path, folder.metrics), problems
            except RunError as error:
                if os.path.lexists(path):
                    problems.append(error)
                else:
                    removed = True
        if not removed:  # else a process that trains this run removed listed files, and wrote newer ones
            return {}, problems


def _fields_from(path: Path, metrics: Path) -> dict[str, Any]:
    metadata = checkpoint.read_metadata(path)
    config, p = metadata.config, metadata.progress
    m, reason = config.model, finished(p, config)
    test = figures_of_test(metrics) if reason else None
    fitted = last_row(metrics).get("event") in ("calibration", "test")
    if (config.data.test is not None and test is None) or (config.training.calibrate and not fitted):
        reason = None  # still to be measured
    ended = done(p, config, reason or "", metadata.random_seed)
    model = {"cell": m.cell, "layers": m.layers, "hidden_size": m.hidden_size, "output": m.output.name}
    position = {"epoch": p.position.epoch, "epochs": config.training.epochs, "step": p.position.step, "reason": reason}
    perplexities = {name: getattr(ended, name) for name in ("train_perplexity", "best_valid_perplexity")}
    perplexities["test_perplexity"] = None if test is None else test["perplexity"]
    return {"checkpoint": path} | model | position | perplexities


def _position_after(step: int, metrics: Path) -> dict[str, Any]:
    """Step and completed epochs of the last row of metrics, if its step is later than `step`."""
    row = last_row(metrics)
    try:
        if row["step"] <= step:
            return {}
        return {"step": row["step"], "epoch": row["epoch"] - (row["event"] != "epoch")}
    except (LookupError, TypeError):
        return {}


def _size(path: Path) -> int:
    sizes = [0]
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                sizes.append(os.lstat(os.path.join(folder, name)).st_size)
    return sum(sizes)
