"""The command line: one small file a command. The only place that prints, draws bars, reads arguments or exits.

A command's file is imported when the command runs; `rnncli --help` imports neither NumPy nor YAML.
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

# What is wrong with a name, or with a folder on the way to it.
PLACES = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.ENOENT, errno.EIO)
# In the order in which a new user meets them. The text is the command's line in `rnncli --help`.
COMMANDS = {
    "init": "Write a starter config and corpus, ready to train.",
    "data": "Check a corpus before hours are spent on it.",
    "vocab": "Show what each vocabulary would cover and cost.",
    "train": "Train a model as a config says.",
    "predict": "Say what comes next, and go on writing.",
    "evaluate": "Measure the perplexity of a model on texts.",
    "inspect": "Show what a run or a checkpoint holds.",
    "runs": "List the runs here, and how each stands.",
    "gradcheck": "Prove every gradient, by complex-step derivatives.",
    "selftest": "Prove on this machine that runs repeat and resume to the bit.",
}


class Commands(click.Group):
    """Finds a command's file by its name, and turns an RnncliError into its message and exit code."""

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
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            ctx.fail(f"No such command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        prepare()  # before a command imports NumPy
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that cannot show a word is no error
        try:
            return super().invoke(ctx)
        except RnncliError as error:
            click.echo(str(error), err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            # The reader of our output (head, less) has gone: nothing more to say.
            _close_stdout()
            ctx.exit(0)
        except OSError as error:
            if error.filename is not None and error.errno in PLACES:  # asked for where nobody expected it
                click.echo(f"{os.fsdecode(error.filename)}: {error.strerror}; name another file or folder", err=True)
                ctx.exit(RunError.exit_code)
            if error.errno != errno.ENOSPC:
                raise
            _close_stdout()
            click.echo("standard output: no room left there; make room, or write elsewhere", err=True)
            ctx.exit(WriteError.exit_code)


def _close_stdout() -> None:
    """Send what is still to be flushed, at exit too, nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rnncli")
def main() -> None:
    """Train word-level recurrent language models on NumPy, prove their gradients, predict with them.

    \b
    Examples:
      rnncli init my-model                     a config and a corpus to start from
      rnncli train my-model/config.yaml
      rnncli predict --seed "mango is"
      rnncli gradcheck
    """
