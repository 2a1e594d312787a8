"""The command line, one module per command. Only this package reads arguments, prints, draws bars and exits.

A command's module is imported when the command runs; `rnncli --help` imports neither NumPy nor YAML.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from importlib import import_module
from typing import Any

import click

from rnncli import __version__
from rnncli.cli.display.streams import NO_SPACE, standard_streams
from rnncli.cli.options import notify
from rnncli.errors import ConfigError, RnncliError, RunError, WriteError, reason
from rnncli.system.threads import prepare
from rnncli.text.invisible import shown

# Errors of a path that the user gave.
PATH_ERRORS = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.ENOENT, errno.EIO)
# In the order in which a new user needs them. The text is the command's line in `rnncli --help`.
COMMANDS = {
    "init": "Write a starter config and corpus, ready to train.",
    "data": "Check a corpus for problems before training on it.",
    "vocab": "Compare the coverage and cost of vocabulary sizes.",
    "train": "Train the model that a config describes.",
    "predict": "Predict the next word, or continue a text.",
    "evaluate": "Measure the perplexity of a model on texts.",
    "inspect": "Show the contents of a run or a checkpoint.",
    "runs": "List the runs in a folder and their progress.",
    "gradcheck": "Compare every gradient with complex-step derivatives.",
    "selftest": "Test that runs on this machine resume bit for bit.",
}


class Commands(click.Group):
    """Imports commands by name, and turns an RnncliError into its message and exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = getattr(import_module(f"rnncli.cli.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS and not ctx.resilient_parsing:
            from rnncli.schema.suggestions import nearest

            near = nearest(args[0], COMMANDS)
            hint = f" Did you mean {near}?" if near else ""
            ctx.fail(f"No such command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **options: Any) -> Any:
        with standard_streams():
            try:
                return super().main(*args, **options)
            except WriteError as error:  # of --help; `invoke` catches those of commands
                notify(str(error))
                sys.exit(error.exit_code)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                prepare()  # before a command imports NumPy
                return super().invoke(ctx)
        except click.ClickException as error:
            vars(error)["message"] = shown(error.message, keep="\n")
            raise
        except KeyboardInterrupt:
            notify("interrupted")
            ctx.exit(130)
        except (RnncliError, MemoryError, OSError) as error:
            if (known := _known(error)) is None:
                raise
        notify(str(known))  # not in `except`: there the traceback holds the arrays, and memory may be short
        return ctx.exit(known.exit_code)


def _known(error: Exception) -> RnncliError | None:
    """The error that the user is shown; None if it is a bug."""
    if isinstance(error, RnncliError):
        return error
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        what = f": {reason(error)}" if error.args else ""
        remedy = "free some, raise the limit, or lower training.batch_size, model.hidden_size or vocabulary.max_size"
        return ConfigError(f"out of memory{what}", remedy=remedy)
    if isinstance(error, OSError) and error.filename is not None and error.errno in PATH_ERRORS:
        # not caught where the path was used
        remedy = "name another file or folder"
        return RunError(reason(error), location=os.fsdecode(error.filename), remedy=remedy)
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return WriteError("no space left", location=os.fsdecode(error.filename or ""), remedy="free some space")
    return None


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    notify(f"warning: {message}")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rnncli")
def main() -> None:
    """Train word-level recurrent language models with NumPy, check their gradients, predict with them.

    \b
    Examples:
      rnncli init my-model                     a config and a corpus to start from
      rnncli train my-model/config.yaml
      rnncli predict --seed "mango is"
      rnncli gradcheck
    """
