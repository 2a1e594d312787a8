"""Vocabularies: the words that a model knows, and their ids."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rnncli.errors import ConfigError, TextError
from rnncli.schema.suggestions import shortened, shown
from rnncli.system import disk
from rnncli.text.lines import read_lines
from rnncli.text.lookalikes import look, told_apart
from rnncli.text.tokenize import END, UNKNOWN, Tokenizer

__all__ = [
    "END",
    "UNKNOWN",
    "Rules",
    "Vocabulary",
    "build",
    "in_message",
    "literal_end_error",
    "write_counts",
    "write_words",
]

COMPARED_WORDS = 50_000  # of a vocabulary, when similar words are sought
COUNT = re.compile(r"\t\d+$")  # after a word in a word list


@dataclass(frozen=True)
class Vocabulary:
    """The words in the order of their ids.

    words: distinct, with `<end>`, and with `<unk>` if the model accepts unknown words.
    counts: (V,) int64, how often each occurs in the encoded training text; None if unknown.

    Raises ValueError for words that cannot be a vocabulary.
    """

    words: tuple[str, ...]
    counts: npt.NDArray[np.int64] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.words):
            raise ValueError("the vocabulary contains a word twice")
        if END not in self.ids:
            raise ValueError(f"a vocabulary needs {END}")
        if "" in self.ids or any("\n" in word for word in self.words):
            raise ValueError("a word of a vocabulary is empty or contains a line end")
        if self.counts is not None and self.counts.shape != (len(self.words),):
            raise ValueError(f"{len(self.words)} words, but counts of shape {self.counts.shape}")

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each word."""
        return {word: id for id, word in enumerate(self.words)}

    @property
    def end_id(self) -> int:
        return self.ids[END]

    @property
    def unknown_id(self) -> int | None:
        return self.ids.get(UNKNOWN)

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self.ids

    def encode(self, tokens: Sequence[str], location: str = "") -> npt.NDArray[np.intp]:
        """The ids of the tokens of one line, (n,), without an `<end>`; unknown words become `<unk>`.

        Raises TextError at `location` for an unknown word if the vocabulary has no `<unk>`, and for a literal `<end>`.
        """
        if END in tokens:
            raise literal_end_error(location)
        unknown = -1 if self.unknown_id is None else self.unknown_id
        ids = np.array([self.ids.get(token, unknown) for token in tokens], dtype=np.intp)
        if self.unknown_id is None and (ids < 0).any():
            raise self.unknown_word_error(tokens[int(np.argmax(ids < 0))], location)
        return ids

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words of these ids."""
        return [self.words[id] for id in ids]

    def nearest(self, word: str, n: int = 3) -> list[str]:
        """At most n other known words: those that look the same, then those with a similar spelling, the closest first.

        Messages show them with `in_message`.
        """
        # Words are sorted by falling frequency, so the most frequent ones are searched, which takes about 0.1 s.
        known = [other for other in self.words[:COMPARED_WORDS] if other not in (END, UNKNOWN, word)]
        appearance = look(word)
        alike = [other for other in known if look(other) == appearance]
        return list(dict.fromkeys([*alike, *difflib.get_close_matches(word, known, n)]))[:n]

    def unknown_word_error(self, word: str, location: str = "") -> TextError:
        """The error for a word outside this vocabulary if it has no `<unk>`."""
        unknown, *near = in_message([word, *self.nearest(word)])
        if near:
            known = f"the nearest known: {', '.join(near)}"
        else:
            frequent = in_message([other for other in self.words if other not in (END, UNKNOWN)][:5])
            known = f"no known word is similar; the most frequent ones are {', '.join(frequent)}"
        return TextError(
            f"the word '{unknown}' is not in the vocabulary, which has no {UNKNOWN}",
            location=location,
            remedy=f"{known}; to accept unknown words, train with vocabulary.unknown: true or vocabulary.min_count: 2",
        )


def in_message(words: Iterable[str]) -> list[str]:
    """The words as a message shows them: told apart, and long ones cut."""
    return [shortened(word) for word in told_apart(words)]


def literal_end_error(location: str = "") -> TextError:
    """The error for a text that contains the token `<end>`."""
    return TextError(
        f"a literal {END} in the text",
        location=location,
        remedy="it would be read as the end of a line, so remove it, or write it in another way",
    )


@dataclass(frozen=True)
class Rules:
    """Rules that select the words of a vocabulary from the training text.

    min_count: a word that occurs less often becomes `<unk>`.
    max_size: maximum number of ids, `<end>` and `<unk>` included.
    unknown: True adds `<unk>` even if no word needs it; False requires every word of the text to be in the file.
    file: a list of the words, one a line, in place of min_count and max_size.

    Raises ConfigError for rules that contradict each other or admit no word.
    """

    min_count: int = 1
    max_size: int | None = None
    unknown: bool | None = None
    file: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if self.max_size is not None and self.max_size < 3:
            raise ConfigError(
                f"vocabulary.max_size is {self.max_size}, which leaves no room for a word beside {END} and {UNKNOWN}",
                remedy="give at least 3",
            )
        if self.file is not None and (self.min_count > 1 or self.max_size is not None):
            raise ConfigError(
                "vocabulary.file already lists the words",
                remedy="leave out vocabulary.min_count and vocabulary.max_size, or leave out the file",
            )


def build(
    counts: Mapping[str, int], end_count: int, rules: Rules, tokenizer: Tokenizer, location: str = ""
) -> Vocabulary:
    """The vocabulary of a training text: by falling frequency as encoded, words of equal frequency in `str` order.

    counts: how often each word occurs in the training text, `<end>` left out; end_count: how often `<end>` occurs.
    `<unk>` is included if words are or may be left out (min_count over 1, max_size), if the rules require it, or if it
    occurs in the text; its frequency includes the words left out. The tokenizer reads the lines of `rules.file`.
    location: of the training text, for messages.

    Raises TextError if no word is left, if the file is not a word list, and if the file lacks a word of the text
    although `rules.unknown` is False.
    """
    frequency = dict(counts)
    total = sum(frequency.values())
    literal = frequency.pop(UNKNOWN, None)
    needed = bool(rules.unknown) or literal is not None
    if rules.file is None:
        kept = _most_frequent(frequency, rules, location)
        needed = needed or rules.min_count > 1 or rules.max_size is not None
    else:
        listed = _read_list(rules.file, tokenizer)
        kept = {word: frequency.get(word, 0) for word in listed - {END, UNKNOWN}}
        lacking = frequency.keys() - kept.keys()
        if lacking and rules.unknown is False:
            word = _by_frequency({word: frequency[word] for word in lacking})[0]
            raise TextError(
                f"the word {shown(word)} of the training text is not in the list (missing in all: {len(lacking)}), and "
                f"vocabulary.unknown: false allows no {UNKNOWN} in its place",
                location=os.fspath(rules.file),
                remedy="add the missing words to the list, or leave out vocabulary.unknown",
            )
        needed = needed or UNKNOWN in listed or bool(lacking)
    encoded = kept | {END: end_count}
    if needed:
        encoded[UNKNOWN] = total - sum(kept.values())
    ordered = _by_frequency(encoded)
    return Vocabulary(tuple(ordered), np.array([encoded[word] for word in ordered], dtype=np.int64))


def write_words(vocabulary: Vocabulary, path: str | os.PathLike[str]) -> None:
    """Write `vocabulary.txt` atomically: one word a line, in the order of the ids. Raises WriteError."""
    with disk.writing(Path(path), "make room there, or name another file"), disk.replacing(Path(path)) as file:
        file.write(_lines(vocabulary.words))


def write_counts(vocabulary: Vocabulary, path: str | os.PathLike[str]) -> None:
    """Write a list for `Rules.file`: on each line a word, a tab and its count, in the order of the ids.

    Raises WriteError.
    """
    assert vocabulary.counts is not None
    counts = vocabulary.counts.tolist()
    with disk.writing(Path(path), "make room there, or name another file"):
        Path(path).write_bytes(_lines(f"{word}\t{n}" for word, n in zip(vocabulary.words, counts, strict=True)))


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _most_frequent(frequency: dict[str, int], rules: Rules, location: str) -> dict[str, int]:
    kept = {word: n for word, n in frequency.items() if n >= rules.min_count}
    if not kept:
        raise TextError(
            f"no word of the training text, {UNKNOWN} aside, occurs {rules.min_count} times or more",
            location=location,
            remedy="lower vocabulary.min_count, or give more text",
        )
    if rules.max_size is not None:
        kept = {word: kept[word] for word in _by_frequency(kept)[: rules.max_size - 2]}
    return kept


def _by_frequency(counts: dict[str, int]) -> list[str]:
    return sorted(sorted(counts), key=counts.__getitem__, reverse=True)  # stable: equal counts stay in `str` order


def _read_list(path: str | os.PathLike[str], tokenizer: Tokenizer) -> set[str]:
    """The words of a list without their counts, tokenized and lowercased like the texts so that they can match."""
    words: set[str] = set()
    for number, line in read_lines(path):
        tokens = tokenizer.tokens(COUNT.sub("", line))
        if len(tokens) > 1:
            raise TextError(
                f"{shown(line)} is {len(tokens)} tokens to the tokenizer {tokenizer.name!r}",
                location=f"{os.fspath(path)}:{number}",
                remedy="give one word a line, as that tokenizer splits text",
            )
        words.update(tokens)
    if not words - {END, UNKNOWN}:
        raise TextError("no word in the list", location=os.fspath(path), remedy="give one word a line")
    return words
