"""Text from files on a terminal: how many columns it takes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from rnncli.text.invisible import PREPENDED, ZWJ

EMOJI_STYLE = "\ufe0f"
SKIN_TONES = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"


def width(text: str) -> int:
    """Return the columns that printable text takes on a terminal.

    Marks and joiners take none, Chinese characters and emoji two, an emoji sequence as many as its first character.
    """
    return [0, *_totals(text)][-1]


def _totals(text: str) -> Iterator[int]:
    """The width of the text up to and with each character."""
    columns, last, joined = 0, 0, False  # last: columns of the last character that is not a mark
    for c in text:
        own = _columns(c)
        if c == EMOJI_STYLE and last == 1:
            columns, last = columns + 1, 2
        elif last == 2 and (joined or c in SKIN_TONES):  # a part of an emoji sequence
            own = 0
        if own:
            columns, last = columns + own, own
        joined = c == ZWJ
        yield columns


def _columns(c: str) -> int:
    if unicodedata.category(c) in ("Mn", "Me", "Cf") and c not in PREPENDED:
        return 0
    if "\u1160" <= c <= "\u11ff" or "\ud7b0" <= c <= "\ud7ff":  # Hangul vowels and finals, drawn in the first letter
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


def padded(text: str, columns: int, right: bool = False) -> str:
    """Return the text with spaces to that width; on its left if it is aligned to the right."""
    spaces = " " * (columns - width(text))
    return spaces + text if right else text + spaces


def cut(text: str, columns: int) -> str:
    """Return the text, cut at its end with `…` if it takes more than that many columns."""
    end = before = 0
    for i, after in enumerate(_totals(text)):
        whole = after > before and text[i] != EMOJI_STYLE and text[i - 1 : i] != ZWJ  # nothing here is left behind
        if whole and before < columns:
            end = i
        if after > columns:
            return text[:end] + "…"
        before = after
    return text
