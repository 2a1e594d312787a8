"""`rnncli evaluate`: the perplexity of a model on texts."""

from __future__ import annotations

import sys

import click

from rnncli.cli.display.perplexities import bits_of, ends_in_words, figure, warn_incomparable
from rnncli.cli.display.reading import reading_display
from rnncli.cli.options import complete_paths, json_option, load, print_json, run_option, say, uncalibrated_option


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", shell_complete=complete_paths)
@run_option
@uncalibrated_option
@json_option
def evaluate(files: tuple[str, ...], run_path: str | None, uncalibrated: bool, as_json: bool) -> None:
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
    if files.count("-") > 1:
        raise click.UsageError("`-` is standard input, which can be read only once.")
    loaded = load(run_path, uncalibrated)
    with reading_display() as watch:
        result = loaded.evaluate([sys.stdin.buffer if name == "-" else name for name in files], watch)
    warn_incomparable(result)
    if as_json:
        print_json({"files": list(files)} | result.figures())
        return
    known = f"{result.oov} not in the vocabulary of {result.vocabulary:,} words"
    say(f"tokens                     {result.tokens} ({ends_in_words(result.ends)}), {known}")
    say(f"cross-entropy              {figure(result.cross_entropy, 4)} nats a token")
    say(f"perplexity                 {figure(result.perplexity, 3)}")
    say(f"perplexity excluding oov   {figure(result.perplexity_excluding_oov, 3)}")
    say(f"perplexity with spelling   {figure(result.perplexity_with_spelling, 3)}")
    for unit, bits, spelled in bits_of(result):
        say(f"{f'bits per {unit}':<26} {figure(bits, 4)}, with spelling {figure(spelled, 4)}")
