"""The command line, one module per command. Only this package reads arguments, prints, draws bars and exits.

A command's module is imported when the command runs; `rnncli --help` imports neither NumPy nor YAML.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from importlib import import_module
from typing import Any

import click

from rnncli import __version__
from rnncli.errors import RnncliError, RunError, WriteError
from rnncli.system.threads import prepare

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
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from rnncli.schema.suggestions import nearest

            near = nearest(args[0], COMMANDS)
            hint = f" Did you mean {near}?" if near else ""
            ctx.fail(f"No such command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        prepare()  # before a command imports NumPy
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # for terminals that cannot show a word
        try:
            return super().invoke(ctx)
        except RnncliError as error:
            click.echo(str(error), err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            # The reader of the output (head, less) has exited.
            _close_stdout()
            ctx.exit(0)
        except OSError as error:
            if error.filename is not None and error.errno in PATH_ERRORS:  # not caught where the path was used
                click.echo(f"{os.fsdecode(error.filename)}: {error.strerror}; name another file or folder", err=True)
                ctx.exit(RunError.exit_code)
            if error.errno != errno.ENOSPC:
                raise
            _close_stdout()
            click.echo("standard output: no space left; free some space, or write elsewhere", err=True)
            ctx.exit(WriteError.exit_code)


def _close_stdout() -> None:
    """Discard buffered output, so that flushing it at exit cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
