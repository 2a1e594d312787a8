"""Findings about the lines of a text: lengths, blank and repeated lines, and lines that two texts share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from rnncli.config.config import Config
from rnncli.config.corpora import text_format
from rnncli.corpus_check.facts import Survey
from rnncli.corpus_check.finding import Finding, percent
from rnncli.schema.suggestions import counted

ENORMOUS = {"characters": 5_000}  # tokens, by tokenizer; 1,000 for any other
FEW_LINES = 10  # with fewer, the median length says little
LONG_WINDOW = 500  # time steps; the longest training.bptt to recommend
LONG_TEXT = "a long text is better read in data.mode: stream"
MANY_BLANK = 0.01  # of the lines: blank lines are a warning from this share on
# Shares of the lines: nothing is reported below the first, and from the second on it is a warning.
FEW_REPEATED, MANY_REPEATED = 0.01, 0.1
FEW_SHARED, MANY_SHARED = 0.001, 0.05


def in_lines(split: str, found: Survey, config: Config) -> Iterator[Finding]:
    """Blank and enormous lines, wrapped prose, and too few lines for a batch."""
    if text_format(config.data).ends:
        yield from _blank(split, found, config)
        if config.data.mode == "sentences" or config.data.tokenizer != "characters":
            yield from _enormous(split, found, config)
    if config.data.mode == "sentences":
        yield from _wrapped(split, found)
    yield from _batch(split, found, config)


def repeated(split: str, found: Survey, config: Config) -> Iterator[Finding]:
    """Lines that occur in a text more than once, without blank lines. More are normal if a line is not a sentence."""
    lines = found.hashes[found.hashes != 0]
    values, firsts, counts = np.unique(lines, return_index=True, return_counts=True)
    again = len(lines) - len(values)
    if again < (FEW_REPEATED if text_format(config.data).ends else MANY_REPEATED) * len(lines) or not again:
        return
    # Of the most repeated lines, the first in the text: the order of the hashes differs between processes.
    most = min(np.flatnonzero(counts == counts.max()), key=lambda i: firsts[i])
    first = found.place(int(np.argmax(found.hashes == values[most])))
    share = again / len(lines)
    yield Finding(
        "warning" if share >= MANY_REPEATED else "note",
        "duplicates",
        split,
        first,
        f"{counted(again, 'line repeats', 'lines repeat')} an earlier one ({percent(share)}); "
        f"the most repeated occurs {counts[most]:,} times, first here",
        "the model learns it by heart; remove it if it is not part of the language (headers, menus, licences)",
        again,
        share,
    )


def shared(splits: Mapping[str, Survey], config: Config) -> Iterator[Finding]:
    """Lines of valid that also occur in train, and lines of test that occur in train or valid."""
    few = FEW_SHARED if text_format(config.data).ends else MANY_SHARED
    names = list(splits)
    for i, name in enumerate(names):
        for other in names[:i]:
            yield from _shared(name, splits[name], other, splits[other], few)


def _shared(name: str, found: Survey, other: str, earlier: Survey, few: float) -> Iterator[Finding]:
    both = np.isin(found.hashes, earlier.hashes) & (found.hashes != 0)
    count, lines = int(both.sum()), int((found.hashes != 0).sum())
    if not count or count < few * lines:
        return
    first = int(both.argmax())
    there = earlier.place(int(np.argmax(earlier.hashes == found.hashes[first])))
    share = count / lines
    yield Finding(
        "warning" if share >= MANY_SHARED else "note",
        "shared",
        name,
        found.place(first),
        f"{counted(count, 'line')} of {name} ({percent(share)}) {'is' if count == 1 else 'are'} in {other} too, "
        f"this one at {there}",
        "a line seen in training tests nothing; remove it from one of the texts",
        count,
        share,
    )


def _blank(split: str, found: Survey, config: Config) -> Iterator[Finding]:
    if (blank := found.defects.get("blank")) is None or blank.count == found.lines:
        return
    share = blank.count / found.lines
    each = "is a sentence without words" if config.data.mode == "sentences" else "is one more <end>"
    yield Finding(
        "warning" if share >= MANY_BLANK else "note",
        "blank",
        split,
        blank.first,
        f"{counted(blank.count, 'blank line')} ({percent(share)}): each {each}",
        "remove them, as with grep -v '^[[:space:]]*$'",
        blank.count,
        share,
    )


def _enormous(split: str, found: Survey, config: Config) -> Iterator[Finding]:
    base, median = ENORMOUS.get(config.data.tokenizer, 1_000), found.lengths.percentile(50)
    # 100 times the median, between a fifth of the base and the base; but at least 10 times the median.
    limit = min(base, max(100 * median, base // 5))
    if found.lengths.lines >= FEW_LINES:
        limit = max(limit, 10 * median)
    length, place = found.longest
    if length <= limit or place is None:
        return
    count = max(found.lengths.above(limit), 1)
    half = f" (half of the lines have {median:,} or fewer)" if found.lengths.lines >= FEW_LINES else ""
    yield Finding(
        "warning",
        "enormous",
        split,
        place,
        f"{counted(count, 'line')} of more than {limit:,} tokens; this, the longest, has {length:,}{half}",
        f"check whether line ends were lost there; {LONG_TEXT}",
        count,
        count / max(found.lines, 1),
    )


def _wrapped(split: str, found: Survey) -> Iterator[Finding]:
    """Lines that look like those of a book: wrapped at a width, in the middle of sentences."""
    begun = found.lower + found.upper
    width = found.widths.percentile(99)
    full = found.widths.above(3 * width // 4)  # lines that nearly have this width
    if begun < 20 or not (40 <= width <= 200 and full >= found.widths.lines / 2):
        return
    if found.lower < 0.3 * begun or found.upper < 0.05 * begun:
        return
    yield Finding(
        "warning",
        "wrapped",
        split,
        found.place(int(np.argmax(found.hashes != 0))),
        f"looks like prose wrapped at {width} characters a line: {percent(found.lower / begun)} of the lines begin in "
        "lower case, as if in the middle of a sentence",
        "read it as a book: data.mode: stream and data.line_end: false",
        found.lower,
        found.lower / begun,
    )


def _batch(split: str, found: Survey, config: Config) -> Iterator[Finding]:
    """A text too small for training.batch_size, and sentences too long for training.bptt."""
    t = config.training
    if config.data.mode == "stream":
        size, unit, enough = found.predicted, "position", t.batch_size * t.bptt
        if split == "train" and size < t.batch_size:
            return  # an error, reported by `check._columns`
    else:
        size, unit, enough = found.lines, "sentence", t.batch_size
    if found.tokens and size < enough:
        many = f"training.batch_size {t.batch_size}"
        if config.data.mode == "stream":
            many += f" x training.bptt {t.bptt}"
        effect = "an epoch is a single step" if split == "train" else "its perplexity is rough"
        what = f"{counted(size, unit)}, fewer than one batch takes ({many}): {effect}"
        yield Finding("note", "small", split, found.files[0].name, what, "give more text", size, 1.0)
    usual = found.lengths.percentile(95) + 1  # the <end>
    if split == "train" and config.data.mode == "sentences" and usual > t.bptt:
        longer = found.lengths.above(t.bptt - 1)
        share = longer / max(found.lines, 1)
        yield Finding(
            "note",
            "bptt",
            split,
            found.longest[1] or found.files[0].name,
            f"{counted(longer, 'sentence is', 'sentences are')} longer than training.bptt {t.bptt} ({percent(share)}): "
            "each is read in windows that pass on the state, but not the gradient",
            f"training.bptt: {usual} reads 95 % of them whole" if usual <= LONG_WINDOW else LONG_TEXT,
            longer,
            share,
        )
