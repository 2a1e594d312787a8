"""`rnncli runs`: list the runs in a folder with their state."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from rnncli.cli.display.perplexities import figure
from rnncli.cli.options import json_option, notify, print_json

if TYPE_CHECKING:
    from rnncli.runs.listing import RunSummary

UNITS = (("day", 86400), ("h", 3600), ("min", 60), ("s", 1))
COLUMNS = ("run", "state", "epoch", "step", "train", "best", "model", "MB", "age")
RIGHT = ("epoch", "step", "train", "best", "MB")
LEFT_OUT = ("step", "MB", "model")  # on a narrow terminal, in this order
SHORTEST = 8  # characters to which a name is cut at most


@click.command()
@click.argument("folder", required=False)
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
    "train_perplexity", "best_valid_perplexity", "problems" (of skipped checkpoints)}]}; unknown values are null, as is
    train_perplexity if the output layer is sampled
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


def _row(run: RunSummary, now: float) -> dict[str, str]:
    """The text of each column; without a readable checkpoint only the state, the size and the age."""
    row = dict.fromkeys(COLUMNS, "")
    row |= {
        "run": _name(str(run.path)),
        "state": run.state,
        "MB": f"{run.bytes / 1e6:.1f}",
        "age": _age(now - run.changed),
    }
    if run.reason == "patience":
        row["state"] = "patience"
    if run.step is not None:
        row["epoch"] = f"{run.epoch}/{run.epochs or '?'}"
        row["step"] = f"{run.step:,}"
        row["train"], row["best"] = figure(run.train_perplexity, 2), figure(run.best_valid_perplexity, 2)
    if run.cell is not None:
        row["model"] = f"{run.cell} {run.layers}x{run.hidden_size}"
    return row


def _name(path: str) -> str:
    """A path without line ends."""
    return path if path.isprintable() else repr(path)


def _age(seconds: float) -> str:
    """`3 min`: whole units, the largest unit that is not zero."""
    for unit, size in UNITS:
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}"
    return "now"


def _print(rows: list[dict[str, str]]) -> None:
    """Print one line per run. A narrow terminal gets fewer columns, then shorter names."""
    table = [{column: column for column in COLUMNS}, *rows]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    columns, left_out = list(COLUMNS), list(LEFT_OUT)
    while room and left_out and _width(table, columns) > room:
        columns.remove(left_out.pop(0))
    if room and (excess := _width(table, columns) - room) > 0:
        longest = max(SHORTEST, max(len(row["run"]) for row in table) - excess)
        for row in rows:
            if len(row["run"]) > longest:
                row["run"] = f"{row['run'][: longest - 1]}…"
    widths = _widths(table, columns)
    for row in table:
        cells = [row[c].rjust(widths[c]) if c in RIGHT else row[c].ljust(widths[c]) for c in columns]
        if not row["step"]:  # a long state extends over the empty columns
            first, last = columns.index("run") + 1, columns.index("age") - ("MB" in columns)
            cells[first:last] = [row["state"].ljust(sum(widths[c] + 2 for c in columns[first:last]) - 2)]
        click.echo("  ".join(cells).rstrip())


def _widths(table: list[dict[str, str]], columns: list[str]) -> dict[str, int]:
    return {c: max(len(row[c]) for row in table if row["step"] or c != "state") for c in columns}


def _width(table: list[dict[str, str]], columns: list[str]) -> int:
    return sum(width + 2 for width in _widths(table, columns).values()) - 2
