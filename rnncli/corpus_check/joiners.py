"""Invisible characters: where each belongs, and the command that removes it elsewhere.

Joiners belong in words of some scripts, variation selectors and joiners in emoji. Anywhere else an invisible character
turns a word into a different one, or is a word that nobody sees.
"""

from __future__ import annotations

import re
from collections.abc import Collection

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


MISPLACED = re.compile(pattern(INVISIBLE))


def removing(characters: Collection[str], present: Collection[str]) -> str:
    """The filter that removes these characters where they do not belong from a text. present: all of the text's."""
    return f"perl -CSD -pe 's/{for_perl(pattern(characters, present))}//g'"


def for_perl(expression: str) -> str:
    """A regular expression in ASCII."""
    return "".join(c if c.isascii() and c.isprintable() else f"\\x{{{ord(c):x}}}" for c in expression)
