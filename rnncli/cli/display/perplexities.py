"""How perplexities are told: over which tokens, with and without the unknown words, and with their spelling paid."""

from __future__ import annotations

import math
from collections.abc import Mapping

import click

from rnncli.cli.options import print_table, tell
from rnncli.evaluation.perplexity import Evaluation
from rnncli.runs.events import Done


def ends_in_words(ends: bool) -> str:
    """Whether `<end>` is among the tokens."""
    return "<end> counted" if ends else "no <end>"


def print_done(done: Done, peak: int | None) -> None:
    """How training ended, in a line, and a table of what was measured; of the training text alone, in the line too.

    peak: bytes that the process had at most, where that is known.
    """
    perplexities = {
        "train": done.train_perplexity,
        "valid": done.valid_perplexity,
        "best valid": done.best_valid_perplexity,
        "test": done.test_perplexity,
    }
    told = [f"{name} {value:.2f}" for name, value in perplexities.items() if value is not None]
    if told:
        told[0] = f"perplexity {told[0]}"
    if done.words_per_second:
        told.append(f"{done.words_per_second:,.0f} words/s")
    if peak:
        told.append(f"{peak / 1e6:,.0f} MB at most")
    measured = {"valid": done.valid, "best valid": done.best_valid, "test": done.test}
    counted = ""
    if not any(measured.values()):
        if done.train:
            counted = f"; train over {in_a_line(done.train)}"
        elif done.train_tokens:
            counted = f"; train over the {done.train_tokens:,} tokens read so far"
    epochs = f"{done.epochs} epoch{'' if done.epochs == 1 else 's'}"
    click.echo(f"{epochs}, {done.steps} steps: {', '.join(told)}{counted}")
    if any(measured.values()):
        print_evaluations({"train": done.train} | measured)
    elif done.train:
        tell_incomparable(done.train)


def print_evaluations(evaluations: Mapping[str, Evaluation | None]) -> None:
    """A table behind a blank line, with a column for each evaluation that there is; nothing where there is none."""
    found = {name: each for name, each in evaluations.items() if each is not None}
    if not found:
        return
    columns = [[name, *_cells(each)] for name, each in found.items()]
    rows = [
        "measured on",
        "tokens",
        "<end>",
        "unknown words",
        "perplexity",
        "  without unknown words",
        "  with their spelling",
    ]
    rows += ["bits per word", "  with spelling", "bits per character", "  with spelling"]
    click.echo()
    print_table([list(row) for row in zip(rows, *columns, strict=True)], "1234")
    tell_incomparable(*found.values())


def tell_incomparable(*evaluations: Evaluation) -> None:
    """Say, once each, why perplexities may not be compared."""
    for reason in dict.fromkeys(each.incomparable for each in evaluations if each.incomparable):
        tell(f"warning: {reason}")


def in_a_line(evaluation: Evaluation) -> str:
    """What a perplexity, told before, was counted over, and the figures beside it."""
    e, told = evaluation, []
    if e.oov:
        told.append(f"{figure(e.perplexity_excluding_oov, 2)} without them")
        told.append(f"{figure(e.perplexity_with_spelling, 2)} with their spelling paid")
    for unit, bits, spelled in bits_of(e):
        told.append(f"{figure(bits, 3)} bits per {unit}{f' ({figure(spelled, 3)})' if e.oov else ''}")
    return f"{e.tokens:,} tokens ({ends_in_words(e.ends)}, {e.oov:,} unknown): {', '.join(told)}"


def bits_of(e: Evaluation) -> list[tuple[str, float, float | None]]:
    """A unit, the bits of one, and these with the spelling of unknown words paid."""
    return [
        ("word", e.bits_per_word, e.bits_per_word_with_spelling),
        ("character", e.bits_per_character, e.bits_per_character_with_spelling),
    ]


def figure(value: float | None, digits: int) -> str:
    """A number; `-` where there is none."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:,.{digits}f}" if value < 1e6 else f"{value:.3e}"


def _cells(e: Evaluation) -> list[str]:
    perplexities = (e.perplexity, e.perplexity_excluding_oov, e.perplexity_with_spelling)
    bits = (e.bits_per_word, e.bits_per_word_with_spelling, e.bits_per_character, e.bits_per_character_with_spelling)
    counts = [f"{e.tokens:,}", "counted" if e.ends else "none", f"{e.oov:,}"]
    return [*counts, *(figure(each, 2) for each in perplexities), *(figure(each, 3) for each in bits)]
