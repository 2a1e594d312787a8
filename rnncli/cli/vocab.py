"""`rnncli vocab`: compare the coverage and cost of vocabularies."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rnncli.cli.display.perplexities import ends_in_words
from rnncli.cli.display.table import print_table
from rnncli.cli.options import complete_paths, json_option, notify, print_json, say, set_option

if TYPE_CHECKING:
    from rnncli.training.vocabulary_trial import Candidates, VocabularyRow

LEFT_OUT = ("parameters", "train covered", "memory")  # on a narrow terminal, in this order


def _numbers(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Parse `1,2,5`; None if the option is not given."""
    if value is None:
        return None
    try:
        numbers = tuple(int(part) for part in value.split(",") if part.strip())
    except ValueError:
        numbers = (0,)
    lowest = 3 if parameter.name == "max_sizes" else 1
    if any(not lowest <= number < 2**31 for number in numbers):
        raise click.BadParameter(f"{value!r}: give whole numbers from {lowest} on, such as 1000,5000", ctx, parameter)
    return numbers


@click.command()
@click.argument("config", shell_complete=complete_paths)
@set_option
@click.option("--min-count", "min_counts", callback=_numbers, metavar="N,N…", help="Compare only these.")
@click.option("--max-size", "max_sizes", callback=_numbers, metavar="N,N…", help="Compare only these.")
@click.option("--no-trial", is_flag=True, help="Skip the trial steps: no words/s, no epoch time.")
@click.option(
    "--write",
    "path",
    metavar="FILE",
    shell_complete=complete_paths,
    help="Write the words of CONFIG's vocabulary and their counts.",
)
@json_option
def vocab(
    config: str,
    overrides: tuple[str, ...],
    min_counts: tuple[int, ...] | None,
    max_sizes: tuple[int, ...] | None,
    no_trial: bool,
    path: str | None,
    as_json: bool,
) -> None:
    """Compare vocabularies: how much of the text each covers, and the size and speed of a model with it.

    \b
    Examples:
      rnncli vocab configs/book.yaml
      rnncli vocab configs/book.yaml --max-size 5000,10000,20000 --json
      rnncli vocab configs/book.yaml --set vocabulary.min_count=3 --write words.txt

    The first row is the vocabulary of CONFIG. Coverage is the share of words, without <end>. Memory is predicted; the
    time of an epoch is estimated in a trial of about a second per row. The file of --write has a word, a tab and its
    count on each line; edit it if you like, and name it in vocabulary.file.

    \b
    JSON: {"tokens" (of the training text, <end> counted), "vocabularies": [{"min_count", "max_size", "file", "chosen",
    "words", "train_covered", "valid_covered" (0 to 1), "valid_unknown" (words), "refused" (unknown words, but no
    <unk>), "parameters", "peak_memory" (bytes), "words_per_second", "epoch_seconds"}]}; null if not measured
    """
    from rnncli.cli.display.reading import reading_display
    from rnncli.config import corpora, yaml_file
    from rnncli.text.vocabulary import write_counts
    from rnncli.training.vocabulary_trial import MAX_SIZES, MIN_COUNTS, Candidates

    settings = yaml_file.read(config, overrides)
    if path is not None and os.path.lexists(path):
        raise click.UsageError(f"--write {path}: already exists; give the name of a new file.")
    with reading_display() as watch:
        candidates = Candidates.read(settings, watch)
    if path is not None:
        write_counts(candidates.vocabulary(corpora.rules(settings)), path)
        notify(f"wrote {path}")
    asked = min_counts is not None or max_sizes is not None
    if not asked:
        min_counts, max_sizes = MIN_COUNTS, MAX_SIZES
    rows = list(candidates.rows(min_counts or (), max_sizes or (), trial=not no_trial, every=asked))
    if as_json:
        print_json({"tokens": candidates.tokens, "vocabularies": [asdict(row) for row in rows]})
    else:
        _print(candidates, rows)


def _print(candidates: Candidates, rows: list[VocabularyRow]) -> None:
    valid = candidates.valid is not None
    head = ["rule", "words", "train covered", *(["valid covered", "unknown"] if valid else [])]
    table = [[*head, "parameters", "memory", "words/s", "an epoch"]]
    for row in rows:
        cells = [_rule(row), f"{row.words:,}", f"{row.train_covered:.2%}"]
        if valid:
            unknown = f"{row.valid_unknown:,} ({1 - (row.valid_covered or 0):.2%})"
            cells += [f"{row.valid_covered:.2%}", unknown + (" !" if row.refused else "")]
        cells += [
            "-" if row.parameters is None else f"{row.parameters:,}",
            "-" if row.peak_memory is None else f"{row.peak_memory / 1e6:,.0f} MB",
            "-" if row.words_per_second is None else f"{row.words_per_second:,.0f}",
            "-" if row.epoch_seconds is None else _time(row.epoch_seconds),
        ]
        table.append(cells)
    ends = ends_in_words(candidates.train.end_count > 0)
    say(f"{candidates.tokens:,} tokens to train on, {ends}; coverage is the share of words")
    left_out = [header for header in LEFT_OUT if valid or header != "train covered"]
    print_table(table, "12345678" if valid else "123456", left_out)
    if any(row.refused for row in rows):
        notify("! unknown words, but no <unk>: training would fail; set vocabulary.unknown: true, or a min_count")


def _rule(row: VocabularyRow) -> str:
    """The rules of a row, in words."""
    if row.file is not None:
        rule = f"file {row.file}"
    elif row.max_size is not None:
        rule = f"max_size {row.max_size:,}" + (f", min_count {row.min_count}" if row.min_count > 1 else "")
    else:
        rule = f"min_count {row.min_count}"
    return f"{rule} (config)" if row.chosen else rule


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
