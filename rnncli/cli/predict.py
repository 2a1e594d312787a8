"""`rnncli predict`: candidates for the next word, and continuations."""

from __future__ import annotations

import io
import math
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from rnncli.cli.options import json_option, load, print_json, run_option, tell

if TYPE_CHECKING:
    from rnncli.api import Loaded


@click.command()
@click.option(
    "--seed", "--prompt", default="", metavar="TEXT", help="The beginning of a sentence; empty: its first word."
)
@run_option
@click.option("--top", default=10, show_default=True, type=click.IntRange(0), help="How many candidates.")
@click.option("--words", default=20, show_default=True, type=click.IntRange(1), help="Longest continuation, in words.")
@click.option(
    "--samples", default=3, show_default=True, type=click.IntRange(0, 10_000), help="How many continuations to draw."
)
@click.option(
    "--temperature", default=1.0, show_default=True, type=click.FloatRange(0, 1e9), help="0 takes the likeliest."
)
@click.option("--top-k", type=click.IntRange(1), metavar="N", help="Draw from the N likeliest words alone.")
@click.option(
    "--top-p", type=click.FloatRange(0, 1, min_open=True), metavar="X", help="Draw from the likeliest X of all."
)
@click.option(
    "--beam", type=click.IntRange(1, 1000), metavar="N", help="Search the N likeliest continuations, draw none."
)
@click.option("--no-unk", is_flag=True, help="Never show or write <unk>.")
@click.option("--random-seed", type=click.IntRange(0, 2**63 - 1), metavar="N", help="Repeat the same draws.")
@click.option("--interactive", is_flag=True, help="Read seeds from the keyboard, one a line.")
@json_option
def predict(seed: str, run_path: str | None, interactive: bool, as_json: bool, **options: Any) -> None:
    """Say what comes next after a seed, and go on writing.

    \b
    Examples:
      rnncli predict --seed "mango is"
      rnncli predict --run runs/book --seed "the emperor said" --words 40 --temperature 0.8
      rnncli predict --seed "mango" --beam 3 --json

    The probabilities are the model's own; --temperature, --top-k and --top-p change only what is drawn.

    \b
    JSON: {"seed", "run", "checkpoint", "random_seed", "unknown": [words read as <unk>],
    "candidates": [{"word", "probability", "log10_probability"}], "remaining_probability",
    "samples": [{"text" (with the seed), "words", "log10_probability"}]}
    """
    if interactive and as_json:
        raise click.UsageError("--interactive writes no JSON; leave one of the two away.")
    if any(value is not None and math.isnan(value) for value in (options["temperature"], options["top_p"])):
        raise click.UsageError("--temperature and --top-p are numbers; nan is none.")
    if interactive and sys.stdin is None:
        raise click.UsageError("--interactive reads standard input, and there is none.")
    loaded = load(run_path)
    if not interactive:
        _hint_number(seed)
        document = _predict(loaded, seed, **options)
        print_json(document) if as_json else _print(document, loaded)
        return
    from rnncli.errors import TextError

    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # what is not UTF-8 is told for the seed that has it
    tell("one seed a line; an empty line asks for a first word; Ctrl-D ends")
    while True:
        try:
            seed = _ask()
        except EOFError:
            return
        try:
            _print(_predict(loaded, seed, **options), loaded)
        except TextError as error:
            tell(str(error))


def _predict(
    loaded: Loaded,
    seed: str,
    top: int,
    words: int,
    samples: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    beam: int | None,
    no_unk: bool,
    random_seed: int | None,
) -> dict[str, Any]:
    from rnncli.evaluation.generate import Sampling
    from rnncli.system.randomness import draw_seed

    read = loaded.read(seed)
    if random_seed is None:
        random_seed = draw_seed()
    if beam is not None:
        continuations = read.beam(beam, words, unknown=not no_unk)
    else:
        continuations = read.samples(samples, words, Sampling(temperature, top_k, top_p, not no_unk), random_seed)
    candidates = read.candidates(top, unknown=not no_unk)
    return {
        "seed": seed,
        "run": str(loaded.run),
        "checkpoint": str(loaded.checkpoint),
        "random_seed": random_seed,
        "unknown": read.unknown,
        "candidates": [asdict(candidate) for candidate in candidates],
        "remaining_probability": max(0.0, 1 - sum(candidate.probability for candidate in candidates)),
        "samples": [asdict(continuation) for continuation in continuations],
    }


def _print(document: dict[str, Any], loaded: Loaded) -> None:
    for word in dict.fromkeys(document["unknown"]):
        near = loaded.vocabulary.nearest(word)
        hint = f"; known and near: {', '.join(near)}" if near else ""
        tell(f"{word!r} is not in the vocabulary: read as <unk>{hint}")
    width = max((len(_shown(each["word"])) for each in document["candidates"]), default=0)
    for each in document["candidates"]:
        click.echo(f"{_shown(each['word']):{width}}  {each['probability']:.6f}")
    if document["candidates"] and document["remaining_probability"] >= 5e-7:  # of what six digits show
        rest = "(others)"
        click.echo(f"{rest:{width}}  {document['remaining_probability']:.6f}")
    if document["samples"]:
        click.echo()
    for each in document["samples"]:
        click.echo(each["text"])


def _ask() -> str:
    """One line from the keyboard; what is piped in gets no prompt. Raises EOFError at the end."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return input("> ")
    if line := sys.stdin.readline():
        return line.rstrip("\n")
    raise EOFError


def _shown(word: str) -> str:
    """A word as it is, white space made visible."""
    return repr(word) if not word.strip() else word


def _hint_number(seed: str) -> None:
    if seed.strip().isdecimal():
        tell(f"hint: --seed is the text to go on from; to repeat the same draws, give --random-seed {seed.strip()}")
