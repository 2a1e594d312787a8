"""Split lines into tokens and join them. A new tokenizer is a function here and one in `tokenize_arrays`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import chain

END = "<end>"
UNKNOWN = "<unk>"

MARKS = ("Mn", "Mc", "Me")  # Unicode categories of combining marks
NUMBER = r"\d+(?:[.,]\d+)*"
CHARACTERS = re.compile(rf"{UNKNOWN}|{END}|.", re.DOTALL)


def whitespace(line: str) -> list[str]:
    """The parts between white space, as in `str.split`."""
    return line.split()


def words(line: str) -> list[str]:
    """Words (letters with their accents and inner apostrophes), numbers, and each other character by itself."""
    return _words_pattern().findall(line)


def characters(line: str) -> list[str]:
    """Every character, spaces included."""
    return CHARACTERS.findall(line) if "<" in line else list(line)


@dataclass(frozen=True)
class Kind:
    """A function that splits a line, and the separator that joins its tokens."""

    tokens: Callable[[str], list[str]]
    separator: str


TOKENIZERS: dict[str, Kind] = {
    "whitespace": Kind(whitespace, " "),
    "words": Kind(words, " "),
    "characters": Kind(characters, ""),
}


@dataclass(frozen=True)
class Tokenizer:
    """Splits lines into tokens; the same one is used in training and for every seed and scored text.

    `name` is a key of `TOKENIZERS`; raises KeyError otherwise.
    """

    name: str
    lowercase: bool

    def __post_init__(self) -> None:
        TOKENIZERS[self.name]

    def tokens(self, line: str) -> list[str]:
        """The tokens of one line without its end. A literal `<unk>` or `<end>` is one token."""
        return TOKENIZERS[self.name].tokens(line.lower() if self.lowercase else line)

    def join(self, tokens: Iterable[str]) -> str:
        """Join tokens into text: with spaces, or characters with nothing between them."""
        return TOKENIZERS[self.name].separator.join(tokens)


@cache
def _words_pattern() -> re.Pattern[str]:
    letter, mark = letter_class(), mark_class()
    # Most words are ASCII and followed by ASCII: matching these without the large classes is twice as fast.
    ascii_word = r"[A-Za-z]++(?:'[A-Za-z]++)*+(?!['\x80-\U0010ffff])"
    word = rf"{letter}+(?:{mark}+{letter}*|['’]{letter}+)*"
    return re.compile(rf"{ascii_word}|{word}|{NUMBER}|{UNKNOWN}|{END}|\S")


# `re` has no Unicode categories, so the combining marks are listed, and so are the numerals (², ½, Ⅷ), which `\w`
# matches although they are neither letters nor decimal digits.
def letter_class() -> str:
    """Regular expression for a letter."""
    return rf"[^\W\d_{_character_class('No', 'Nl')}]"


def mark_class() -> str:
    """Regular expression for a combining mark."""
    return f"[{_character_class(*MARKS)}]"


@cache
def ranges(*categories: str) -> list[tuple[int, int]]:
    """The first and the last code point of each run of characters of these Unicode categories, without ASCII."""
    # Planes 2 and 3 contain only letters, 4 to 13 are empty, 15 and 16 private; 14 has the variation selectors.
    planes = chain(range(0x80, 0x20000), range(0xE0000, 0xE1000))
    points = [point for point in planes if unicodedata.category(chr(point)) in categories]
    starts = [p for before, p in zip([-1, *points], points, strict=False) if p != before + 1]
    ends = [p for p, after in zip(points, [*points[1:], -1], strict=True) if after != p + 1]
    return list(zip(starts, ends, strict=True))


def _character_class(*categories: str) -> str:
    """The characters of these categories, for use inside `[...]`."""
    return "".join(f"\\U{start:08x}-\\U{end:08x}" for start, end in ranges(*categories))
