"""`rnncli evaluate`: the perplexity of a model on texts."""

from __future__ import annotations

import sys

import click

from rnncli.cli.display.perplexities import bits_of, ends_in_words, figure, warn_incomparable
from rnncli.cli.display.reading import reading_display
from rnncli.cli.options import json_option, load, print_json, run_option


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@run_option
@json_option
def evaluate(files: tuple[str, ...], run_path: str | None, as_json: bool) -> None:
    """Measure the perplexity of a model on texts; several files count as one text, `-` is standard input.

    \b
    Examples:
      rnncli evaluate data/fruit.txt
      rnncli evaluate --run runs/book --json test.txt

    The text is read with the tokenizer and the mode of the training text. Every predicted position counts: words,
    unknown words (as <unk>), and <end> if lines end in one. The result does not depend on the batch size.

    To compare models with different vocabularies, use only the open-vocabulary figures (with spelling), over the same
    tokens: a character model, trained on the words of the vocabulary, spells each unknown word. Otherwise the model
    with the smallest vocabulary would win. These figures are null if the vocabulary has no words to train it on.

    \b
    JSON: {"files", "tokens", "ends" (whether <end> is counted), "oov", "vocabulary" (words), "cross_entropy" (nats
    per token), "perplexity", "perplexity_excluding_oov", "perplexity_with_spelling", "bits_per_word",
    "bits_per_word_with_spelling", "bits_per_character", "bits_per_character_with_spelling"}
    """
    if "-" in files and sys.stdin is None:
        raise click.UsageError("`-` is standard input, which is closed.")
    loaded = load(run_path)
    with reading_display() as watch:
        result = loaded.evaluate([sys.stdin.buffer if name == "-" else name for name in files], watch)
    warn_incomparable(result)
    if as_json:
        print_json({"files": list(files)} | result.figures())
        return
    counted = f"{result.tokens} ({ends_in_words(result.ends)}), {result.oov} not in the vocabulary"
    click.echo(f"tokens                     {counted} of {result.vocabulary:,} words")
    click.echo(f"cross-entropy              {result.cross_entropy:.4f} nats a token")
    click.echo(f"perplexity                 {result.perplexity:.3f}")
    click.echo(f"perplexity excluding oov   {result.perplexity_excluding_oov:.3f}")
    click.echo(f"perplexity with spelling   {figure(result.perplexity_with_spelling, 3)}")
    for unit, bits, spelled in bits_of(result):
        click.echo(f"{f'bits per {unit}':<26} {bits:.4f}, with spelling {figure(spelled, 4)}")
