"""Lower case by the rules of a language, and the normal form of letters that can be written in two ways."""

from __future__ import annotations

import re
import unicodedata

LANGUAGES = ("tr", "az", "lt")
NORMAL_FORMS = ("nfc",)

DOT_ABOVE = "\u0307"
ABOVE = 230  # the combining class of marks above a letter; 0 is that of characters that combine with none
MARKS = r"[^\w\s]"  # marks are among these; the combining class tells
DOTTED = re.compile(rf"I({MARKS}*?){DOT_ABOVE}")
ACCENTED = re.compile(rf"([IJ\u012e])({MARKS}+)")
SPLIT = str.maketrans({"\u00cc": "I\u0300", "\u00cd": "I\u0301", "\u0128": "I\u0303"})


def lower(text: str, language: str | None = None) -> str:
    """The text in lower case, as by `str.lower`, with the dots of i and j as Unicode's SpecialCasing.txt has them.

    language: one of `LANGUAGES`, or None. In Turkish and Azerbaijani (tr, az), I becomes ı, and İ becomes i. In
    Lithuanian (lt), i and j keep their dot below other accents. Without a language İ becomes i, too, and not i with a
    dot above as a second character, which is what `str.lower` makes of it.
    """
    if language == "lt":
        return ACCENTED.sub(_with_dot, text.translate(SPLIT)).lower()
    if DOT_ABOVE in text:
        text = DOTTED.sub(_composed, text)
    if language is not None:
        text = text.replace("I", "ı")
    return text.replace("İ", "i").lower()


def normal(text: str, form: str | None) -> str:
    """The text in a normal form of Unicode, one of `NORMAL_FORMS`; None leaves it as it is."""
    return text if form is None else unicodedata.normalize(form.upper(), text)  # type: ignore[arg-type]  # a key of NORMAL_FORMS


def _composed(found: re.Match[str]) -> str:
    """İ and the marks that stand before its dot, which belongs to the I if none of them is above it."""
    classes = set(map(unicodedata.combining, found[1]))
    return found[0] if classes & {0, ABOVE} else f"İ{found[1]}"


def _with_dot(found: re.Match[str]) -> str:
    """The letter, with a dot if a mark above it follows, and the marks."""
    classes = [unicodedata.combining(mark) for mark in found[2]]
    first = next((each for each in classes if each in (0, ABOVE)), 0)
    return f"{found[1]}{DOT_ABOVE if first == ABOVE else ''}{found[2]}"
