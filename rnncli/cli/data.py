"""`rnncli data`: check a corpus before training on it."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any
from unicodedata import category

import click

from rnncli.cli.display.characters import cut
from rnncli.cli.display.reading import reading_display
from rnncli.cli.display.table import print_table
from rnncli.cli.options import complete_paths, json_option, print_json, set_option
from rnncli.text.invisible import escaped, shown

if TYPE_CHECKING:
    from rnncli.corpus_check import Finding, Report
    from rnncli.corpus_check.facts import Place, Survey

BARS = 10  # rows of the histogram
BAR = 40  # characters of the longest
VIEWED = 2  # lines in the tokenizer's view from the beginning of the text, and as many with findings
SHOWN = 100  # columns of a line
# Kinds of findings that are easier to see in the tokens of the line.
VIEWED_KINDS = ("bom_inside", "glued", "control", "spaces", "mojibake", "replacement", "unassigned", "scripts")
# Kinds of findings after which the text hardly teaches a model anything of its language.
SPOILT = ("mojibake", "unsegmented")


@click.command()
@click.argument("config", shell_complete=complete_paths)
@set_option
@json_option
@click.pass_context
def data(ctx: click.Context, config: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check the corpus of CONFIG before training on it.

    \b
    Examples:
      rnncli data configs/fruit.yaml
      rnncli data configs/book.yaml --set data.train=war-and-peace.txt

    Shows sizes, sentence lengths, and findings, the most severe first, each with the line to look at. `rnncli train`
    refuses a text with an error; a warning means a worse model; a note is good to know. Where a command would mend the
    text, the finding has it: it writes a new file, to name in the config. Exit code 4 if there is an error, else 0.

    \b
    JSON: {"trainable", "vocabulary" (size; null if train has none), "splits": {"train", "valid", "test":
    {"files", "bytes", "lines", "blank_lines", "repeated_lines", "words", "tokens" (predicted positions,
    <end> included), "distinct_words", "unknown", "lengths" (words per line, blank lines left out): {"median",
    "percentile_95", "longest", "histogram": [{"from", "to", "lines"}]}}},
    "findings": [{"severity" (error, warning, note), "kind", "split", "where", "file", "line" (null if it is about no
    line), "text" (of the line), "what", "advice", "count", "share" (0 to 1)}],
    "view": [{"file", "line", "tokens"}]}
    """
    from rnncli.config import yaml_file
    from rnncli.corpus_check import check
    from rnncli.errors import TextError

    settings = yaml_file.read(config, overrides)
    with reading_display() as watch:
        report = check(settings, watch)
    print_json(_document(report)) if as_json else _print(report)
    if not report.trainable:
        ctx.exit(TextError.exit_code)


def _document(report: Report) -> dict[str, Any]:
    return {
        "trainable": report.trainable,
        "vocabulary": None if report.vocabulary is None else len(report.vocabulary),
        "splits": {name: _split(found, report) for name, found in report.splits.items()},
        "findings": [_finding(each, report) for each in report.findings],
        "view": [
            {"file": place.file, "line": place.line, "tokens": report.text_format.tokenizer.tokens(line)}
            for place, line in _view(report)
        ],
    }


def _split(found: Survey, report: Report) -> dict[str, Any]:
    return {
        "files": [file.name for file in found.files if file.lines or not found.lines],
        "bytes": found.bytes,
        "lines": found.lines,
        "blank_lines": found.blank,
        "repeated_lines": found.repeated,
        "words": found.tokens,
        "tokens": found.predicted,
        "distinct_words": len(found.words),
        "unknown": _unknown(found, report),
        "lengths": {
            "median": found.lengths.percentile(50),
            "percentile_95": found.lengths.percentile(95),
            "longest": found.longest[0],
            "histogram": [{"from": low, "to": high, "lines": lines} for low, high, lines in found.rows(BARS)],
        },
    }


def _unknown(found: Survey, report: Report) -> int | None:
    from rnncli.corpus_check.words import outside

    return None if report.vocabulary is None else outside(found, report.vocabulary).total()


def _finding(each: Finding, report: Report) -> dict[str, Any]:
    from rnncli.corpus_check.facts import Place

    at = each.where if isinstance(each.where, Place) else None
    return {
        "severity": each.severity,
        "kind": each.kind,
        "split": each.split,
        "where": str(each.where),
        "file": at.file if at else None,
        "line": at.line if at else None,
        "text": report.texts.get(each),
        "what": each.what,
        "advice": each.advice,
        "count": each.count,
        "share": each.share,
    }


def _view(report: Report) -> list[tuple[Place, str]]:
    """The first lines of the training text, and the first lines with findings about characters."""
    from rnncli.corpus_check.facts import Place

    lines = dict(report.splits["train"].samples[:VIEWED])
    with_findings = [
        (each.where, report.texts[each].removeprefix("… "))
        for each in report.findings
        if each.kind in VIEWED_KINDS and isinstance(each.where, Place) and each in report.texts
    ]
    return list((lines | dict(with_findings[:VIEWED])).items())


def _print(report: Report) -> None:
    _print_sizes(report)
    _print_lengths(
        report.splits["train"], "characters" if report.text_format.tokenizer.name == "characters" else "words"
    )
    _print_findings(report)
    view = _view(report)
    if view:
        click.echo("\nas the tokenizer sees it")
        for place, line in view:
            tokens = "|".join(map(_visible, report.text_format.tokenizer.tokens(line)))
            click.echo(f"  {_short(str(place))}  {cut(tokens, SHOWN)}{'|<end>' if report.text_format.ends else ''}")
    click.echo(f"\n{_verdict(report)}")


def _print_sizes(report: Report) -> None:
    rows = [["text", "file", "size", "lines", "blank", "repeated", "words", "distinct", "unknown"]]
    for name, found in report.splits.items():
        unknown = _unknown(found, report)
        rows.append(
            [
                name,
                _where(found),
                _bytes(found.bytes),
                f"{found.lines:,}",
                f"{found.blank:,}",
                f"{found.repeated:,}",
                f"{found.tokens:,}",
                f"{len(found.words):,}",
                "?" if unknown is None else f"{unknown:,}",
            ]
        )
    print_table(rows, right="2345678", left_out=("repeated", "blank", "distinct"))


def _print_lengths(found: Survey, unit: str) -> None:
    rows = found.rows(BARS)
    if not rows:
        return
    length, place = found.longest
    click.echo(
        f"\n{unit} per line in train: median {_length(found.lengths.percentile(50))}, 95th percentile "
        f"{_length(found.lengths.percentile(95))}; the longest has {length:,} ({_short(str(place))})"
    )
    most = max(lines for _, _, lines in rows)
    table = [
        [f"{low:,}" if low == high else f"{low:,}-{high:,}", f"{lines:,}", "#" * -(-BAR * lines // most)]
        for low, high, lines in rows
    ]
    print_table([[unit, "lines", ""], *table], right="01")


def _length(length: int) -> str:
    from rnncli.corpus_check.facts import LONGEST_COUNTED

    return f"{length:,}" if length < LONGEST_COUNTED else f"{length:,} or more"


def _print_findings(report: Report) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 1_000_000
    for each in report.findings:
        lines = [f"{_short(str(each.where))}: {_short(each.what)}", _short(each.advice)]
        if text := report.texts.get(each, "").strip():
            lines.insert(1, f"> {cut(_visible(text), SHOWN)}")
        click.echo()
        for i, line in enumerate(lines):
            label = f"{each.severity:<9}" if i == 0 else " " * 9
            for piece in textwrap.wrap(
                line,
                width,
                initial_indent=label,
                subsequent_indent=" " * 9,
                break_long_words=False,
                break_on_hyphens=False,
            ):
                click.echo(piece)


def _verdict(report: Report) -> str:
    from rnncli.corpus_check import SEVERITIES

    counts = {name: sum(each.severity == name for each in report.findings) for name in SEVERITIES}
    parts = [f"{n} {name}{'' if n == 1 else 's'}" for name, n in counts.items() if n]
    if not report.trainable:
        return f"cannot be trained on: {', '.join(parts)}"
    spoilt = any(each.kind in SPOILT and each.share >= 0.5 for each in report.findings)
    state = "can be trained on, but not as it is meant" if spoilt else "ready to train"
    return f"{state}: {', '.join(parts) or 'nothing found'}"


def _visible(text: str) -> str:
    r"""The text as `shown`, and with unusual spaces and private characters escaped: `\xa0`, `\ue000`."""
    return "".join(escaped(c) if c != " " and category(c) in ("Zs", "Co") else c for c in shown(text))


def _short(text: str) -> str:
    """The text with paths relative to the current folder."""
    return text.replace(os.getcwd() + os.sep, "")


def _where(found: Survey) -> str:
    """The file of a text, or the number of its files."""
    files = [file for file in found.files if file.lines] or found.files
    if len(files) != 1:
        return f"{len(files)} files"
    return _short(files[0].name) + (f" from line {files[0].start + 1}" if files[0].start else "")


def _bytes(size: int) -> str:
    return f"{size:,} B" if size < 10_000 else f"{size / 1e3:,.0f} kB" if size < 10_000_000 else f"{size / 1e6:,.0f} MB"
