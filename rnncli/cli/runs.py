"""`rnncli runs`: list the runs in a folder with their state."""

from __future__ import annotations

import shlex
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from rnncli.cli.display.perplexities import figure
from rnncli.cli.display.table import print_table
from rnncli.cli.options import complete_paths, json_option, notify, print_json

if TYPE_CHECKING:
    from rnncli.runs.listing import RunSummary

UNITS = (("day", 86400), ("h", 3600), ("min", 60), ("s", 1))
COLUMNS = ("run", "state", "epoch", "step", "train", "best", "test", "model", "MB", "age")
RIGHT = ("epoch", "step", "train", "best", "test", "MB")
PERPLEXITIES = {"train": "train_perplexity", "best": "best_valid_perplexity", "test": "test_perplexity"}
LEFT_OUT = ("step", "MB", "model")  # on a narrow terminal, in this order


@click.command()
@click.argument("folder", required=False, shell_complete=complete_paths)
@json_option
def runs(folder: str | None, as_json: bool) -> None:
    """List the runs in FOLDER, up to three levels deep; without it: those in ./runs and the current folder.

    \b
    Examples:
      rnncli runs
      rnncli runs experiments
      rnncli runs --json

    The run written to last comes first; runs that --fresh moved aside (fruit.1) are included. The state is training
    (another process is training it), finished, patience (finished early by training.patience), stopped (train --resume
    continues it), no checkpoint yet, damaged (no checkpoint can be read), or other version (of the checkpoint format).
    Epochs, steps, train perplexity and best validation perplexity come from the metadata of the newest readable
    checkpoint; parameters are not verified (inspect --verify does that). A narrow terminal shows fewer columns.

    \b
    JSON: {"runs": [{"run" (its path), "state" (training, finished, stopped, no checkpoint yet, damaged, other version),
    "changed" (time of its last checkpoint or metrics row, UTC), "age" (seconds since then), "bytes" (of all its
    files), "reason" (if finished: epochs or patience), "holder" (the process that trains it), "checkpoint", "cell",
    "layers", "hidden_size", "output", "epoch" (epochs completed), "epochs" (epochs planned), "step",
    "train_perplexity", "best_valid_perplexity", "test_perplexity", "problems" (of skipped checkpoints)}]}; unknown
    values are null, as is train_perplexity if the output layer is sampled
    """
    from rnncli.runs.listing import summaries

    found, now = [], time.time()
    for run in summaries(folder):
        for problem in run.problems:
            notify(f"warning: skipped {problem}")
        found.append(run)
    if as_json:
        print_json({"runs": [_document(run, now) for run in found]})
        return
    _print([_row(run, now) for run in found])
    count = "1 run" if len(found) == 1 else f"{len(found)} runs"
    readable = next((run.path for run in found if run.checkpoint is not None), None)
    notify(count if readable is None else f"{count}; for details: rnncli inspect {shlex.quote(str(readable))}")


def _document(run: RunSummary, now: float) -> dict[str, Any]:
    fields = asdict(run)
    changed = datetime.fromtimestamp(run.changed, UTC).isoformat(timespec="seconds")
    checkpoint = None if run.checkpoint is None else str(run.checkpoint)
    age = max(0.0, now - run.changed)
    return {"run": str(fields.pop("path"))} | fields | {"checkpoint": checkpoint, "changed": changed, "age": age}


def _row(run: RunSummary, now: float) -> dict[str, str | None]:
    """The cell of each column; without a readable checkpoint only the state, the size and the age."""
    row: dict[str, str | None] = dict.fromkeys(COLUMNS)
    row |= {"run": str(run.path), "state": "patience" if run.reason == "patience" else run.state}
    row |= {"MB": f"{run.bytes / 1e6:.1f}", "age": _age(now - run.changed)}
    if run.step is not None:
        row |= {"epoch": f"{run.epoch}/{run.epochs or '?'}", "step": f"{run.step:,}"}
        row |= {name: figure(getattr(run, attribute), 2) for name, attribute in PERPLEXITIES.items()}
        row["model"] = "" if run.cell is None else f"{run.cell} {run.layers}x{run.hidden_size}"
    return row


def _print(rows: list[dict[str, str | None]]) -> None:
    """Print a table; with a column for the test if a run has measured one."""
    tested = any(row["test"] not in (None, "-") for row in rows)
    columns = [name for name in COLUMNS if name != "test" or tested]
    right = "".join(str(i) for i, name in enumerate(columns) if name in RIGHT)
    print_table([columns, *([row[name] for name in columns] for row in rows)], right, LEFT_OUT)


def _age(seconds: float) -> str:
    """`3 min`: whole units, the largest unit that is not zero."""
    for unit, size in UNITS:
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}"
    return "now"
