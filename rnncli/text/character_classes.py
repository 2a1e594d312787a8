"""Classes of characters, from which the tokenizer `words` sees where a token ends.

Version 2 has the classes of Unicode's word boundaries (UAX 29), derived from general categories and from the lists
below. Version 1 knows letters, marks and digits alone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import groupby

# A class is the code of an ASCII character. `tokenize_arrays` compares them, so their order matters.
NEWLINE, SPACE, OTHER = b"\n @"
SYMBOL = b"E"[0]  # emoji among them
UNSPACED, FLAG = b"KR"  # letters of scripts without spaces between words; regional indicators, of which two are a flag
EXTEND, ZWJ = b"XZ"  # marks, joiners and format characters belong to the character before; ZWJ: zero width joiner
EMOJI_LETTER, HEBREW, LETTER, NUMBER = b"ehln"  # the last of all: these make words
# Signs inside words and numbers: U+0022 (in Hebrew), the apostrophe, those of numbers, of both, of words.
DOUBLE_QUOTE, APOSTROPHE, MID_NUMBER, MID_BOTH, MID_LETTER = b"\"',.:"

CATEGORIES = {
    1: {SPACE: "Zs Zl Zp", EXTEND: "Mn Mc Me", LETTER: "Lu Ll Lt Lm Lo", NUMBER: "Nd"},
    2: {SPACE: "Zs Zl Zp", EXTEND: "Mn Mc Me Cf", LETTER: "Lu Ll Lt Lm Lo Nl", NUMBER: "Nd", SYMBOL: "So"},
}
"""For each version, the general categories of a class. Characters of other categories are `OTHER`."""
WHITE = "\t \x0b-\r \x1c-\x1f \x85"
LISTED = {
    1: [(SPACE, WHITE), (NEWLINE, "\n"), (APOSTROPHE, "' \u2019"), (MID_NUMBER, ". ,")],
    2: [
        (SPACE, WHITE),
        (NEWLINE, "\n"),
        (DOUBLE_QUOTE, '"'),
        (APOSTROPHE, "'"),
        (MID_NUMBER, ", ; \u037e \u0589 \u060c-\u060d \u066c \u07f8 \u2044 \ufe50 \ufe54 \uff0c \uff1b"),
        (MID_BOTH, ". \u2018-\u2019 \u2024 \ufe52 \uff07 \uff0e"),
        (MID_LETTER, ": \u00b7 \u0387 \u055f \u05f4 \u2027 \ufe13 \ufe55 \uff1a"),
        (OTHER, "\u200b"),  # zero width space
        (ZWJ, "\u200d"),
        (EXTEND, "\uff9e-\uff9f \U0001f3fb-\U0001f3ff"),  # voicing marks of half-width Katakana; skin tones
        (FLAG, "\U0001f1e6-\U0001f1ff"),
        # Signs that stand before a number, and digits that are not decimal.
        (NUMBER, "\u0600-\u0605 \u066b \u06dd \u0890-\u0891 \u08e2 \u19da \U000110bd \U000110cd"),
        (HEBREW, "\u05d0-\u05ea \u05ef-\u05f2 \ufb1d \ufb1f-\ufb28 \ufb2a-\ufb36 \ufb38-\ufb3c \ufb3e"),
        (HEBREW, "\ufb40-\ufb41 \ufb43-\ufb44 \ufb46-\ufb4f"),
        # Modifiers, punctuation inside Armenian, Hebrew and Syriac words, letters and Katakana in circles and squares.
        (LETTER, "\u00b8 \u02c2-\u02c5 \u02d2-\u02d7 \u02de-\u02df \u02e5-\u02eb \u02ed \u02ef-\u02ff \u055a-\u055c"),
        (LETTER, "\u055e \u058a \u05f3 \u070f \u24b6-\u24e9 \u309b-\u309c \u30a0 \u32d0-\u32fe \u3300-\u3357"),
        (LETTER, "\ua708-\ua716 \ua720-\ua721 \ua789-\ua78a \uab5b"),
        (LETTER, "\U0001f130-\U0001f149 \U0001f150-\U0001f169 \U0001f170-\U0001f189"),
        (EMOJI_LETTER, "\u2139 \u24c2 \U0001f170-\U0001f171 \U0001f17e-\U0001f17f"),
        (SYMBOL, "\u203c \u2049 \u2194 \u25fb-\u25fe \u2934-\u2935 \u3030 \u303d"),  # emoji of other categories
    ],
}
"""For each version, the characters, and ranges of them, that are in another class than their category."""
UNASSIGNED = {1: "", 2: "\U0001f000-\U0001faff \U0001fc00-\U0001fffd"}  # symbols of a Unicode newer than this Python's
# Where the letters are of Thai, Lao, Burmese, Khmer, Tai, Han, Hiragana, Katakana, Ahom, Tangut, Khitan or Nushu.
WITHOUT_SPACES = (
    "\u0e01-\u0edf \u1000-\u109f \u1780-\u17dc \u1950-\u19cf \u1a20-\u1aaf \u3005-\u303b \u3041-\u30ff \u31f0-\u9fff "
    "\ua9e0-\ua9ff \uaa60-\uaadf \uf900-\ufaff \uff66-\uff9d \U00011700-\U0001174f \U00017000-\U0001b2ff "
    "\U00020000-\U0003ffff"
)
PLANES = (range(0x40000), range(0xE0000, 0xE1000))  # the others are empty or private


@cache
def class_table(version: int, ascii_only: bool = False) -> bytes:
    """The class of each character, by code point."""
    size = 256 if ascii_only else 0x110000  # `bytes.translate` takes 256
    table = bytearray([OTHER] * size)

    def paint(first: int, end: int, kind: int) -> None:
        table[first:end] = bytes([kind]) * (min(end, size) - first)

    for first, end in _ranges(UNASSIGNED[version]):
        paint(first, end, SYMBOL)
    class_of = {name: kind for kind, names in CATEGORIES[version].items() for name in names.split()}
    for first, end, category in _categories([range(256)]) if ascii_only else _all_categories():
        if category != "Cn":
            paint(first, end, class_of.get(category, OTHER))
    for kind, listed in LISTED[version]:
        for first, end in _ranges(listed):
            paint(first, end, kind)
    for first, end in _ranges(WITHOUT_SPACES) if version > 1 else ():
        table[first:end] = table[first:end].replace(bytes([LETTER]), bytes([UNSPACED]))
    return bytes(table)


def _ranges(listed: str) -> list[tuple[int, int]]:
    return [(ord(each[0]), ord(each[-1]) + 1) for each in listed.split(" ") if each]


@cache
def _all_categories() -> list[tuple[int, int, str]]:
    return _categories(PLANES)


def _categories(planes: Iterable[range]) -> list[tuple[int, int, str]]:
    """The runs of characters of the same general category: the first, the one after the last, the category."""
    runs = []
    for plane in planes:
        first = plane.start
        for category, run in groupby(map(unicodedata.category, map(chr, plane))):
            end = first + sum(1 for _ in run)
            runs.append((first, end, category))
            first = end
    return runs
