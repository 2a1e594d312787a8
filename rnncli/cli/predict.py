"""`rnncli predict`: candidates for the next word, and continuations of a text."""

from __future__ import annotations

import io
import math
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from rnncli.cli.options import json_option, load, notify, print_json, run_option

if TYPE_CHECKING:
    from rnncli.api import TrainedModel


@click.command()
@click.option(
    "--seed", "--prompt", default="", metavar="TEXT", help="The beginning of a sentence; empty: predict its first word."
)
@run_option
@click.option("--top", default=10, show_default=True, type=click.IntRange(0), help="Number of candidates.")
@click.option("--words", default=20, show_default=True, type=click.IntRange(1), help="Longest continuation, in words.")
@click.option(
    "--samples", default=3, show_default=True, type=click.IntRange(0, 10_000), help="Number of continuations to draw."
)
@click.option(
    "--temperature",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, 1e9),
    help="0 always takes the likeliest word.",
)
@click.option("--top-k", type=click.IntRange(1), metavar="N", help="Draw only from the N likeliest words.")
@click.option(
    "--top-p",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="X",
    help="Draw only from the likeliest words with total probability X.",
)
@click.option(
    "--beam",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Beam search for the N likeliest continuations instead of drawing.",
)
@click.option("--no-unk", is_flag=True, help="Never show or write <unk>.")
@click.option("--random-seed", type=click.IntRange(0, 2**63 - 1), metavar="N", help="Repeat the same draws.")
@click.option("--interactive", is_flag=True, help="Read seeds from standard input, one per line.")
@json_option
def predict(seed: str, run_path: str | None, interactive: bool, as_json: bool, **options: Any) -> None:
    """Predict the next word after a seed, and continue the text.

    \b
    Examples:
      rnncli predict --seed "mango is"
      rnncli predict --run runs/book --seed "the emperor said" --words 40 --temperature 0.8
      rnncli predict --seed "mango" --beam 3 --json

    The probabilities are those of the model; --temperature, --top-k and --top-p only change how words are drawn.

    \b
    JSON: {"seed", "run", "checkpoint", "random_seed", "unknown": [words read as <unk>],
    "candidates": [{"word", "probability", "log10_probability"}], "remaining_probability",
    "samples": [{"text" (with the seed), "words", "log10_probability"}]}
    """
    if interactive and as_json:
        raise click.UsageError("--interactive writes no JSON; leave out one of the two.")
    if any(value is not None and math.isnan(value) for value in (options["temperature"], options["top_p"])):
        raise click.UsageError("--temperature and --top-p must be numbers, not nan.")
    if interactive and sys.stdin is None:
        raise click.UsageError("--interactive needs standard input, which is closed.")
    loaded = load(run_path)
    if not interactive:
        _hint_number(seed)
        document = _predict(loaded, seed, **options)
        print_json(document) if as_json else _print(document, loaded)
        return
    from rnncli.errors import TextError

    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # `read` reports bytes that are not UTF-8
    notify("one seed per line; an empty line predicts a first word; Ctrl-D ends")
    while True:
        try:
            seed = _ask()
        except EOFError:
            return
        try:
            _print(_predict(loaded, seed, **options), loaded)
        except TextError as error:
            notify(str(error))


def _predict(
    loaded: TrainedModel,
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


def _print(document: dict[str, Any], loaded: TrainedModel) -> None:
    for word in dict.fromkeys(document["unknown"]):
        near = loaded.vocabulary.nearest(word)
        hint = f"; similar words: {', '.join(near)}" if near else ""
        notify(f"{word!r} is not in the vocabulary: read as <unk>{hint}")
    width = max((len(_shown(each["word"])) for each in document["candidates"]), default=0)
    for each in document["candidates"]:
        click.echo(f"{_shown(each['word']):{width}}  {each['probability']:.6f}")
    if document["candidates"] and document["remaining_probability"] >= 5e-7:  # at least 0.000001 as printed
        rest = "(others)"
        click.echo(f"{rest:{width}}  {document['remaining_probability']:.6f}")
    if document["samples"]:
        click.echo()
    for each in document["samples"]:
        click.echo(each["text"])


def _ask() -> str:
    """One line of standard input, with a prompt on a terminal. Raises EOFError at the end."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return input("> ")
    if line := sys.stdin.readline():
        return line.rstrip("\n")
    raise EOFError


def _shown(word: str) -> str:
    """A word, quoted if it is white space."""
    return repr(word) if not word.strip() else word


def _hint_number(seed: str) -> None:
    if seed.strip().isdecimal():
        notify(f"hint: --seed is the text to continue; to repeat the same draws, give --random-seed {seed.strip()}")
