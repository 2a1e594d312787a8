"""Texts as ids: the training text makes the vocabulary, and each text is then renumbered with one gather."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rnncli.errors import TextError
from rnncli.text.encode import LINE_END, Counts, Reading, Text, read_text, where
from rnncli.text.files import WRITING, Source, Watch
from rnncli.text.spool import Spool
from rnncli.text.vocabulary import Rules, Vocabulary, build

__all__ = ["Corpus", "Ids", "Reading", "Texts", "encode", "prepare"]

Ids = npt.NDArray[np.integer[Any]]
"""Word ids; those of a `Corpus` in the smallest unsigned type that holds them."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as ids. Its arrays may be memory maps: gather from them, never copy them whole.

    ids: (tokens,), every predicted position in order: the words of each line and, where lines end in one, `<end>`.
    line_starts: (lines + 1,) int64: line i is `ids[line_starts[i]:line_starts[i + 1]]`.
    oov_positions: unsigned, sorted: where in `ids` a word outside the vocabulary stands; a literal `<unk>` is none.
    outside: the words outside the vocabulary, in `str` order, and how often each stands in the text.
    characters: of the text as it stands in the files, each line end counted as one.
    sha256: of the lines of its files, decompressed, each with its end; for a part of a text, of all of it.
    files: the name of each file and the index of its first line; negative where the corpus is the end of a text.
    """

    ids: Ids
    line_starts: npt.NDArray[np.int64]
    oov_positions: Ids
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


@dataclass(frozen=True)
class Texts:
    """The vocabulary and the texts of a training run, as ids."""

    vocabulary: Vocabulary
    train: Corpus
    valid: Corpus | None = None
    test: Corpus | None = None

    def named(self) -> dict[str, Corpus]:
        """The texts that there are, by name."""
        texts = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: text for name, text in texts.items() if text is not None}


def prepare(
    train: Sequence[Source],
    reading: Reading,
    rules: Rules,
    valid: Sequence[Source] | float | None = None,
    test: Sequence[Source] | None = None,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> Texts:
    """Read the texts of a training run.

    train: the files of the training text, in order. valid: files, or a fraction: that much of the lines, from the end
    of the training text, is then set apart. The vocabulary is that of the training text, without that part.
    folder: where the arrays are written, `train.ids` and so on; without it they are in memory, or mapped from files
    without a name.

    Raises TextError for what is wrong in a text, and for a fraction that leaves nothing on one side; OSError where the
    folder cannot be written.
    """
    part, apart = read_parts(train, reading, valid, folder, watch)
    vocabulary = part.vocabulary(rules, reading)
    corpora = {"train": part.corpus(vocabulary, folder, "train", watch)}
    if apart is not None:
        corpora["valid"] = apart.corpus(vocabulary, folder, "valid", watch)
        apart.text.close()
    part.text.close()
    if test is not None:
        corpora["test"] = encode(test, reading, vocabulary, folder, "test", watch)
    return Texts(vocabulary, **corpora)


def encode(
    files: Sequence[Source],
    reading: Reading,
    vocabulary: Vocabulary,
    folder: Path | None = None,
    name: str = "",
    watch: Watch | None = None,
) -> Corpus:
    """Read a text with the vocabulary of a model; its arrays are written as those of `prepare`.

    Raises TextError for what is wrong in it, and for a word outside a vocabulary without `<unk>`.
    """
    text = read_text(files, reading, folder and folder / name, watch)
    try:
        return Part(text, 0, text.lines, text.counts).corpus(vocabulary, folder, name, watch)
    finally:
        text.close()


def read_parts(
    train: Sequence[Source],
    reading: Reading,
    valid: Sequence[Source] | float | None = None,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> tuple[Part, Part | None]:
    """The training and the validation text, before the vocabulary is known; arguments and errors as of `prepare`."""
    text = read_text(train, reading, folder and folder / "train", watch)
    if isinstance(valid, float | int):
        return _split(text, valid)
    part = Part(text, 0, text.lines, text.counts)
    if valid is None:
        return part, None
    other = read_text(valid, reading, folder and folder / "valid", watch)
    return part, Part(other, 0, other.lines, other.counts)


@dataclass(frozen=True, eq=False)
class Part:
    """Some lines of a text, before its vocabulary is known: those from `first` to before `last`."""

    text: Text
    first: int
    last: int
    counts: Counts  # of the words of the text, in these lines

    @cached_property
    def frequency(self) -> dict[str, int]:
        """How often each word stands in these lines, `<end>` left out."""
        found = zip(self.text.words, self.counts.tolist(), strict=True)
        return {word: n for word, n in found if n > 0 and word != LINE_END}

    @property
    def end_count(self) -> int:
        """How many `<end>` there are in these lines."""
        return int(self.counts.sum()) - sum(self.frequency.values())

    def vocabulary(self, rules: Rules, reading: Reading) -> Vocabulary:
        """The vocabulary that these rules make of a training text. Raises TextError."""
        return build(self.frequency, self.end_count, rules, reading.tokenizer, self.text.files[0][0])

    def corpus(
        self, vocabulary: Vocabulary, folder: Path | None = None, name: str = "", watch: Watch | None = None
    ) -> Corpus:
        """These lines with the ids of a vocabulary. Raises TextError for a word outside one without `<unk>`."""
        text, outside = self.text, len(vocabulary)
        final = np.fromiter((vocabulary.ids.get(word, outside) for word in text.words), np.int64, len(text.words))
        if self.end_count:
            final[text.words.index(LINE_END)] = vocabulary.end_id
        left_out = final == outside
        if vocabulary.unknown_id is not None:
            final[left_out] = vocabulary.unknown_id
        final = final.astype(np.min_scalar_type(len(vocabulary) - 1))
        start, stop = (int(text.line_starts.read(line, line + 1)[0]) for line in (self.first, self.last))
        dtypes: dict[str, npt.DTypeLike] = {"ids": final.dtype, "line_starts": np.int64}
        dtypes["oov_positions"] = np.min_scalar_type(stop - start)
        with ExitStack() as files:
            ids, starts, oov = (
                files.enter_context(closing(Spool(dtype, folder and folder / f"{name}.{array}")))
                for array, dtype in dtypes.items()
            )
            at = 0
            for piece in text.ids.pieces(start, stop):
                ids.append(final.take(piece))
                found = np.flatnonzero(left_out.take(piece))
                if len(found) and vocabulary.unknown_id is None:
                    raise vocabulary.outside(text.words[piece[found[0]]], text.place(start + at + int(found[0])))
                oov.append(found + at)
                at += len(piece)
                if watch is not None:
                    watch(WRITING, at * final.itemsize, (stop - start) * final.itemsize)
            for piece in text.line_starts.pieces(self.first, self.last + 1):
                starts.append(piece - start)
            arrays = ids.array(), starts.array(), oov.array()
        begin, end = (int(text.characters.read(line, line + 1)[0]) for line in (self.first, self.last))
        return Corpus(
            *arrays,
            # In an order of its own: that of the numbers depends on which thread was faster.
            dict(sorted((text.words[i], int(self.counts[i])) for i in np.flatnonzero(left_out & (self.counts > 0)))),
            end - begin,
            text.sha256,
            tuple((file, line - self.first) for file, line in text.files),
        )


def held_out(lines: int, fraction: float) -> int:
    """How many lines a fraction takes of the end of a text."""
    # The fraction as it was written: 0.29 of 100 lines are 29, though 0.29 * 100 is 28.999….
    return math.floor(Fraction(str(fraction)) * lines)


def _split(text: Text, fraction: float) -> tuple[Part, Part]:
    """The text without its last lines, and these."""
    apart = held_out(text.lines, fraction)
    if not 0 < apart < text.lines:
        side = "no line to validate on" if apart <= 0 else "no line to train on"
        raise TextError(
            f"{text.files[0][0]}: data.valid: {fraction} of {text.lines} lines leaves {side}; "
            "give another fraction, a file, or more text"
        )
    cut = text.lines - apart
    counts = np.zeros_like(text.counts)
    tail_start = int(text.line_starts.read(cut, cut + 1)[0])
    for piece in text.ids.pieces(tail_start, len(text.ids)):
        counts += np.bincount(piece, minlength=len(counts))
    parts = Part(text, 0, cut, text.counts - counts), Part(text, cut, text.lines, counts)
    for part, purpose in zip(parts, ("train", "validate"), strict=True):
        if not part.frequency:
            raise TextError(
                f"{where(text.files, part.first)}: no word to {purpose} on from here, with data.valid: {fraction}; "
                "give another fraction, or a file"
            )
    return parts
