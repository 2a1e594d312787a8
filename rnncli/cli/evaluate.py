"""`rnncli evaluate`: the perplexity of texts."""

from __future__ import annotations

import sys

import click

from rnncli.cli.options import json_option, load, print_json, run_option


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@run_option
@json_option
def evaluate(files: tuple[str, ...], run_path: str | None, as_json: bool) -> None:
    """Measure the perplexity of a model on texts; several files are one text, `-` is standard input.

    \b
    Examples:
      rnncli evaluate data/fruit.txt
      rnncli evaluate --run runs/book --json test.txt

    The text is read as the model's training text was: same tokenizer, same mode. Every predicted position counts:
    words, unknown words read as <unk>, and <end> where lines end in one. The figure depends on no batch size.

    \b
    JSON: {"files", "tokens", "oov", "cross_entropy" (nats a token), "perplexity", "perplexity_excluding_oov",
    "bits_per_word", "bits_per_character"}
    """
    if "-" in files and sys.stdin is None:
        raise click.UsageError("`-` is standard input, and there is none.")
    loaded = load(run_path)
    result = loaded.evaluate([sys.stdin.buffer if name == "-" else name for name in files])
    if as_json:
        figures = ("cross_entropy", "perplexity", "perplexity_excluding_oov", "bits_per_word", "bits_per_character")
        counts = {"files": list(files), "tokens": result.tokens, "oov": result.oov}
        print_json(counts | {name: getattr(result, name) for name in figures})
        return
    ends = "<end> counted" if loaded.config.data.mode == "sentences" or loaded.config.data.line_end else "no <end>"
    click.echo(f"tokens                     {result.tokens} ({ends}), {result.oov} not in the vocabulary")
    click.echo(f"cross-entropy              {result.cross_entropy:.4f} nats a token")
    click.echo(f"perplexity                 {result.perplexity:.3f}")
    click.echo(f"perplexity excluding oov   {result.perplexity_excluding_oov:.3f}")
    click.echo(f"bits per word              {result.bits_per_word:.4f}")
    click.echo(f"bits per character         {result.bits_per_character:.4f}")
