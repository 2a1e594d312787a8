"""Lines to tokens and back. A new tokenizer is one function and one line in `TOKENIZERS`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import chain

END = "<end>"
UNKNOWN = "<unk>"

MARKS = ("Mn", "Mc", "Me")  # categories of Unicode
NUMBER = r"\d+(?:[.,]\d+)*"
CHARACTERS = re.compile(rf"{UNKNOWN}|{END}|.", re.DOTALL)


def whitespace(line: str) -> list[str]:
    """What stands between white space, as `str.split` sees it."""
    return line.split()


def words(line: str) -> list[str]:
    """Words (letters with their accents and inner apostrophes), numbers, and each other character by itself."""
    return _words_pattern().findall(line)


def characters(line: str) -> list[str]:
    """Every character, spaces included."""
    return CHARACTERS.findall(line) if "<" in line else list(line)


@dataclass(frozen=True)
class Kind:
    """One way to cut a line, and what stands between its tokens when they are put together again."""

    tokens: Callable[[str], list[str]]
    separator: str


TOKENIZERS: dict[str, Kind] = {
    "whitespace": Kind(whitespace, " "),
    "words": Kind(words, " "),
    "characters": Kind(characters, ""),
}


@dataclass(frozen=True)
class Tokenizer:
    """How a line becomes tokens, the same in training and for every seed and scored text.

    `name` is a key of `TOKENIZERS`; KeyError otherwise.
    """

    name: str
    lowercase: bool

    def __post_init__(self) -> None:
        TOKENIZERS[self.name]

    def tokens(self, line: str) -> list[str]:
        """The tokens of one line, which comes without its end. Literal `<unk>` and `<end>` are one token each."""
        return TOKENIZERS[self.name].tokens(line.lower() if self.lowercase else line)

    def join(self, tokens: Iterable[str]) -> str:
        """Tokens as text: with a space between them, or with nothing between characters."""
        return TOKENIZERS[self.name].separator.join(tokens)


@cache
def _words_pattern() -> re.Pattern[str]:
    letter, mark = letter_class(), mark_class()
    # Most words are ASCII with ASCII behind them: finding these without the large classes is twice as fast.
    ascii_word = r"[A-Za-z]++(?:'[A-Za-z]++)*+(?!['\x80-\U0010ffff])"
    word = rf"{letter}+(?:{mark}+{letter}*|['’]{letter}+)*"
    return re.compile(rf"{ascii_word}|{word}|{NUMBER}|{UNKNOWN}|{END}|\S")


# `re` knows no classes of Unicode: combining marks are listed, and so are the numerals (², ½, Ⅷ) that `\w` takes in but
# that are neither letters nor decimal digits.
def letter_class() -> str:
    """Letters, as `re` writes a class."""
    return rf"[^\W\d_{_character_class('No', 'Nl')}]"


def mark_class() -> str:
    """Combining marks, as `re` writes a class."""
    return f"[{_character_class(*MARKS)}]"


@cache
def ranges(*categories: str) -> list[tuple[int, int]]:
    """The first and the last of each run of characters of these Unicode categories, those of ASCII left out."""
    # Planes 2 and 3 are letters throughout, 4 to 13 empty, 15 and 16 private; 14 holds the variation selectors.
    planes = chain(range(0x80, 0x20000), range(0xE0000, 0xE1000))
    points = [point for point in planes if unicodedata.category(chr(point)) in categories]
    starts = [p for before, p in zip([-1, *points], points, strict=False) if p != before + 1]
    ends = [p for p, after in zip(points, [*points[1:], -1], strict=True) if after != p + 1]
    return list(zip(starts, ends, strict=True))


def _character_class(*categories: str) -> str:
    """The inside of a `[...]` for the characters of these categories."""
    return "".join(f"\\U{start:08x}-\\U{end:08x}" for start, end in ranges(*categories))
