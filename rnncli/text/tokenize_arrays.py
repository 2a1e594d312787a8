"""Tokenize many lines at once: the tokenizers of `tokenize`, vectorised over arrays of characters.

The result equals `Tokenizer.tokens` line by line; test_tokenize_arrays compares them. No Python code runs per word,
and NumPy releases the interpreter lock, so that threads tokenize several blocks in parallel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from rnncli.text.character_classes import (
    APOSTROPHE,
    DOUBLE_QUOTE,
    EMOJI_LETTER,
    EXTEND,
    FLAG,
    HEBREW,
    LETTER,
    MID_BOTH,
    MID_LETTER,
    MID_NUMBER,
    NEWLINE,
    NUMBER,
    SPACE,
    SYMBOL,
    UNSPACED,
    ZWJ,
    class_table,
)
from rnncli.text.tokenize import END, UNKNOWN, Tokenizer

Flags = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.intp]
Classes = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.integer[Any]]
"""Code points: uint8 for ASCII text, uint32 for any other."""


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
    if text.isascii() and not (tokenizer.lowercase and tokenizer.language):
        data = text.lower() if tokenizer.lowercase else text
        codes: Codes = np.frombuffer(data, np.uint8)
        written, offsets = codes, None
    else:
        decoded = text.decode()
        spelled = tokenizer.spelled(decoded)
        data, codes = spelled.encode(), _codes(spelled)
        written = codes if spelled is decoded else _codes(decoded)
        leads = np.frombuffer(data, np.int8) >= -64  # the first byte of each character
        offsets = np.flatnonzero(np.append(leads, True))
    classes = _classes(tokenizer.version, offsets is None).take(codes)
    line_ends = np.flatnonzero(classes == NEWLINE)
    # Characters are counted as written; in lower case or normalized there may be more, or fewer.
    characters = (line_ends if written is codes else np.flatnonzero(written == ord("\n"))) + 1
    cuts = EARLIER.get((tokenizer.name, tokenizer.version), CUTS[tokenizer.name])
    token, glued = cuts(classes, codes)
    if after_line is None:
        token[line_ends] = False
    elif after_line != "\n":
        data = data.replace(b"\n", after_line.encode())
    starts, ends = _edges(token, glued)
    through = np.searchsorted(starts, line_ends, side="right")
    if offsets is not None:
        starts, ends = offsets.take(starts), offsets.take(ends)
    return Tokens(data, starts, ends, through, characters, len(written))


def _edges(token: Flags, glued: Flags) -> tuple[Positions, Positions]:
    """Starts and ends of the tokens. token: characters that belong to a token; glued: to that of the one before."""
    starts = np.flatnonzero(token & ~glued)
    token[:-1] &= ~glued[1:]
    return starts, np.flatnonzero(token) + 1


def _whitespace(classes: Classes, codes: Codes) -> tuple[Flags, Flags]:
    inner = classes > SPACE
    return classes != SPACE, _pairs(inner)


def _words(classes: Classes, codes: Codes) -> tuple[Flags, Flags]:
    if codes.dtype == np.uint8 or not ((classes >= UNSPACED) & (classes <= ZWJ)).any():
        glued, attached = _joined(classes), None
    else:
        zwj = classes == ZWJ
        attached = np.zeros(len(classes), bool)  # to the character before; at the start of a line and after a space not
        np.logical_and((zwj | (classes == EXTEND))[1:], classes[:-1] > SPACE, out=attached[1:])
        bases = np.flatnonzero(~attached)
        glued = attached.copy()
        glued[bases] = _joined(classes[bases]) | _joined_without_spaces(classes[bases])
        after = np.flatnonzero(zwj[:-1]) + 1
        glued[after[(classes[after] == SYMBOL) | (classes[after] == EMOJI_LETTER)]] = True
    _glue_literals_(glued, codes, attached)
    return classes != SPACE, glued


def _joined(classes: Classes) -> Flags:
    """Whether each character is in the word or number of the one before it; `classes` without what is attached."""
    joined = _pairs(classes >= EMOJI_LETTER)
    at = np.flatnonzero((classes >= DOUBLE_QUOTE) & (classes <= MID_LETTER))
    joint, before, after = classes[at], classes.take(at - 1, mode="clip"), classes.take(at + 1, mode="clip")
    in_word = _letters(before) & _letters(after) & ((joint == APOSTROPHE) | (joint >= MID_BOTH))
    in_number = (before == NUMBER) & (after == NUMBER) & (joint >= APOSTROPHE) & (joint <= MID_BOTH)
    in_hebrew = (before == HEBREW) & (after == HEBREW) & (joint == DOUBLE_QUOTE)
    inside = at[in_word | in_number | in_hebrew]
    joined[inside] = joined[inside + 1] = True
    joined[at[(before == HEBREW) & (joint == APOSTROPHE)]] = True
    return joined


def _joined_without_spaces(classes: Classes) -> Flags:
    """The same for scripts without spaces, and for flags, each of two regional indicators."""
    joined = _pairs(classes == UNSPACED)
    flags = np.flatnonzero(classes == FLAG)
    order = np.arange(len(flags))
    first = np.maximum.accumulate(np.where(np.diff(flags, prepend=-2) == 1, 0, order))  # of each run of indicators
    joined[flags[(order - first) % 2 == 1]] = True
    return joined


def _letters(classes: Classes) -> Flags:
    return (classes >= EMOJI_LETTER) & (classes < NUMBER)


def _first_words(classes: Classes, codes: Codes) -> tuple[Flags, Flags]:
    """Version 1 of `_words`."""
    letter, digit = classes == LETTER, classes == NUMBER
    word = letter  # a letter, or a combining mark on one
    mark = classes == EXTEND
    if mark.any():
        base = np.maximum.accumulate(np.where(mark, 0, np.arange(len(mark))))  # the character a mark combines with
        word = letter | (mark & letter[base])
    glued = _pairs(word) | _pairs(digit)
    _join_(glued, classes == APOSTROPHE, word, letter)
    _join_(glued, classes == MID_NUMBER, digit, digit)
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
EARLIER = {("words", 1): _first_words}


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


def _glue_literals_(glued: Flags, codes: Codes, attached: Flags | None = None) -> None:
    """Make each literal `<unk>` and `<end>` one token, unless a character is attached to its end."""
    opening = np.flatnonzero(codes == ord("<"))
    for literal in (UNKNOWN, END):
        at = opening[opening <= len(codes) - len(literal)]
        for i, character in enumerate(literal):
            at = at[codes[at + i] == ord(character)]
        if attached is not None:
            at = at[~attached.take(at + len(literal), mode="clip")]
        glued[(at[:, None] + np.arange(1, len(literal))).reshape(-1)] = True


def _codes(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


@cache
def _classes(version: int, ascii_only: bool) -> Classes:
    """The class of each character, by code point."""
    return np.frombuffer(class_table(version, ascii_only), np.uint8)
