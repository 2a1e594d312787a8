"""Find the encoding of a text that is not UTF-8, and the command that makes it UTF-8.

Each encoding is tried on bytes of the text. Those in which they make no sense are left out, and the others are compared
by how well the result fits a language. Where two fit about equally well, both are named, with what each would read.
"""

from __future__ import annotations

import codecs
import shlex
from dataclasses import dataclass
from pathlib import Path

from rnncli.text.languages import POOR, fit

# Each encoding by its name for iconv, and Python's. Of two that read some bytes alike, the first is named.
ENCODINGS = {
    **{f"WINDOWS-{n}": f"cp{n}" for n in (1252, 1250, 1251, 1254, 1253, 1257, 1255, 1256, 1258)},
    **{name: name.lower() for name in ("GB18030", "CP932", "EUC-JP", "CP949")},
    "BIG5": "cp950",
    **{name: name.lower() for name in ("KOI8-R", "KOI8-U", "CP866", "CP874")},
    "MACINTOSH": "mac_roman",
    **{name: name.lower() for name in ("ISO-8859-2", "ISO-8859-5", "ISO-8859-7", "ISO-8859-15")},
    **{name: name.lower() for name in ("CP850", "CP852", "CP437")},
}
UTF16 = {"UTF-16LE": "utf_16_le", "UTF-16BE": "utf_16_be"}

SAMPLE = 1 << 16  # bytes of a text that are looked at
LINE = 1000  # bytes of a line
LINES = 50
RARER = 0.02  # taken from the fit for each earlier encoding: the more usual ones come first
CLOSE = 0.15  # readings whose fits differ by less are both named
SHOWN = 30  # characters of a reading
SHOWN_READINGS = 3
PROGRAMS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz"}
NO_FILES = ("-", "<stdin>", "<stream>")  # names of standard input
NEW, CLEAN = "utf8.txt", "clean.txt"  # files that commands write


@dataclass(frozen=True)
class Reading:
    """A text as an encoding reads it. name: of the encoding, for iconv. fit: as in `languages.fit`."""

    name: str
    text: str
    fit: float


def readings(lines: list[bytes]) -> list[Reading]:
    """The different readings of some lines, in the encodings in which they make sense, the most likely first."""
    found: dict[str, Reading] = {}
    for name, codec in ENCODINGS.items():
        try:
            text = "\n".join(_decoded(line, codec) for line in lines)
        except UnicodeDecodeError:
            continue
        if text not in found and is_sound(text):
            found[text] = Reading(name, text, fit(text) - RARER * len(found))
    return sorted(found.values(), key=lambda each: -each.fit)


def is_sound(text: str) -> bool:
    """Whether a text has no control character and none without a meaning, as a text in the wrong encoding may have."""
    return all(c.isprintable() or c.isspace() or c in "\u00ad\u200b\u200c\u200d\u200e\u200f" for c in text) and not any(
        "\x80" <= c <= "\x9f" for c in text
    )


def utf16(data: bytes) -> str | None:
    """UTF-16LE or UTF-16BE if the beginning of a text, of which no byte-order mark says so, is that; else None."""
    data = data[: min(SAMPLE, len(data)) // 2 * 2]
    for name, codec in UTF16.items():
        high = data[1::2] if name == "UTF-16LE" else data[::2]
        low = data[::2] if name == "UTF-16LE" else data[1::2]
        ascii_only = high.count(0) >= 0.4 * len(high) and low.count(0) <= 0.01 * len(low)
        try:
            text = _decoded(data, codec)
        except UnicodeDecodeError:
            continue
        if len(text) > 1 and is_sound(text) and (ascii_only or fit(text) >= POOR):
            return name
    return None


def sample(data: bytes, start: int) -> list[bytes]:
    """Lines that are not ASCII around the byte at `start`, that with it among them; long ones are cut."""
    begin = data.rfind(b"\n", 0, start) + 1
    before = data[max(0, begin - SAMPLE) : begin].split(b"\n")[1 if begin > SAMPLE else 0 :]
    after = data[max(begin, start - LINE // 2) : begin + SAMPLE].split(b"\n")
    if len(after) > 1 and len(data) > begin + SAMPLE:
        del after[-1]
    halves = ([line[:LINE] for line in lines if not line.isascii()] for lines in (before[::-1], after))
    return [line for half in halves for line in half[:LINES]]


def advice(name: str, data: bytes, start: int, first: bool) -> str:
    """How to make a text UTF-8, tried on a block of it, in which the byte at `start` is not UTF-8.

    first: whether the block is the first of the text.
    """
    if first and (encoding := utf16(data)) is not None:
        return f"it looks like {encoding}: {conversion(name, encoding)}"
    lines = sample(data, start)
    bad = [line for line in lines if not _is_utf8(line)]
    valid = b"\n".join(bad).decode("utf-8", "ignore")
    stray = sum("\udc80" <= c <= "\udcff" for line in bad for c in line.decode("utf-8", "surrogateescape"))
    if sum(c > "\x7f" for c in valid) > 2 * stray and fit(valid) >= POOR:
        return (
            f"the letters around it are UTF-8; leave out what is not: {filtering(name, 'iconv -c -f UTF-8 -t UTF-8')}"
        )
    likely = readings(bad)
    close = [each for each in likely if each.fit > likely[0].fit - CLOSE]
    if not likely or likely[0].fit < POOR:
        return _undecided(name, likely)
    if len(close) > 1:
        return (
            f"it may be {_compared(close[:SHOWN_READINGS])}; if the first is right: {conversion(name, close[0].name)}"
        )
    if fit(b"\n".join(line for line in lines if line not in bad).decode()) >= POOR:
        what = f"other lines are UTF-8, but this one looks like {likely[0].name}"
        return f"{what}; this converts such lines alone: {filtering(name, _line_by_line(likely[0].name))}"
    return f"it looks like {likely[0].name}: {conversion(name, likely[0].name)}"


def conversion(name: str, encoding: str) -> str:
    """The command that makes a file in an encoding UTF-8."""
    return filtering(name, f"iconv -f {encoding} -t UTF-8")


def filtering(name: str, *commands: str, new: str = NEW, before_file: str = "") -> str:
    """The command line that filters a text, decompressed, through a pipe of commands into a new file.

    before_file: `<` if the first reads only standard input.
    """
    first, *more = commands
    suffix = Path(name).suffix.lower()
    if suffix in PROGRAMS:
        first = f"{PROGRAMS[suffix]} -dc {shlex.quote(name)} | {first}"
    elif name not in NO_FILES:
        first = " ".join([first, *before_file.split(), shlex.quote(name)])
    return " | ".join([first, *more]) + f" > {new}"


def _undecided(name: str, likely: list[Reading]) -> str:
    if not likely:
        return "it is in no encoding known here; get the text again as UTF-8"
    which = f"the likeliest reads as no language known here: {_compared(likely[:SHOWN_READINGS])}"
    return f"{which}; if you know the encoding: {conversion(name, 'ENCODING')}"


def _compared(likely: list[Reading]) -> str:
    """Readings with the words in which they first differ: `WINDOWS-1252 ('très') or WINDOWS-1250 ('trčs')`."""
    first, *others = likely
    pairs = zip(first.text, others[0].text if others else "", strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), 0)
    return " or ".join(f"{each.name} ({_excerpt(each.text, at)!r})" for each in likely)


def _excerpt(text: str, at: int) -> str:
    """The words about the character with this index."""
    begin = max(text.rfind(" ", 0, at), text.rfind("\n", 0, at), at - SHOWN) + 1
    return " ".join(text[begin : begin + SHOWN].partition("\n")[0].split())


def _line_by_line(encoding: str) -> str:
    """A filter that makes the lines UTF-8 that are not."""
    known = {"GB18030": "cp936", "MACINTOSH": "MacRoman"}.get(encoding, encoding)  # the names of Perl
    return (
        f"""perl -MEncode -pe 'my $l = $_; $_ = encode("UTF-8", decode("{known}", $l)) """
        """unless eval { decode("UTF-8", $l, 9) }'"""
    )


def _decoded(data: bytes, codec: str) -> str:
    """Decode a line, which may end within a character if it was cut."""
    return codecs.getincrementaldecoder(codec)().decode(data, final=len(data) < LINE)


def _is_utf8(line: bytes) -> bool:
    try:
        _decoded(line, "utf-8")
    except UnicodeDecodeError:
        return False
    return True
