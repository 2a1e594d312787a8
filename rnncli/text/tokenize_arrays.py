"""Tokenize many lines at once: the tokenizers of `tokenize`, vectorised over arrays of characters.

The result equals `Tokenizer.tokens` line by line; test_tokenize_arrays compares them. No Python code runs per word,
and NumPy releases the interpreter lock, so that threads tokenize several blocks in parallel.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from rnncli.text.tokenize import END, MARKS, UNKNOWN, Tokenizer, letter_class, ranges

Flags = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.intp]
Classes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.integer[Any]]
"""Code points: uint8 for ASCII text, uint32 for any other."""

# Classes of characters. All but white space belong to a token.
SPACE, NEWLINE, OTHER, LETTER, MARK, APOSTROPHE, DIGIT, POINT = range(8)


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of a piece of text: token i is `data[starts[i]:ends[i]]`, UTF-8.

    through: (lines,), number of tokens up to the end of each line, that of the line end included.
    characters: (lines,), number of characters up to the end of each line, each line end counted as one.
    size: number of characters in all.
    """

    data: bytes
    starts: Positions
    ends: Positions
    through: Positions
    characters: Positions
    size: int


def cut(text: bytes, tokenizer: Tokenizer, after_line: str | None) -> Tokens:
    r"""Tokenize valid UTF-8 that ends at the end of a line or a token. A line ends at `\n` or `\r\n`.

    after_line: the token after those of each line: `\n`, a space, or None for no token.
    """
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    if text.isascii():
        data = text.lower() if tokenizer.lowercase else text
        codes: Codes = np.frombuffer(data, np.uint8)
        offsets = None
    else:
        decoded = text.decode()
        lowered = decoded.lower() if tokenizer.lowercase else decoded
        data, codes = lowered.encode(), _codes(lowered)
        leads = np.frombuffer(data, np.int8) >= -64  # the first byte of each character
        offsets = np.flatnonzero(np.append(leads, True))
    classes = _classes(offsets is None).take(codes)
    line_ends = np.flatnonzero(classes == NEWLINE)
    if offsets is None or not tokenizer.lowercase:
        characters, size = line_ends + 1, len(codes)
    else:  # a lower-case letter may be longer than its capital: İ becomes two characters, but counts as one
        characters, size = np.flatnonzero(_codes(decoded) == ord("\n")) + 1, len(decoded)
    token, glued = CUTS[tokenizer.name](classes, codes)
    if after_line is None:
        token[line_ends] = False
    elif after_line != "\n":
        data = data.replace(b"\n", after_line.encode())
    starts, ends = _edges(token, glued)
    through = np.searchsorted(starts, line_ends, side="right")
    if offsets is not None:
        starts, ends = offsets.take(starts), offsets.take(ends)
    return Tokens(data, starts, ends, through, characters, size)


def _edges(token: Flags, glued: Flags) -> tuple[Positions, Positions]:
    """Starts and ends of the tokens. token: characters that belong to a token; glued: to that of the one before."""
    starts = np.flatnonzero(token & ~glued)
    token[:-1] &= ~glued[1:]
    return starts, np.flatnonzero(token) + 1


def _whitespace(classes: Classes, codes: Codes) -> tuple[Flags, Flags]:
    inner = classes > NEWLINE
    return classes != SPACE, _pairs(inner)


def _words(classes: Classes, codes: Codes) -> tuple[Flags, Flags]:
    letter, digit = classes == LETTER, classes == DIGIT
    word = letter  # a letter, or a combining mark on one
    mark = classes == MARK
    if mark.any():
        base = np.maximum.accumulate(np.where(mark, 0, np.arange(len(mark))))  # the character a mark combines with
        word = letter | (mark & letter[base])
    glued = _pairs(word) | _pairs(digit)
    _join_(glued, classes == APOSTROPHE, word, letter)
    _join_(glued, classes == POINT, digit, digit)
    _glue_literals_(glued, codes)
    return classes != SPACE, glued


def _characters(classes: Classes, codes: Codes) -> tuple[Flags, Flags]:
    glued = np.zeros(len(classes), bool)
    _glue_literals_(glued, codes)
    return np.ones(len(classes), bool), glued


CUTS: dict[str, Callable[[Classes, Codes], tuple[Flags, Flags]]] = {
    "whitespace": _whitespace,
    "words": _words,
    "characters": _characters,
}
"""Functions from (classes, codes), one per character, to two flags per character: whether it belongs to a token, and
whether to the token of the character before it."""


def _pairs(flags: Flags) -> Flags:
    """Positions where this flag and the one before it are set."""
    pairs = np.zeros(len(flags), bool)
    np.logical_and(flags[1:], flags[:-1], out=pairs[1:])
    return pairs


def _join_(glued: Flags, joints: Flags, before: Flags, after: Flags) -> None:
    """Glue a joint, such as the apostrophe of `don't`, to the characters before and after it."""
    at = np.flatnonzero(joints[1:-1]) + 1
    at = at[before[at - 1] & after[at + 1]]
    glued[at] = glued[at + 1] = True


def _glue_literals_(glued: Flags, codes: Codes) -> None:
    """Make each literal `<unk>` and `<end>` one token."""
    opening = np.flatnonzero(codes == ord("<"))
    for literal in (UNKNOWN, END):
        at = opening[opening <= len(codes) - len(literal)]
        for i, character in enumerate(literal):
            at = at[codes[at + i] == ord(character)]
        glued[(at[:, None] + np.arange(1, len(literal))).reshape(-1)] = True


def _codes(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


@cache
def _classes(ascii_only: bool) -> Classes:
    """The class of each character, by code point."""
    text = np.arange(128 if ascii_only else 0x110000, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    classes = np.full(len(text), OTHER, np.uint8)
    patterns = {LETTER: letter_class(), DIGIT: r"\d", APOSTROPHE: "['’]", POINT: "[.,]", SPACE: r"\s", NEWLINE: r"\n"}
    for kind, pattern in patterns.items():
        for found in re.finditer(f"{pattern}+", text):
            classes[found.start() : found.end()] = kind
    for first, last in () if ascii_only else ranges(*MARKS):
        classes[first : last + 1] = MARK
    return classes
