"""`rnncli init`: write a starter config and corpus."""

from __future__ import annotations

import shlex
from importlib.resources import files
from pathlib import Path

import click

from rnncli.cli.options import complete_paths, notify, say
from rnncli.errors import UsageError
from rnncli.system import disk

FILES = ("config.yaml", "corpus.txt")


@click.command()
@click.argument("folder", default=".", metavar="[DIR]", shell_complete=complete_paths)
def init(folder: str) -> None:
    """Write a starter config and corpus into DIR, by default the current folder; nothing is overwritten.

    \b
    Example:
      rnncli init my-model
      rnncli train my-model/config.yaml
    """
    place = Path(folder)
    if taken := [str(place / name) for name in FILES if (place / name).exists()]:
        raise UsageError("exists, and was not overwritten", location=" and ".join(taken), remedy="name another folder")
    for name in FILES:
        with disk.writing(place, "name another folder"):
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(files("rnncli").joinpath("cli", "starter", name).read_bytes())
        say(place / name)
    notify(f"try: {shlex.join(['rnncli', 'train', str(place / 'config.yaml')])}")
