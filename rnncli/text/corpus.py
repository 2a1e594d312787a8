"""Texts as ids: the training text determines the vocabulary; one gather then maps provisional to final ids."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rnncli.errors import TextError
from rnncli.system.arrays import Ids
from rnncli.text.encode import LINE_END, Text, TextFormat, WordCounts, location_of, read_text
from rnncli.text.files import WRITING, Source, Watch
from rnncli.text.spool import Spool
from rnncli.text.vocabulary import Rules, Vocabulary, build

__all__ = ["Corpus", "TextFormat", "Texts", "encode", "prepare"]


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as ids. Its arrays may be memory maps: gather from them, never copy them whole.

    ids: (tokens,), every predicted position in order: the words of each line and, if lines end in one, `<end>`; in the
    smallest unsigned type that holds them.
    line_starts: (lines + 1,) int64: line i is `ids[line_starts[i]:line_starts[i + 1]]`.
    oov_positions: unsigned, sorted: the positions in `ids` of words outside the vocabulary; a literal `<unk>` in the
    text is not one of them.
    outside: the words outside the vocabulary, in `str` order, and how often each occurs in the text.
    characters: number of characters in the text, each line end counted as one.
    sha256: of the lines of its decompressed files, each with its end; for a part of a text, of the whole text.
    files: the name of each file and the index of its first line, negative if the corpus begins later in the file.
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
        """Number of predicted positions."""
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
        """The texts of this run, by name."""
        texts = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: text for name, text in texts.items() if text is not None}


def prepare(
    train: Sequence[Source],
    text_format: TextFormat,
    rules: Rules,
    valid: Sequence[Source] | float | None = None,
    test: Sequence[Source] | None = None,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> Texts:
    """Read the texts of a training run.

    train: the files of the training text, in order. valid: files, or a fraction of the lines to hold out from the end
    of the training text. The vocabulary is that of the training text without the held-out lines.
    folder: where to write the arrays (`train.ids` and so on); without it they are in memory, or mapped from unnamed
    files.

    Raises TextError for a text that cannot be read or trained on, and for a fraction that leaves no line or word for
    training or validation; OSError if the folder cannot be written.
    """
    train_part, valid_part = read_parts(train, text_format, valid, folder, watch)
    vocabulary = train_part.vocabulary(rules, text_format)
    corpora = {"train": train_part.corpus(vocabulary, folder, "train", watch)}
    if valid_part is not None:
        corpora["valid"] = valid_part.corpus(vocabulary, folder, "valid", watch)
        valid_part.text.close()
    train_part.text.close()
    if test is not None:
        corpora["test"] = encode(test, text_format, vocabulary, folder, "test", watch)
    return Texts(vocabulary, **corpora)


def encode(
    files: Sequence[Source],
    text_format: TextFormat,
    vocabulary: Vocabulary,
    folder: Path | None = None,
    name: str = "",
    watch: Watch | None = None,
) -> Corpus:
    """Read a text with the vocabulary of a model; `folder` and `watch` as in `prepare`.

    Raises TextError for a text that cannot be read, and for a word outside a vocabulary without `<unk>`.
    """
    text = read_text(files, text_format, folder and folder / name, watch)
    try:
        return Part(text, 0, text.lines, text.counts).corpus(vocabulary, folder, name, watch)
    finally:
        text.close()


def read_parts(
    train: Sequence[Source],
    text_format: TextFormat,
    valid: Sequence[Source] | float | None = None,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> tuple[Part, Part | None]:
    """The training and the validation text before the vocabulary is known; arguments and errors as in `prepare`."""
    text = read_text(train, text_format, folder and folder / "train", watch)
    if isinstance(valid, float | int):
        return _split(text, valid)
    part = Part(text, 0, text.lines, text.counts)
    if valid is None:
        return part, None
    other = read_text(valid, text_format, folder and folder / "valid", watch)
    return part, Part(other, 0, other.lines, other.counts)


@dataclass(frozen=True, eq=False)
class Part:
    """Lines `first` to `last` (excluded) of a text whose vocabulary is not known yet.

    counts: (words,), how often each word of the text occurs in these lines.
    """

    text: Text
    first: int
    last: int
    counts: WordCounts

    @cached_property
    def frequency(self) -> dict[str, int]:
        """How often each word occurs in these lines, `<end>` left out."""
        found = zip(self.text.words, self.counts.tolist(), strict=True)
        return {word: n for word, n in found if n > 0 and word != LINE_END}

    @property
    def end_count(self) -> int:
        """Number of `<end>` tokens in these lines."""
        return int(self.counts.sum()) - sum(self.frequency.values())

    def vocabulary(self, rules: Rules, text_format: TextFormat) -> Vocabulary:
        """Build the vocabulary of a training text. Raises TextError."""
        return build(self.frequency, self.end_count, rules, text_format.tokenizer, self.text.files[0][0])

    def corpus(
        self, vocabulary: Vocabulary, folder: Path | None = None, name: str = "", watch: Watch | None = None
    ) -> Corpus:
        """Encode these lines with a vocabulary. Raises TextError for a word outside a vocabulary without `<unk>`."""
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
                    word, location = text.words[piece[found[0]]], text.location(start + at + int(found[0]))
                    raise vocabulary.unknown_word_error(word, location)
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
            # Sorted, because the order of provisional ids depends on which thread was faster.
            dict(sorted((text.words[i], int(self.counts[i])) for i in np.flatnonzero(left_out & (self.counts > 0)))),
            end - begin,
            text.sha256,
            tuple((file, line - self.first) for file, line in text.files),
        )


def held_out(lines: int, fraction: float) -> int:
    """Number of lines that a fraction holds out at the end of a text."""
    # From the decimal as written: 0.29 of 100 lines are 29, though 0.29 * 100 is 28.999….
    return math.floor(Fraction(str(fraction)) * lines)


def empty_split_error(file: str, lines: int, fraction: float) -> TextError | None:
    """The error if a fraction leaves no line for training or for validation."""
    apart = held_out(lines, fraction)
    if 0 < apart < lines:
        return None
    side = "no line to validate on" if apart <= 0 else "no line to train on"
    return TextError(
        f"data.valid: {fraction} of {lines:,} line{'' if lines == 1 else 's'} leaves {side}",
        location=file,
        remedy="give another fraction, a file, or more text",
    )


def wordless_part_error(location: str, name: str, fraction: float) -> TextError:
    """The error for a part ("train" or "valid") that a fraction leaves without a word."""
    purpose = "train" if name == "train" else "validate"
    return TextError(
        f"no word to {purpose} on from here, with data.valid: {fraction}",
        location=location,
        remedy="give another fraction, or a file",
    )


def _split(text: Text, fraction: float) -> tuple[Part, Part]:
    """The text without its last lines, and the last lines."""
    if (error := empty_split_error(text.files[0][0], text.lines, fraction)) is not None:
        raise error
    cut = text.lines - held_out(text.lines, fraction)
    counts = np.zeros_like(text.counts)
    tail_start = int(text.line_starts.read(cut, cut + 1)[0])
    for piece in text.ids.pieces(tail_start, len(text.ids)):
        counts += np.bincount(piece, minlength=len(counts))
    parts = Part(text, 0, cut, text.counts - counts), Part(text, cut, text.lines, counts)
    for part, name in zip(parts, ("train", "valid"), strict=True):
        if not part.frequency:
            raise wordless_part_error(location_of(text.files, part.first), name, fraction)
    return parts
