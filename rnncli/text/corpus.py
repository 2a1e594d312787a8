"""Texts as ids: one pass over the files, a provisional id for each new word, one gather to the final ids."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, count
from typing import Any

import numpy as np
import numpy.typing as npt

from rnncli.errors import TextError
from rnncli.text.lines import Source, name_of, read_blocks, read_lines
from rnncli.text.tokenize import END, Tokenizer
from rnncli.text.vocabulary import Rules, Vocabulary, build, literal_end

__all__ = ["Corpus", "Ids", "Reading", "encode", "prepare", "read_lines"]

Ids = npt.NDArray[np.integer[Any]]
"""Word ids; those of a `Corpus` in the smallest unsigned type that holds them."""

LINE_END = "\n"  # stands for `<end>` while reading: no token can be it, so a literal `<end>` is told apart
LINE_END_ID = 0
MODES = ("sentences", "stream")


@dataclass(frozen=True)
class Reading:
    """How a text is read: what must be the same in training and whenever the model is used.

    mode: `sentences` (a line is a sentence) or `stream` (the text is one long sequence).
    line_end: whether a line of a stream ends in `<end>`; a sentence always does. Without it, a newline is white space:
    nothing for words, a space for characters.

    Raises ValueError for another mode.
    """

    tokenizer: Tokenizer
    mode: str
    line_end: bool

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode is {self.mode!r}; choose {' or '.join(MODES)}")

    @property
    def ends(self) -> bool:
        """Whether each line ends in `<end>`."""
        return self.mode == "sentences" or self.line_end

    @property
    def after_line(self) -> str | None:
        """The token that follows the tokens of each line."""
        if self.ends:
            return LINE_END
        return " " if self.tokenizer.name == "characters" else None


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as ids.

    ids: (tokens,), every predicted position in order: the words of each line and, where lines end in one, `<end>`.
    line_starts: (lines + 1,) int64: line i is `ids[line_starts[i]:line_starts[i + 1]]`.
    oov_positions: int64, sorted: where in `ids` a word outside the vocabulary stands; a literal `<unk>` is none.
    outside: the words outside the vocabulary, and how often each stands in the text.
    characters: of the text as it stands in the files, each line end counted as one.
    sha256: of the content of the files it was read from, decompressed, one after the other.
    files: the name of each file and the index of its first line; negative where the corpus is the end of a text.
    """

    ids: Ids
    line_starts: npt.NDArray[np.int64]
    oov_positions: npt.NDArray[np.int64]
    outside: Mapping[str, int]
    characters: int
    sha256: str
    files: tuple[tuple[str, int], ...]

    @property
    def tokens(self) -> int:
        """How many positions are predicted."""
        return len(self.ids)

    @property
    def lines(self) -> int:
        return len(self.line_starts) - 1


def prepare(
    train: Sequence[Source],
    reading: Reading,
    rules: Rules,
    valid: Source | float | None = None,
) -> tuple[Vocabulary, Corpus, Corpus | None]:
    """Read the texts of a training run: the vocabulary, the training text, and the validation text.

    train: the files of the training text, in order. valid: a file, or a fraction: that much of the lines, from the
    end of the training text, is then set apart. The vocabulary is that of the training text, without that part.

    Raises TextError for what is wrong in a text, and for a fraction that leaves nothing on one side.
    """
    text = _read_text(train, reading)
    apart: _Text | None = None
    if isinstance(valid, float | int):
        text, apart = _split(text, valid)
    elif valid is not None:
        apart = _read_text([valid], reading)
    counts = np.bincount(text.ids, minlength=len(text.tokens))
    after = LINE_END_ID + 1
    vocabulary = build(text.tokens[after:], counts[after:], int(counts[LINE_END_ID]), rules, reading.tokenizer)
    return vocabulary, _renumber(text, vocabulary), _renumber(apart, vocabulary) if apart else None


def encode(files: Sequence[Source], reading: Reading, vocabulary: Vocabulary) -> Corpus:
    """Read a text with the vocabulary of a model.

    Raises TextError for what is wrong in it, and for a word outside a vocabulary without `<unk>`.
    """
    return _renumber(_read_text(files, reading), vocabulary)


@dataclass(frozen=True, eq=False)
class _Text:
    """A text before its vocabulary is known."""

    tokens: list[str]  # by provisional id, in the order of first appearance; LINE_END first
    ids: npt.NDArray[np.int32]  # (tokens,) provisional
    line_starts: npt.NDArray[np.int64]  # (lines + 1,)
    characters: npt.NDArray[np.int64]  # (lines,)
    sha256: str
    files: tuple[tuple[str, int], ...]


def _read_text(sources: Sequence[Source], reading: Reading) -> _Text:
    number: defaultdict[str, int] = defaultdict(count().__next__)
    assert number[LINE_END] == LINE_END_ID
    digest = hashlib.sha256()
    ids, lengths, characters = [], [], []
    files: list[tuple[str, int]] = []
    lines_read = 0
    for source in sources:
        files.append((name_of(source), lines_read))
        words = 0
        for first, lines in read_blocks(source, digest):
            tokens = list(map(reading.tokenizer.tokens, lines))
            words += sum(map(len, tokens))
            if (after := reading.after_line) is not None:
                for line in tokens:
                    line.append(after)
            lengths.append(_lengths(tokens))
            characters.append(_lengths(lines) + 1)
            ids.append(_number(tokens, int(lengths[-1].sum()), number.__getitem__))
            if END in number:
                line_number = next(n for n, line in enumerate(tokens, first) if END in line)
                raise literal_end(f"{name_of(source)}:{line_number}")
            lines_read += len(lines)
        if not words:
            raise TextError(f"{name_of(source)}: no word in the text; give a text with at least one")
    starts = np.concatenate([[0], *lengths]).cumsum(dtype=np.int64)
    return _Text(
        list(number), np.concatenate(ids), starts, np.concatenate(characters), digest.hexdigest(), tuple(files)
    )


def _number(tokens: list[list[str]], total: int, number: Callable[[str], int]) -> npt.NDArray[np.int32]:
    # No Python code runs for a word: the dictionary gives a new one its number by itself.
    return np.fromiter(map(number, chain.from_iterable(tokens)), np.int32, total)


def _lengths(items: Sequence[Sequence[str]]) -> npt.NDArray[np.int64]:
    return np.fromiter(map(len, items), np.int64, len(items))


def _split(text: _Text, fraction: float) -> tuple[_Text, _Text]:
    """The text without its last lines, and these."""
    lines = len(text.characters)
    # The fraction as it was written: 0.29 of 100 lines are 29, though 0.29 * 100 is 28.999….
    apart = math.floor(Fraction(str(fraction)) * lines)
    if not 0 < apart < lines:
        side = "no line to validate on" if apart <= 0 else "no line to train on"
        raise TextError(
            f"{text.files[0][0]}: data.valid: {fraction} of {lines} lines leaves {side}; "
            "give another fraction, a file, or more text"
        )
    cut = lines - apart
    at = text.line_starts[cut]
    head = replace(text, ids=text.ids[:at], line_starts=text.line_starts[: cut + 1], characters=text.characters[:cut])
    tail = replace(
        text,
        ids=text.ids[at:],
        line_starts=text.line_starts[cut:] - at,
        characters=text.characters[cut:],
        files=tuple((name, first - cut) for name, first in text.files),
    )
    for part, purpose in ((head, "train"), (tail, "validate")):
        if not part.ids.any():
            raise TextError(
                f"{_where(part.files, 0)}: no word to {purpose} on from here, with data.valid: {fraction}; "
                "give another fraction, or a file"
            )
    return head, tail


def _renumber(text: _Text, vocabulary: Vocabulary) -> Corpus:
    """The text with the ids of the vocabulary."""
    outside = len(vocabulary)
    final = np.fromiter((vocabulary.ids.get(token, outside) for token in text.tokens), np.int64, len(text.tokens))
    final[LINE_END_ID] = vocabulary.end_id
    oov = np.flatnonzero((final == outside)[text.ids])
    left_out, counts = np.unique(text.ids[oov], return_counts=True)
    if vocabulary.unknown_id is not None:
        final[final == outside] = vocabulary.unknown_id
    elif len(oov):
        line = int(np.searchsorted(text.line_starts, oov[0], side="right")) - 1
        raise vocabulary.outside(text.tokens[text.ids[oov[0]]], _where(text.files, line))
    return Corpus(
        ids=final.astype(np.min_scalar_type(len(vocabulary) - 1))[text.ids],
        line_starts=text.line_starts,
        oov_positions=oov,
        outside={text.tokens[id]: n for id, n in zip(left_out.tolist(), counts.tolist(), strict=True)},
        characters=int(text.characters.sum()),
        sha256=text.sha256,
        files=text.files,
    )


def _where(files: Sequence[tuple[str, int]], line: int) -> str:
    name, first = files[bisect_right([first for _, first in files], line) - 1]
    return f"{name}:{line - first + 1}"
