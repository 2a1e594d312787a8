"""Tokens of many lines at once: the tokenizers of `tokenize`, on arrays of characters in place of lines.

The same result as `Tokenizer.tokens` line by line; test_cutting holds them together. No Python code runs for a word,
and NumPy lets go of the interpreter meanwhile, so that several pieces of a text are cut side by side.
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
"""Characters as numbers: uint8 of ASCII text, uint32 of any other."""

# What a character is. Only white space is no token, or part of one.
SPACE, LINE_END, OTHER, LETTER, MARK, APOSTROPHE, DIGIT, POINT = range(8)


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of a piece of text: token i is `data[starts[i]:ends[i]]`, UTF-8.

    through: (lines,), how many tokens there are up to the end of each line, with the one that stands for it.
    characters: (lines,), how many characters of the text there are up to there, each line end counted as one.
    size: how many characters there are in all.
    """

    data: bytes
    starts: Positions
    ends: Positions
    through: Positions
    characters: Positions
    size: int


def cut(text: bytes, tokenizer: Tokenizer, after_line: str | None) -> Tokens:
    r"""Cut valid UTF-8 that ends where a line or a token does. A line ends at `\n`; a `\r` before it is part of that.

    after_line: the token that follows the tokens of each line: `\n`, a space, or None for no token.
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
        leads = np.frombuffer(data, np.int8) >= -64  # no byte that continues a character
        offsets = np.flatnonzero(np.append(leads, True))
    classes = _classes(offsets is None).take(codes)
    line_ends = np.flatnonzero(classes == LINE_END)
    if offsets is None or not tokenizer.lowercase:
        characters, size = line_ends + 1, len(codes)
    else:  # a lower-case letter may be longer than its capital: İ becomes two characters
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
    """Where tokens begin, and where they end; from what is of a token, and what continues the one before it."""
    starts = np.flatnonzero(token & ~glued)
    token[:-1] &= ~glued[1:]
    return starts, np.flatnonzero(token) + 1


def _whitespace(classes: Classes, codes: Codes) -> tuple[Flags, Flags]:
    inner = classes > LINE_END
    return classes != SPACE, _pairs(inner)


def _words(classes: Classes, codes: Codes) -> tuple[Flags, Flags]:
    letter, digit = classes == LETTER, classes == DIGIT
    word = letter  # a letter, or a mark on one
    mark = classes == MARK
    if mark.any():
        behind = np.maximum.accumulate(np.where(mark, 0, np.arange(len(mark))))  # the last character that is no mark
        word = letter | (mark & letter[behind])
    glued = _pairs(word) | _pairs(digit)
    _join(glued, classes == APOSTROPHE, word, letter)
    _join(glued, classes == POINT, digit, digit)
    _glue_literals(glued, codes)
    return classes != SPACE, glued


def _characters(classes: Classes, codes: Codes) -> tuple[Flags, Flags]:
    glued = np.zeros(len(classes), bool)
    _glue_literals(glued, codes)
    return np.ones(len(classes), bool), glued


CUTS: dict[str, Callable[[Classes, Codes], tuple[Flags, Flags]]] = {
    "whitespace": _whitespace,
    "words": _words,
    "characters": _characters,
}
"""For every character of (classes, codes): is it of a token? and does it continue the token of the one before it?"""


def _pairs(flags: Flags) -> Flags:
    """Where a flag stands behind another."""
    pairs = np.zeros(len(flags), bool)
    np.logical_and(flags[1:], flags[:-1], out=pairs[1:])
    return pairs


def _join(glued: Flags, joints: Flags, before: Flags, after: Flags) -> None:
    """Glue what stands on both sides of a joint, such as the apostrophe of `don't`, and the joint itself."""
    at = np.flatnonzero(joints[1:-1]) + 1
    at = at[before[at - 1] & after[at + 1]]
    glued[at] = glued[at + 1] = True


def _glue_literals(glued: Flags, codes: Codes) -> None:
    """A literal `<unk>` or `<end>` is one token."""
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
    """What each character is, by its number."""
    text = np.arange(128 if ascii_only else 0x110000, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    classes = np.full(len(text), OTHER, np.uint8)
    patterns = {LETTER: letter_class(), DIGIT: r"\d", APOSTROPHE: "['’]", POINT: "[.,]", SPACE: r"\s", LINE_END: r"\n"}
    for kind, pattern in patterns.items():
        for found in re.finditer(f"{pattern}+", text):
            classes[found.start() : found.end()] = kind
    for first, last in () if ascii_only else ranges(*MARKS):
        classes[first : last + 1] = MARK
    return classes
