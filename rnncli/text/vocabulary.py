"""The words that a model knows, and their ids."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rnncli.errors import ConfigError, TextError, WriteError
from rnncli.system import disk
from rnncli.text.lines import read_lines
from rnncli.text.tokenize import END, UNKNOWN, Tokenizer

__all__ = ["END", "UNKNOWN", "Rules", "Vocabulary", "build", "literal_end", "write_counts", "write_words"]

COMPARED_WORDS = 50_000
COUNT = re.compile(r"\t\d+$")  # behind a word of a list


@dataclass(frozen=True)
class Vocabulary:
    """The words in the order of their ids.

    words: no two equal, `<end>` among them, and `<unk>` where the model has a place for words outside.
    counts: (V,) int64, how often each stands in the training text as encoded; None where that is not known.

    Raises ValueError for words that are no vocabulary.
    """

    words: tuple[str, ...]
    counts: npt.NDArray[np.int64] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.words):
            raise ValueError("a word stands twice in the vocabulary")
        if END not in self.ids:
            raise ValueError(f"a vocabulary needs {END}")
        if "" in self.ids or any("\n" in word for word in self.words):
            raise ValueError("a word of a vocabulary is not empty and holds no line end")
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

    def encode(self, tokens: Sequence[str], where: str = "") -> npt.NDArray[np.intp]:
        """The ids of the tokens of one line, (n,); no `<end>` is added.

        A word outside becomes `<unk>`. Raises TextError, which begins with `where`, for a word outside where there is
        no `<unk>`, and for a literal `<end>`.
        """
        if END in tokens:
            raise literal_end(where)
        unknown = -1 if self.unknown_id is None else self.unknown_id
        ids = np.array([self.ids.get(token, unknown) for token in tokens], dtype=np.intp)
        if self.unknown_id is None and (ids < 0).any():
            raise self.outside(tokens[int(np.argmax(ids < 0))], where)
        return ids

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words of these ids."""
        return [self.words[id] for id in ids]

    def nearest(self, word: str, n: int = 3) -> list[str]:
        """At most n known words written like this one, the closest first."""
        # Words stand by falling frequency: a long vocabulary is searched where most of its text is, in about 0.1 s.
        known = [other for other in self.words[:COMPARED_WORDS] if other not in (END, UNKNOWN)]
        return difflib.get_close_matches(word, known, n)

    def outside(self, word: str, where: str = "") -> TextError:
        """The error to raise for a word that has no id, where there is no `<unk>` to stand for it."""
        if near := self.nearest(word):
            known = f"; the nearest known: {', '.join(near)}"
        else:
            frequent = [other for other in self.words if other not in (END, UNKNOWN)][:5]
            known = f"; none is near it, known are such as {', '.join(frequent)}"
        return TextError(
            f"{_prefix(where)}the word {word!r} is not in the vocabulary, which has no {UNKNOWN}{known}; to give "
            "unknown words a place, train with vocabulary.unknown: true or vocabulary.min_count: 2"
        )


def literal_end(where: str = "") -> TextError:
    """The error to raise for a text in which `<end>` is written."""
    return TextError(
        f"{_prefix(where)}a literal {END} in the text; the end of a line stands for it, so take it out, "
        "or write it in another way"
    )


@dataclass(frozen=True)
class Rules:
    """Which words of the training text become members.

    min_count: a word that stands less often becomes `<unk>`.
    max_size: at most so many ids, `<end>` and `<unk>` included.
    unknown: make `<unk>` a member even where nothing needs it; False: the file must have every word of the text.
    file: a list of the members, one word a line, in place of min_count and max_size.

    Raises ConfigError for rules that contradict each other or let no word in.
    """

    min_count: int = 1
    max_size: int | None = None
    unknown: bool | None = None
    file: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if self.max_size is not None and self.max_size < 3:
            raise ConfigError(
                f"vocabulary.max_size is {self.max_size}, which leaves no room for a word beside {END} and {UNKNOWN}; "
                "give at least 3"
            )
        if self.file is not None and (self.min_count > 1 or self.max_size is not None):
            raise ConfigError(
                "vocabulary.file names the members; leave out vocabulary.min_count and vocabulary.max_size, "
                "or leave out the file"
            )


def build(counts: Mapping[str, int], end_count: int, rules: Rules, tokenizer: Tokenizer, where: str = "") -> Vocabulary:
    """The vocabulary of a training text: by falling frequency as encoded, words of equal frequency in `str` order.

    counts: how often each word stands in the training text, `<end>` left out; end_count: how often that does. `<unk>`
    is a member where words are left out or might be (min_count over 1, max_size), where the rules ask for it, or where
    the text has it; its frequency takes in the words left out. The tokenizer reads the lines of `rules.file`; messages
    begin with `where`.

    Raises TextError where no word is left, where the file is no word list, and where it lacks a word of the text though
    the rules say that there is no `<unk>` for it.
    """
    frequency = dict(counts)
    total = sum(frequency.values())
    literal = frequency.pop(UNKNOWN, None)
    needed = bool(rules.unknown) or literal is not None
    if rules.file is None:
        kept = _most_frequent(frequency, rules, where)
        needed = needed or rules.min_count > 1 or rules.max_size is not None
    else:
        listed = _read_list(rules.file, tokenizer)
        kept = {word: frequency.get(word, 0) for word in listed - {END, UNKNOWN}}
        lacking = frequency.keys() - kept.keys()
        if lacking and rules.unknown is False:
            word = _by_frequency({word: frequency[word] for word in lacking})[0]
            raise TextError(
                f"{rules.file}: the word {word!r} of the training text is not in the list (missing in all: "
                f"{len(lacking)}), and vocabulary.unknown: false leaves no {UNKNOWN} in its place; add what is missing "
                "to the list, or leave vocabulary.unknown away"
            )
        needed = needed or UNKNOWN in listed or bool(lacking)
    members = kept | {END: end_count}
    if needed:
        members[UNKNOWN] = total - sum(kept.values())
    ordered = _by_frequency(members)
    return Vocabulary(tuple(ordered), np.array([members[word] for word in ordered], dtype=np.int64))


def write_words(vocabulary: Vocabulary, path: str | os.PathLike[str]) -> None:
    """Write `vocabulary.txt`, whole or not at all: one word a line, in the order of the ids. Raises WriteError."""
    with _told(path), disk.replacing(Path(path)) as file:
        file.write(_lines(vocabulary.words))


def write_counts(vocabulary: Vocabulary, path: str | os.PathLike[str]) -> None:
    """Write a list that `Rules.file` takes: a word a line, in the order of the ids, a tab, and its count. Raises
    WriteError.
    """
    assert vocabulary.counts is not None
    counts = vocabulary.counts.tolist()
    with _told(path):
        Path(path).write_bytes(_lines(f"{word}\t{n}" for word, n in zip(vocabulary.words, counts, strict=True)))


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


@contextmanager
def _told(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(f"{path}: cannot be written ({error.strerror}); is there room, and permission?") from None


def _most_frequent(frequency: dict[str, int], rules: Rules, where: str) -> dict[str, int]:
    kept = {word: n for word, n in frequency.items() if n >= rules.min_count}
    if not kept:
        raise TextError(
            f"{_prefix(where)}no word of the training text, {UNKNOWN} aside, stands there {rules.min_count} times or "
            "more; lower vocabulary.min_count, or give more text"
        )
    if rules.max_size is not None:
        kept = {word: kept[word] for word in _by_frequency(kept)[: rules.max_size - 2]}
    return kept


def _by_frequency(counts: dict[str, int]) -> list[str]:
    return sorted(sorted(counts), key=counts.__getitem__, reverse=True)  # which leaves equal ones in their order


def _read_list(path: str | os.PathLike[str], tokenizer: Tokenizer) -> set[str]:
    """The words of a list, counts left out, cut and lowercased as the texts are, so that each can be met in one."""
    words: set[str] = set()
    for number, line in read_lines(path):
        tokens = tokenizer.tokens(COUNT.sub("", line))
        if len(tokens) > 1:
            raise TextError(
                f"{path}:{number}: {line!r} is {len(tokens)} tokens to the tokenizer {tokenizer.name!r}; "
                "give one word a line, written as that tokenizer cuts it"
            )
        words.update(tokens)
    if not words - {END, UNKNOWN}:
        raise TextError(f"{path}: no word in the list; give one word a line")
    return words


def _prefix(where: str) -> str:
    return f"{where}: " if where else ""
