"""Split lines into tokens and join them. A new tokenizer is a function here and one in `tokenize_arrays`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from rnncli.text.character_classes import class_table
from rnncli.text.letter_forms import lower, normal

END = "<end>"
UNKNOWN = "<unk>"
NEWEST = 2  # version of the tokenizers and of lowercasing; a model keeps the version that it was trained with

LITERAL = re.compile(f"{UNKNOWN}|{END}")
ATTACHED = re.compile(b"[XZ]")
CHARACTERS = re.compile(rf"{LITERAL.pattern}|.", re.DOTALL)


def whitespace(line: str) -> list[str]:
    """The parts between white space, as in `str.split`."""
    return line.split()


def words(line: str, version: int = NEWEST) -> list[str]:
    """What Unicode's word boundaries (UAX 29) keep together: words, numbers, emoji, each other character by itself.

    With three differences: white space is in no token; connector punctuation such as `_` is a token by itself; and
    a run of letters of scripts without spaces, which UAX 29 leaves to dictionaries, is one word.
    Version 1 keeps letters with their marks and inner apostrophes together, and numbers.
    """
    table = class_table(version, line.isascii())
    classes = bytearray(line.encode().translate(table) if line.isascii() else map(table.__getitem__, map(ord, line)))
    for literal in LITERAL.finditer(line) if "<" in line else ():
        if version == 1 or not ATTACHED.match(classes, literal.end()):
            classes[slice(*literal.span())] = b"<>>>>"
    return [line[token.start() : token.end()] for token in WORDS[version].finditer(classes)]


def characters(line: str) -> list[str]:
    """Every character, spaces included."""
    return CHARACTERS.findall(line) if "<" in line else list(line)


def _words_pattern() -> re.Pattern[bytes]:
    """A token of `words`, in classes of characters instead of characters. UAX 29 calls its rules WB3c, WB6, ..."""
    extend = "[XZ]*+"  # WB4
    inside_word, inside_number = f"['.:]{extend}(?=[ehl])", f"['.,]{extend}(?=n)"  # WB6, 7; WB11, 12
    hebrew = rf'{inside_word}|"{extend}(?=h)|(?!\')'  # WB7b, 7c
    word = (
        rf"(?=[ehln])(?:[el]++{extend}(?:{inside_word})?|n++{extend}(?:{inside_number})?|h++{extend}(?:{hebrew}))*+"
        rf"(?:h++{extend}'{extend})?"  # WB7a
    )
    flag = f"R{extend}(?:R{extend})?"  # WB15, 16
    joined = rf"(?<=Z)(?=[eE])(?:{word}|E{extend})"  # WB3c
    return re.compile(rf"<>{{4}}|(?:{word}|(?:K++{extend})++|{flag}|[^ \n]{extend})(?:{joined})*+".encode())


WORDS = {1: re.compile(rb"l+(?:X+l*|'l+)*|n+(?:,n+)*|<>{4}|[^ \n]"), 2: _words_pattern()}


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
EARLIER = {("words", 1): partial(words, version=1)}


@dataclass(frozen=True)
class Tokenizer:
    """Splits lines into tokens; the same one is used in training and for every seed and scored text.

    `name` is a key of `TOKENIZERS`; raises KeyError otherwise. language: of `lowercase`. normalize: a normal form.
    """

    name: str
    lowercase: bool
    language: str | None = None
    normalize: str | None = None
    version: int = NEWEST

    def __post_init__(self) -> None:
        TOKENIZERS[self.name]

    def tokens(self, line: str) -> list[str]:
        """The tokens of one line without its end. A literal `<unk>` or `<end>` is one token."""
        split = EARLIER.get((self.name, self.version), TOKENIZERS[self.name].tokens)
        return split(self.spelled(line))

    def spelled(self, text: str) -> str:
        """The text in the letters that its tokens have: normalized, in lower case."""
        text = normal(text, self.normalize)
        if not self.lowercase:
            return text
        if (self.version, self.language) == (1, None):
            return normal(text.lower(), self.normalize)
        return normal(lower(text, self.language), self.normalize)  # ǰ alone has a small form

    def join(self, tokens: Iterable[str]) -> str:
        """Join tokens into text: with spaces, or characters with nothing between them."""
        return TOKENIZERS[self.name].separator.join(tokens)
