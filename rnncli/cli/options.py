"""Options that several commands have, and how a command speaks: results on stdout, all else on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from rnncli.system import json_text

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

run_option: Decorator = click.option(
    "--run", "run_path", metavar="PATH", help="A run folder or a checkpoint file. Without it: the newest run here."
)
set_option: Decorator = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting: model.hidden_size=200."
)
json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")


def tell(message: str) -> None:
    """Say something that is no result; where nobody listens any more, to nobody."""
    try:
        click.echo(message, err=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def print_json(content: Any) -> None:
    """Write the one JSON document of a command; what is not finite is null."""
    click.echo(json_text.dumps(content, indent=2))


def load(run_path: str | None) -> Any:
    """Load the model that `--run` names, and say which where it was found rather than named."""
    from rnncli.api import load as load_run

    loaded = load_run(run_path)
    for problem in loaded.damaged:
        tell(f"warning: passed over {problem}")
    if run_path is None or loaded.damaged:
        tell(f"using {loaded.checkpoint}")
    return loaded


def print_table(rows: list[list[str]], right: str = "") -> None:
    """Print rows under their first one; the columns whose index is in `right` stand to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            c.rjust(w) if str(i) in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())
