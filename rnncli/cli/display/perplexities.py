"""Display of perplexities: over which tokens, with and without unknown words, and open-vocabulary.

Open-vocabulary: unknown words are spelled by a character model, and its bits count ("with their spelling").
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from rnncli.cli.display.table import print_table
from rnncli.cli.options import notify, say
from rnncli.evaluation.perplexity import Evaluation
from rnncli.runs.events import Done


def ends_in_words(ends: bool) -> str:
    """Whether `<end>` is among the tokens."""
    return "<end> counted" if ends else "no <end>"


def print_done(done: Done, peak: int | None, words_per_second: float | None, median: bool = False) -> None:
    """Print a line on how training ended, and a table of perplexities if any text but the training text was measured.

    peak: peak memory of the process in bytes, if known. words_per_second: by the clock, if any step was taken.
    median: also print that of the median step.
    """
    from rnncli.schema.suggestions import counted

    perplexities = {
        "train": done.train_perplexity,
        "valid": done.valid_perplexity,
        "best valid": done.best_valid_perplexity,
        "test": done.test_perplexity,
    }
    parts = [f"{name} {figure(value, 2)}" for name, value in perplexities.items() if value is not None]
    if parts:
        parts[0] = f"perplexity {parts[0]}"
    if words_per_second:
        of_median = f" ({done.words_per_second:,.0f} in the median step)" if median and done.words_per_second else ""
        parts.append(f"{words_per_second:,.0f} words/s{of_median}")
    if peak:
        parts.append(f"{peak / 1e6:,.0f} MB at most")
    measured = {"valid": done.valid, "best valid": done.best_valid, "test": done.test}
    over = ""
    if not any(measured.values()):
        if done.train:
            over = f"; train over {in_a_line(done.train)}"
        elif done.train_tokens:
            over = f"; train over the {counted(done.train_tokens, 'token')} read so far"
    length = f"{counted(done.epochs, 'epoch')}, {counted(done.steps, 'step')}"
    say(f"{length}: {', '.join(parts)}{over}")
    if any(measured.values()):
        print_evaluations({"train": done.train} | measured)
    elif done.train:
        warn_incomparable(done.train)


def print_evaluations(evaluations: Mapping[str, Evaluation | None]) -> None:
    """Print a blank line and a table with one column per evaluation, or nothing if all are None."""
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
    say()
    print_table([list(row) for row in zip(rows, *columns, strict=True)], "1234")
    warn_incomparable(*found.values())


def warn_incomparable(*evaluations: Evaluation) -> None:
    """Warn, once per reason, that perplexities must not be compared with others."""
    for reason in dict.fromkeys(each.incomparable for each in evaluations if each.incomparable):
        notify(f"warning: {reason}")


def in_a_line(evaluation: Evaluation) -> str:
    """The tokens of an evaluation, and its figures other than the perplexity."""
    e, parts = evaluation, []
    if e.oov:
        parts.append(f"{figure(e.perplexity_excluding_oov, 2)} without them")
        parts.append(f"{figure(e.perplexity_with_spelling, 2)} with their spelling")
    for unit, bits, spelled in bits_of(e):
        parts.append(f"{figure(bits, 3)} bits per {unit}{f' ({figure(spelled, 3)})' if e.oov else ''}")
    return f"{e.tokens:,} tokens ({ends_in_words(e.ends)}, {e.oov:,} unknown): {', '.join(parts)}"


def bits_of(e: Evaluation) -> list[tuple[str, float, float | None]]:
    """For each unit: its name, bits per unit, and the same with the spelling of unknown words."""
    return [
        ("word", e.bits_per_word, e.bits_per_word_with_spelling),
        ("character", e.bits_per_character, e.bits_per_character_with_spelling),
    ]


def figure(value: float | None, digits: int) -> str:
    """A number as text; `-` for None and NaN."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:,.{digits}f}" if value < 1e6 else f"{value:.3e}"


def _cells(e: Evaluation) -> list[str]:
    perplexities = (e.perplexity, e.perplexity_excluding_oov, e.perplexity_with_spelling)
    bits = (e.bits_per_word, e.bits_per_word_with_spelling, e.bits_per_character, e.bits_per_character_with_spelling)
    counts = [f"{e.tokens:,}", "counted" if e.ends else "none", f"{e.oov:,}"]
    return [*counts, *(figure(each, 2) for each in perplexities), *(figure(each, 3) for each in bits)]
