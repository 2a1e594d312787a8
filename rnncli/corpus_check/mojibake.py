"""Mojibake: text that was read in a wrong encoding, and made UTF-8 with the wrong letters. How to undo it.

Each conversion that may have gone wrong is undone on lines of the text. The result must fit a language, and fit it much
better than the text as it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rnncli.text.encodings import ENCODINGS, filtering, is_sound
from rnncli.text.languages import GOOD, fit

# UTF-8 that was decoded as Windows-1252 and encoded again: é becomes Ã©, ’ becomes â€™, a no-break space gets an Â.
# After a capital, Ã and Â may be the end of a word in capitals, with a quotation mark or an ellipsis behind it.
SIGNS = re.compile(
    "\u00c3[\u0080-\u009f\u00a1-\u00aa\u00ac-\u00ba\u00bc-\u00bf\u0192\u02c6\u2020\u2021\u2022\u2030\u20ac\u2122"
    "\u0160\u0161\u0178\u017d\u017e\u0152\u0153]|\u00c3(?<![A-Z\u00c0-\u00de].)[\u00a0\u00ab\u00bb\u2026]"
    "|\u00c2(?<![A-Z\u00c0-\u00de].)[\u00a0-\u00bf]|\u00e2\u20ac.|\u00e2\u0080[\u0080-\u00bf]|\u00ef\u00bf\u00bd|\u00ef\u00bb\u00bf"
)
SIGNALS = frozenset("\u00c2\u00c3\u00e2\u00ef")  # any sign has one of these

UTF8, WESTERN, LATIN1 = "UTF-8", "WINDOWS-1252", "ISO-8859-1"
TWO_BYTES = ("GB18030", "CP932", "CP949", "BIG5", "EUC-JP")  # of two bytes a character
READ_AS = (
    *(WESTERN, "WINDOWS-1251", "KOI8-R", "GB18030", "CP932", "CP949", "BIG5", "WINDOWS-1250", "WINDOWS-1254"),
    *("WINDOWS-1253", "WINDOWS-1257", "MACINTOSH", "CP850", "CP437", "CP866", "ISO-8859-2"),
)
# The fit of the text as it is and mended: clearly wrong before and right after, or doubtful before and very good after.
DOUBTFUL, VERY_GOOD, MUCH, SOME = 0.8, 0.85, 0.5, 0.2
# Only UTF-8 shows by its bytes that it is the right encoding. Any other needs words that differ, or characters.
WORDS, CHARACTERS, SEQUENCES, VALID = 4, 4, 2, 2.0
WORD = re.compile(r"[^\W\d_]{3,}")
TABLE, TABLE_SIGNS = 0.6, 14  # share of the lines of tables and trees, and how many signs these have at most
SAMPLE = 1000  # characters
TIMES = 3  # that the same text may have been converted wrongly
# Windows-1252, with the controls that Latin-1 has where it has no character: what browsers read.
_WESTERN_BYTES = {ord(bytes([n]).decode("cp1252")): n for n in range(0x80, 0xA0) if n not in b"\x81\x8d\x8f\x90\x9d"}
# Undoes the usual kind where it stands, and leaves alone what is right or cannot be undone.
RUNS_MENDED = (
    r"perl -CSD -MEncode -pe 's/([\x{c2}-\x{c5}\x{cb}\x{e2}\x{ef}\x{f0}]"
    r"[\x{80}-\x{ff}\x{152}-\x{192}\x{2c6}\x{2dc}\x{2013}-\x{203a}\x{20ac}\x{2122}]+)/"
    r"""my $s = $1; eval { decode("UTF-8", join("", map { ord() < 256 ? $_ : encode("cp1252", $_, 9) } """
    r"""split(m{}, $s)), 9) } || $s/ge'"""
)


@dataclass(frozen=True)
class Mending:
    """How to undo mojibake. steps: the encoding in which the text was read and the right one, from the last step on.

    text: some lines, mended.
    """

    steps: tuple[tuple[str, str], ...]
    text: str

    def __str__(self) -> str:
        return " and ".join(
            f"{right} that was read as {LATIN1 if wrong == right else wrong}" for wrong, right in self.steps
        )


def mended(lines: Sequence[str]) -> Mending | None:
    """How to undo the mojibake of a text; None if it has none, or only in a few of these lines, which are not ASCII."""
    some = lines[:: 1 + sum(map(len, lines)) // SAMPLE]
    text, steps = "\n".join(some)[:SAMPLE], list[tuple[str, str]]()
    first = now = fit(text)
    while text and (now < DOUBTFUL or _has_controls(text)) and len(steps) < TIMES:
        if (found := _best(text, now, (UTF8,) if steps else (UTF8, *ENCODINGS))) is None:
            break
        step, text = found
        steps.append(step)
        now = fit(text)
    if steps and steps[-1][1] == UTF8:
        now += VALID
    much = SOME if steps and set(steps[0]) <= set(TWO_BYTES) else MUCH
    right = now >= max(GOOD, first + much) or now >= max(VERY_GOOD, first + SOME)
    return Mending(tuple(steps), text) if steps and right else None


def _best(text: str, now: float, rights: Collection[str]) -> tuple[tuple[str, str], str] | None:
    """The step that makes a text fit best, and the text; None if none makes it better."""
    best, most = None, now
    for wrong in READ_AS:
        if (data := encoded(text, wrong)) is None:
            continue
        for right in rights:
            if wrong in TWO_BYTES and right not in (UTF8, *TWO_BYTES):
                continue
            try:
                other = data.decode(ENCODINGS.get(right, "utf-8"))
            except UnicodeDecodeError:
                continue
            if other != text and _is_evident(other, wrong, right, text):
                value = fit(other) + (VALID if right == UTF8 else 0.0)
                if value > most:
                    best, most = ((wrong, right), other), value
    return best


def _is_evident(other: str, wrong: str, right: str, text: str) -> bool:
    """Whether there is enough of a text to tell that `right` is its encoding."""
    before, after = ([c for c in each if c > "\x7f"] for each in (text, other))
    if right == UTF8:
        return len(set(after)) >= SEQUENCES and is_sound(other)
    lines = ["\u2500" <= c <= "\u257f" for c in before]
    if not is_sound(other) or (sum(lines) > TABLE * len(before) and len(set(before)) < TABLE_SIGNS):
        return False
    if wrong == right:
        return _has_controls(text)
    if right in TWO_BYTES:  # there are no words in two bytes a character
        return len(set(after)) >= CHARACTERS
    return len({word for word in WORD.findall(other) if not word.isascii()} - set(WORD.findall(text))) >= WORDS


def is_control(character: str) -> bool:
    """Whether this is a control character of Latin-1, as text of Windows-1252 read as Latin-1 has them."""
    return "\x80" <= character <= "\x9f"


def _has_controls(text: str) -> bool:
    return any(map(is_control, text))


def encoded(text: str, wrong: str) -> bytes | None:
    """The bytes that were read as `wrong`; None if the text cannot come from them."""
    try:
        if wrong == WESTERN:
            return text.translate(_WESTERN_BYTES).encode("latin-1")
        return text.encode(ENCODINGS[wrong])
    except UnicodeEncodeError:
        return None


def undoing(name: str, mending: Mending, characters: Collection[str], whole: bool) -> str:
    """How to undo the mojibake of a text, which has these characters. whole: whether all of it is mojibake."""
    pipe = []
    for i, (wrong, right) in enumerate(mending.steps):
        possible = i > 0 or all(_has(wrong, c) for c in characters)
        latin1 = wrong == WESTERN and all(c < "\u0100" for c in characters)
        if not possible and not latin1 and (wrong, right) == (WESTERN, UTF8):
            return f"undo it where it stands: {filtering(name, RUNS_MENDED)}"
        whole = whole and (possible or latin1)
        pipe.append(f"iconv -f UTF-8 -t {LATIN1 if latin1 else wrong}")
        if right != UTF8:
            pipe.append(f"iconv -f {right} -t UTF-8")
    return f"undo it{'' if whole else ' in the part that has it, alone'}: {filtering(name, *pipe)}"


def _has(encoding: str, character: str) -> bool:
    try:
        character.encode(ENCODINGS[encoding])
    except UnicodeEncodeError:
        return False
    return True
