"""Options that several commands share, and their output: results go to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from rnncli.system import json_text

if TYPE_CHECKING:
    from rnncli.api import TrainedModel

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

run_option: Decorator = click.option(
    "--run", "run_path", metavar="PATH", help="A run folder or a checkpoint file. Default: the newest run here."
)
set_option: Decorator = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting: model.hidden_size=200."
)
json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")


def notify(message: str) -> None:
    """Write a line to stderr; ignore a closed pipe."""
    try:
        click.echo(message, err=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def print_json(content: Any) -> None:
    """Write the JSON document of a command to stdout; numbers that are not finite become null."""
    click.echo(json_text.dumps(content, indent=2))


def load(run_path: str | None) -> TrainedModel:
    """Load the model that `--run` names, and report which checkpoint is used unless it was named and is valid."""
    from rnncli.api import load as load_run

    loaded = load_run(run_path)
    for problem in loaded.damaged:
        notify(f"warning: skipped {problem}")
    if run_path is None or loaded.damaged:
        notify(f"using {loaded.checkpoint}")
    return loaded


def print_table(rows: list[list[str]], right: str = "") -> None:
    """Print rows, the header first; columns whose index is in `right` are aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            c.rjust(w) if str(i) in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())
