"""Text from files on a terminal: how many columns it takes, and escapes for characters that nobody can see."""

from __future__ import annotations

import unicodedata

ZWNJ, ZWJ, EMOJI_STYLE = "\u200c", "\u200d", "\ufe0f"
SKIN_TONES = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
TAGS = range(0xE0020, 0xE0080)  # letters of the flags of England, Scotland, Wales, after a black flag
PREPENDED = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2"  # Arabic and Syriac signs
UNSEEN = ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")


def shown(text: str, keep: str = "") -> str:
    r"""Return the text with control, invisible and unassigned characters escaped as in Python: `\x1b`, `\u200b`.

    Joiners stay between two characters of a word or an emoji; characters in `keep` stay everywhere.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep or _stays(text, i) else escaped(c) for i, c in enumerate(text))


def escaped(character: str) -> str:
    r"""Return the Python escape of a character: `\n`, `\x1b`, `\u200b`."""
    return character.encode("unicode_escape", "surrogatepass").decode()


def _stays(text: str, i: int) -> bool:
    """Whether the character at `i`, not printable for Python, can be seen, or changes how its neighbours look."""
    c = text[i]
    if c in (ZWNJ, ZWJ):
        before, after = text[i - 1 : i], text[i + 1 : i + 2]
        return all(each and unicodedata.category(each)[0] in "LMS" for each in (before, after))
    if ord(c) in TAGS:
        start = i - 1
        while start >= 0 and ord(text[start]) in TAGS:
            start -= 1
        return start >= 0 and text[start] == "\U0001f3f4"
    return c in PREPENDED or unicodedata.category(c) not in UNSEEN


def width(text: str) -> int:
    """Return the columns that printable text takes on a terminal.

    Marks and joiners take none, Chinese characters and emoji two, an emoji sequence as many as its first character.
    """
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
    return columns


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
    if width(text) <= columns:
        return text
    end = len(text)
    while end and (width(text[:end]) >= columns or not _columns(text[end]) or text[end - 1] == ZWJ):
        end -= 1
    return text[:end] + "…"
