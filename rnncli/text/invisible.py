"""Characters that nobody can see: where each belongs, and escapes for the others.

Joiners belong in words of some scripts, variation selectors and joiners in emoji. Anywhere else an invisible character
turns a word into a different one, or is a word that nobody sees.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from functools import cache

ZWSP, ZWNJ, ZWJ = "\u200b", "\u200c", "\u200d"

# Letters and marks of scripts that use the joiners: Arabic to Myanmar, Khmer to Mongolian, and others.
JOINED = (
    "\u0610-\u061a\u0620-\u0669\u066e-\u06d3\u06d5-\u0963\u0966-\u096f\u0971-\u109f\u1780-\u18af\u1b00-\u1cff"
    "\ua800-\uabff\ufb50-\ufdff\ufe70-\ufefc\U00011000-\U0001193f"
)
VIRAMAS = "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d\u0dca\u1039\u103a\u17d2"  # they join consonants
EMOJI = "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
IDEOGRAPHS = "\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
VARIED = f"{EMOJI}{IDEOGRAPHS}\u1000-\u109f\u1820-\u18aa\u2200-\u22ff"  # emoji and letters that have variants
SPACELESS = "\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf"

# Characters, and for each place where they belong which characters are before and after them; empty for any.
RULES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (ZWNJ, ((JOINED, rf"\w{JOINED}"), (r"\w", JOINED), (VIRAMAS, ""))),
    (ZWJ, ((JOINED, ""), (f"{EMOJI}\ufe0f", EMOJI))),
    ("".join(map(chr, range(0xFE00, 0xFE10))), ((VARIED, ""), ("0-9#*", "\u20e3"))),
    (ZWSP, ((SPACELESS, SPACELESS),)),  # a space between words
    ("\u034f", (("\u0590-\u05ff", "\u0590-\u05ff"),)),
    ("\u180e", (("\u1820-\u18aa", ""),)),
    ("\u00ad\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e", ()),
    ("\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069", ()),
)
INVISIBLE = frozenset("".join(characters for characters, _ in RULES))

PREPENDED = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2"  # Arabic and Syriac signs
FLAG, TAGS = "\U0001f3f4", "".join(map(chr, range(0xE0020, 0xE0080)))  # the flag of England is this with tags
HIDDEN = ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")  # categories


def shown(text: str, keep: str = "") -> str:
    r"""The text with control, invisible and unassigned characters escaped as in Python: `\x1b`, `\u200b`.

    Invisible ones stay where they belong; control characters in `keep` stay everywhere.
    """
    if not INVISIBLE.isdisjoint(text):
        text = misplaced().sub(lambda found: escaped(found.group()), text)
    if text.isprintable():
        return text
    return "".join(c if c in keep or _stays(text, i) else escaped(c) for i, c in enumerate(text))


def _stays(text: str, i: int) -> bool:
    """Whether the character at `i` can be seen, or belongs there."""
    c = text[i]
    if c in TAGS:
        return text[:i].rstrip(TAGS).endswith(FLAG)
    return c.isprintable() or c in INVISIBLE or c in PREPENDED or unicodedata.category(c) not in HIDDEN


def escaped(text: str) -> str:
    r"""The text in ASCII, as Python escapes it: `\n`, `\x1b`, `\u200b`."""
    return text.encode("unicode_escape", "surrogatepass").decode()


@cache
def misplaced() -> re.Pattern[str]:
    """The regular expression for invisible characters where they do not belong."""
    return re.compile(pattern(INVISIBLE))


def pattern(characters: Collection[str], present: Collection[str] | None = None) -> str:
    """The regular expression, of Python and of Perl, for these characters where they do not belong.

    present: the characters of the text, if it is for that alone, and so shorter.
    """
    belonging = []
    for each, places in RULES:
        for sides in () if set(each).isdisjoint(characters) else places:
            before, after = sides if present is None else (_present(side, present) for side in sides)
            if before and (after or not sides[1]):
                belonging.append(f"(?<=[{before}][{each}])" + (f"(?=[{after}])" if after else ""))
    one = f"[{''.join(sorted(characters))}]"  # first, so that the search finds it fast
    return f"{one}(?!{'|'.join(belonging)})" if belonging else one


def _present(characters: str, present: Collection[str]) -> str:
    """The parts of a class of characters, `a-z0-9_`, of which the text has any; `\\w` stays."""
    parts = re.findall(r"\\w|.-.|.", characters)
    return "".join(part for part in parts if part == r"\w" or any(part[0] <= c <= part[-1] for c in present))
