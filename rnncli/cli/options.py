"""Options that several commands share, and their output: results go to stdout, everything else to stderr."""

from __future__ import annotations

import codecs
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from rnncli.system import json_text
from rnncli.text.invisible import shown

if TYPE_CHECKING:
    from rnncli.api import TrainedModel

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def complete_paths(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete files and folders; the command itself says what is wrong with a path."""
    return [CompletionItem(incomplete, type="file")]


run_option: Decorator = click.option(
    "--run",
    "run_path",
    metavar="PATH",
    shell_complete=complete_paths,
    help="A run folder or a checkpoint file. Default: the newest run here.",
)
uncalibrated_option: Decorator = click.option(
    "--uncalibrated", is_flag=True, help="Leave out the temperature that training.calibrate has fitted."
)
set_option: Decorator = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting: model.hidden_size=200."
)
json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")


def notify(message: str) -> None:
    """Write lines to stderr, their control and invisible characters escaped."""
    print(shown(message, keep="\n"), file=sys.stderr, flush=True)


def suggest_prediction(run: Path) -> None:
    """Tell the command that predicts with a run or a checkpoint."""
    notify(f'try: rnncli predict --run {shlex.quote(str(run))} --seed "..."')


def say(text: object = "") -> None:
    """Write lines to stdout; on a terminal their control and invisible characters are escaped."""
    print(shown(str(text), keep="\n") if sys.stdout.isatty() else text, flush=True)


def print_json(content: Any, indent: int | None = 2) -> None:
    """Write a JSON document to stdout, in ASCII if stdout is not UTF-8; `indent` None: in one line."""
    utf8 = codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"
    print(json_text.dumps(content, indent, ascii_only=not utf8), flush=True)


def load(run_path: str | None, uncalibrated: bool = False) -> TrainedModel:
    """Load the model that `--run` names, and report which checkpoint is used unless it was named and is valid."""
    from rnncli.api import load as load_run

    loaded = load_run(run_path, calibrated=not uncalibrated)
    for problem in loaded.damaged:
        notify(f"warning: skipped {problem}")
    if run_path is None or loaded.damaged:
        notify(f"using {loaded.checkpoint}")
    return loaded
