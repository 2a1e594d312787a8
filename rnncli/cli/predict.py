"""`rnncli predict`: candidates for the next word, and continuations of a text."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from rnncli.cli.display.table import print_table
from rnncli.cli.options import (
    complete_paths,
    json_option,
    load,
    notify,
    print_json,
    run_option,
    say,
    uncalibrated_option,
)
from rnncli.errors import TextError
from rnncli.evaluation import ranges
from rnncli.schema.fields import Rule

if TYPE_CHECKING:
    from rnncli.api import TrainedModel

SAMPLES = 3
DRAWING = ("samples", "temperature", "top_k", "top_p", "random_seed")


class Number(click.FloatRange):
    """A number within a range; NaN is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail("nan is not a number", param, ctx)
        return found


def within(rule: Rule) -> click.IntRange | Number:
    low = rule.minimum if rule.above is None else rule.above
    limits: dict[str, Any] = {"min": low, "min_open": rule.above is not None, "max": rule.maximum}
    return click.IntRange(**limits) if rule.kind == "int" else Number(**limits)


@click.command()
@click.option(
    "--seed",
    "--prompt",
    "seeds",
    multiple=True,
    metavar="TEXT",
    help="The beginning of a sentence; empty: predict its first word.",
)
@run_option
@uncalibrated_option
@click.option("--top", default=10, show_default=True, type=within(ranges.TOP), help="Number of candidates.")
@click.option(
    "--words", default=20, show_default=True, type=within(ranges.WORDS), help="Longest continuation, in words."
)
@click.option(
    "--samples",
    type=within(ranges.SAMPLES),
    metavar="N",
    help=f"Number of continuations to draw.  [default: {SAMPLES}; 1 with `--temperature 0` or `--top-k 1`]",
)
@click.option(
    "--temperature",
    default=1.0,
    show_default=True,
    type=within(ranges.TEMPERATURE),
    help="0 always takes the likeliest word.",
)
@click.option("--top-k", type=within(ranges.TOP_K), metavar="N", help="Draw only from the N likeliest words.")
@click.option(
    "--top-p",
    type=within(ranges.TOP_P),
    metavar="X",
    help="Draw only from the likeliest words with total probability X.",
)
@click.option(
    "--beam",
    type=within(ranges.BEAM),
    metavar="N",
    help="Beam search for the N likeliest continuations instead of drawing.",
)
@click.option(
    "--across-lines",
    is_flag=True,
    help="Continue with the next line at each <end>, up to --words words (models of mode stream).",
)
@click.option("--no-unk", is_flag=True, help="Never show or write <unk>.")
@click.option("--random-seed", type=within(ranges.RANDOM_SEED), metavar="N", help="Repeat the same draws.")
@click.option("--interactive", is_flag=True, help="Read seeds from standard input, one per line.")
@click.option(
    "--file",
    metavar="FILE",
    shell_complete=complete_paths,
    help="Read seeds from a file, one per line; write one JSON object per line. `-`: stdin.",
)
@json_option
@click.pass_context
def predict(
    ctx: click.Context,
    /,
    seeds: tuple[str, ...],
    run_path: str | None,
    interactive: bool,
    file: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Predict the next word after a seed, and continue the text.

    \b
    Examples:
      rnncli predict --seed "mango is"
      rnncli predict --run runs/book --seed "the emperor said" --words 40 --temperature 0.8
      rnncli predict --seed "mango" --beam 3 --json
      rnncli predict --file seeds.txt --samples 0 --top 5

    The probabilities are those of the model; --temperature, --top-k and --top-p only change how words are drawn.

    A seed is read as the training text was. A line end in it (bash: $'roses are red\\n') is an <end> if the lines of
    the text end in one, which asks for the next line; otherwise it is white space, and <end> is never predicted.

    \b
    JSON: {"seed", "run", "checkpoint", "random_seed", "unknown": [words read as <unk>],
    "candidates": [{"word", "probability", "log10_probability"}], "remaining_probability",
    "samples": [{"text" (with the seed), "words" (--across-lines: with each <end>), "log10_probability",
    "ended" (at an <end>; else cut at --words)}]}
    With --file, one such object per line and seed, in order; for a seed that is refused {"seed", "error"}, and exit
    code 4 in the end.
    """
    _refuse_idle(ctx)
    if (interactive or file == "-") and sys.stdin is None:
        raise click.UsageError("standard input is closed, so no seed can be read from it.")
    loaded = load(run_path, options.pop("uncalibrated"))
    if options["across_lines"] and not loaded.text_format.continues:
        raise click.UsageError(
            "--across-lines needs a model whose text goes on after an <end> (data.mode: stream, data.line_end: true)."
        )
    if file is not None:
        refused = _answer_file(loaded, file, options)
    elif interactive:
        refused = _answer_lines(loaded, options)
    else:
        (seed,) = seeds or ("",)
        _check_locale(seed)
        _hint_number(seed)
        document, refused = _document(loaded, seed, **options), False
        print_json(document) if as_json else _print(document, loaded)
    if refused:
        ctx.exit(TextError.exit_code)


def _refuse_idle(ctx: click.Context) -> None:
    """Raise UsageError for options that would have no effect beside others."""
    p = ctx.params
    rules = [
        (p["file"] is not None, "--file reads the seeds from a file", ("seeds", "interactive")),
        (p["interactive"], "--interactive reads the seeds from standard input", ("seeds",)),
        (p["interactive"], "--interactive writes no JSON, but --file - does", ("as_json",)),
        (p["beam"], "--beam searches, and draws nothing", DRAWING),
        (p["samples"] == 0, "--samples 0 asks for no continuation", ("words", "across_lines", *DRAWING[1:])),
        (p["temperature"] == 0, "--temperature 0 always takes the likeliest word", ("top_k", "top_p", "random_seed")),
        (p["top_k"] == 1, "--top-k 1 always takes the likeliest word", ("temperature", "top_p", "random_seed")),
    ]
    names = {each.name: each.opts[0] for each in ctx.command.params}
    for holds, why, idle in rules:
        given = [names[each] for each in idle if ctx.get_parameter_source(each) is ParameterSource.COMMANDLINE]
        if holds and given:
            raise click.UsageError(f"{why}: leave out {' and '.join(given)}.")
    if len(p["seeds"]) > 1:
        raise click.UsageError("--seed is given more than once; for several seeds, one per line, use --file.")


def _document(
    loaded: TrainedModel,
    seed: str,
    top: int,
    words: int,
    samples: int | None,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    beam: int | None,
    across_lines: bool,
    no_unk: bool,
    random_seed: int | None,
    name: str | None = None,
) -> dict[str, Any]:
    """The JSON document about a seed. name: of the seed in messages, if it was not typed."""
    from rnncli.evaluation.generate import SEED, Sampling, read_seed
    from rnncli.system.randomness import draw_seed

    read = read_seed(loaded.model, loaded.vocabulary, loaded.text_format, seed, name or SEED)
    if random_seed is None:
        random_seed = draw_seed()
    if samples is None:
        samples = 1 if temperature == 0 or top_k == 1 else SAMPLES
    if beam is not None:
        continuations = read.beam(beam, words, not no_unk, across_lines)
    else:
        sampling = Sampling(temperature, top_k, top_p, not no_unk)
        continuations = read.samples(samples, words, sampling, random_seed, across_lines)
    candidates = read.candidates(top, unknown=not no_unk)
    return {
        "seed": seed,
        "run": str(loaded.run),
        "checkpoint": str(loaded.checkpoint),
        "random_seed": random_seed,
        "unknown": read.unknown,
        "candidates": [asdict(candidate) for candidate in candidates],
        "remaining_probability": max(0.0, 1 - math.fsum(candidate.probability for candidate in candidates)),
        "samples": [asdict(continuation) for continuation in continuations],
    }


def _answer_file(loaded: TrainedModel, file: str, options: dict[str, Any]) -> bool:
    """Write one JSON object for each line of a file; whether a seed was refused."""
    from rnncli.cli.seeds import standard_input
    from rnncli.text.files import name_of
    from rnncli.text.lines import raw_lines

    source = standard_input() if file == "-" else file
    refused = number = 0
    for number, line in raw_lines(source):
        seed, name = line.decode(errors="surrogateescape"), f"{name_of(source)}:{number}"
        try:
            document = _document(loaded, seed, **options, name=name)
        except TextError as error:
            refused += 1
            document = {"seed": line.decode(errors="replace"), "error": str(error)}
        print_json(document, indent=None)
    if refused:
        notify(f'{refused:,} of {number:,} seeds refused: their objects have an "error"')
    return refused > 0


def _answer_lines(loaded: TrainedModel, options: dict[str, Any]) -> bool:
    """Print one block for each line of standard input; whether a seed was refused that nobody typed."""
    from rnncli.cli import seeds

    refused = False
    notify("one seed per line; an empty line predicts a first word; Ctrl-D ends")
    for seed in seeds.typed():
        try:
            document = _document(loaded, seed, **options)
        except TextError as error:
            notify(str(error))
            if not sys.stdin.isatty():
                say("(refused)")  # so that answers and seeds stay in step
                refused = True
        else:
            _print(document, loaded)
    return refused


def _print(document: dict[str, Any], loaded: TrainedModel) -> None:
    from rnncli.text.lookalikes import told_apart
    from rnncli.text.vocabulary import in_message

    for word in dict.fromkeys(document["unknown"]):
        shown, *near = in_message([word, *loaded.vocabulary.nearest(word)])
        hint = f"; similar words: {', '.join(near)}" if near else ""
        notify(f"'{shown}' is not in the vocabulary: read as <unk>{hint}")
    words = told_apart([each["word"] for each in document["candidates"]])
    rows = [
        [word if word.strip() else repr(word), f"{each['probability']:.6f}"]
        for word, each in zip(words, document["candidates"], strict=True)
    ]
    if rows and document["remaining_probability"] >= 5e-7:  # at least 0.000001 as printed
        rows.append(["(others)", f"{document['remaining_probability']:.6f}"])
    if rows:
        print_table(rows)
    texts = [each["text"] for each in document["samples"]]
    several_lines = any("\n" in text for text in texts)
    for i, text in enumerate(texts):
        if i == 0 or several_lines:
            say()
        say(text)


def _check_locale(seed: str) -> None:
    """Raise TextError for a `--seed` that has characters beyond those of the locale."""
    from rnncli.config.file_text import unreadable

    if sys.getfilesystemencoding() != "utf-8" and (problem := unreadable(seed)):
        raise TextError(problem, location="--seed")


def _hint_number(seed: str) -> None:
    if seed.strip().isdecimal():
        notify(f"hint: --seed is the text to continue; to repeat the same draws, give --random-seed {seed.strip()}")
