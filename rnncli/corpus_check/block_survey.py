"""What one block of a text shows, without regard to any other: several blocks are looked at side by side."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from rnncli.text.encode import Reading
from rnncli.text.lines import Block
from rnncli.text.tokenize import END
from rnncli.text.tokenize_arrays import Codes, Flags, Positions, Tokens, cut
from rnncli.text.word_index import Numbering, Numbers

SAMPLES = 3  # lines for the tokenizer's view
SAMPLE = 300  # characters of a line that are kept to be shown
UNICODE = 0x110000  # characters

# Characters that show nothing, yet make another word of the word that they stand in.
INVISIBLE = frozenset(
    "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064"
    "\u2066\u2067\u2068\u2069" + "".join(map(chr, range(0xFE00, 0xFE10)))
)
# Scripts in which the joiners are spelling: Arabic to Myanmar, Khmer and Mongolian.
JOINED = "\u0600-\u109f\u1780-\u18af"
_INVISIBLE = f"[{''.join(sorted(INVISIBLE))}]"
GLUED = re.compile(rf"(?![\u200c\u200d](?<=[{JOINED}].))(?:{_INVISIBLE}(?=\w)|(?<=\w){_INVISIBLE})")
# UTF-8 that was read as Windows-1252 and written again: of é, Ã©; of ’, â€™; of a no-break space, Â and itself.
MOJIBAKE = re.compile(
    "\u00c3[\u0080-\u00bf\u0192\u02c6\u2020\u2021\u2022\u2026\u2030\u20ac\u2122\u0160\u0161\u0178\u017d\u017e\u0152\u0153]"
    "|\u00c2[\u00a0-\u00bf]|\u00e2\u20ac.|\u00e2\u0080[\u0080-\u00bf]|\u00ef\u00bf\u00bd|\u00ef\u00bb\u00bf"
)
# What a pattern looks for is there only where one of these characters is.
PATTERNS = {"glued": (GLUED, INVISIBLE), "mojibake": (MOJIBAKE, frozenset("\u00c2\u00c3\u00e2\u00ef"))}
NOT_UTF8 = re.compile("[\udc80-\udcff]")
LITERAL_END = re.compile(re.escape(END.encode()))

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sign:
    """How often something stands in a block, the line of the first, and what there is to say of that place."""

    kind: str
    count: int
    line: int
    detail: str = ""


@dataclass(frozen=True, eq=False)
class Characters:
    """The distinct characters of a block, and how often each stands there; of those not met before, the first line."""

    codes: Positions
    counts: Integers
    new: dict[int, int]


@dataclass(frozen=True, eq=False)
class Look:
    """What a block shows; a piece of a line is one line.

    numbers: of each token; -1 where it holds a NUL, and is in `odd`. counts, widths, hashes: of each line its tokens,
    its characters and a hash without the white space around it, 0 where there is nothing else.
    lower, upper: lines that begin with a letter of that case. samples: the first lines that are not blank.
    """

    block: Block
    numbers: Numbers
    odd: list[str]
    counts: Integers
    widths: Integers
    hashes: Integers
    characters: Characters
    lower: int
    upper: int
    samples: list[tuple[int, str]]
    signs: list[Sign] = field(default_factory=list)


def look(block: Block, reading: Reading, numbering: Numbering, met: Flags) -> Look:
    """Look at a block, whatever its bytes are. met: by number, the characters whose first line is known already."""
    signs = _line_ends(block)
    escaped = _decoded(block, signs)
    codes: Codes = np.frombuffer(block.content, np.uint8)
    if not escaped.isascii():
        codes = np.frombuffer(escaped.encode("utf-32-le", "surrogatepass"), "<u4")
    breaks = np.flatnonzero(codes == ord("\n"))
    characters = _characters(codes, breaks, block, met)
    for kind, (pattern, signal) in PATTERNS.items():
        if not signal.isdisjoint(map(chr, characters.codes.tolist())):
            signs += _matches(kind, pattern, block, escaped)
    text = NOT_UTF8.sub("\ufffd", escaped) if any(sign.kind == "not_utf8" for sign in signs) else escaped
    lines = text.split("\n")
    if text.endswith("\n") or (block.begins and not text):
        del lines[-1]
    tokens = _tokens(block, block.content if text is escaped else text.encode(), reading)
    numbers, odd = _numbers(tokens, numbering)
    if block.ends:
        counts, widths = np.diff(tokens.through, prepend=0), np.diff(tokens.characters, prepend=0) - 1
    else:
        counts, widths = np.array([len(tokens.starts)]), np.array([tokens.size])
    signs += _literal_ends(tokens, block)
    hashes = np.fromiter(map(hash, map(str.strip, lines)), np.int64, len(lines))
    lower, upper = _cases(codes, breaks) if block.begins else (0, 0)
    samples = _samples(lines, block) if block.begins else []
    return Look(block, numbers, odd, counts, widths, hashes, characters, lower, upper, samples, signs)


def _decoded(block: Block, signs: list[Sign]) -> str:
    """The text of a block, with a surrogate for each byte that is not UTF-8."""
    data, before = block.content, block.offset + len(block.data) - len(block.content)
    if len(data) < len(block.data):
        signs.append(Sign("bom", 1, 1))
    if not (block.ends or data.endswith((b" ", b"\t"))):
        signs.append(Sign("endless", 1, block.line, f"in {len(block.data)} bytes from byte {block.offset} on"))
    if (nul := data.find(b"\0")) >= 0:
        line = block.line + data.count(b"\n", 0, nul)
        signs.append(Sign("nul", data.count(b"\0"), line, f"at byte {before + nul}"))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        text = data.decode("utf-8", "surrogateescape")
        detail = f"byte 0x{data[error.start]:02x} at byte {before + error.start}"
        line = block.line + data.count(b"\n", 0, error.start)
        signs.append(Sign("not_utf8", len(NOT_UTF8.findall(text)), line, detail))
        return text


def _line_ends(block: Block) -> list[Sign]:
    data, signs = block.data, list[Sign]()
    returns = data.count(b"\r")
    pairs = data.count(b"\r\n") if returns else 0
    if pairs:
        signs.append(Sign("crlf", pairs, block.line + data.count(b"\n", 0, data.find(b"\r\n"))))
    if returns > pairs:
        at = re.search(rb"\r(?!\n)", data)
        assert at is not None
        signs.append(Sign("cr", returns - pairs, block.line + data.count(b"\n", 0, at.start())))
    return signs


def _characters(codes: Codes, breaks: Positions, block: Block, met: Flags) -> Characters:
    present, counts = _tally(codes)
    is_character = (present < 0xDC80) | (present > 0xDCFF)  # else it stands for a byte that is no part of one
    present, counts = present[is_character], counts[is_character]
    unmet = present[~met[present]]
    if not len(unmet):
        return Characters(present, counts, {})
    new = np.zeros(UNICODE, bool)
    new[unmet] = True
    at = np.flatnonzero(new.take(codes))
    firsts, index = np.unique(codes[at], return_index=True)
    lines = block.line + np.searchsorted(breaks, at[index])
    return Characters(present, counts, dict(zip(firsts.tolist(), lines.tolist(), strict=True)))


def _tally(codes: Codes) -> tuple[Positions, Integers]:
    """The distinct characters among these, in their order, and how often each is there."""
    usual = codes if codes.dtype == np.uint8 else codes[codes < 0x10000]  # no table for the few that are above
    table = np.bincount(usual)
    present = np.flatnonzero(table)
    if len(usual) == len(codes):
        return present, table[present]
    above, counts = np.unique(codes[codes >= 0x10000], return_counts=True)
    return np.append(present, above.astype(np.intp)), np.append(table[present], counts)


def _matches(kind: str, pattern: re.Pattern[str], block: Block, text: str) -> list[Sign]:
    matches = list(pattern.finditer(text))
    if not matches:
        return []
    return [Sign(kind, len(matches), block.line + text.count("\n", 0, matches[0].start()), matches[0].group())]


def _tokens(block: Block, content: bytes, reading: Reading) -> Tokens:
    """The tokens, without any for line ends."""
    return cut(block.ended(content), reading.tokenizer, None)


def _numbers(tokens: Tokens, numbering: Numbering) -> tuple[Numbers, list[str]]:
    """The number of each token, -1 of those with a NUL, which `Numbering` cannot take; and these."""
    if b"\0" not in tokens.data:
        return numbering.number(tokens), []
    nuls = np.flatnonzero(np.frombuffer(tokens.data, np.uint8) == 0)
    odd = np.unique(np.searchsorted(tokens.starts, nuls, side="right") - 1)  # no NUL is white space
    rest = np.delete(np.arange(len(tokens.starts)), odd)
    numbers = np.full(len(tokens.starts), -1, np.int32)
    numbers[rest] = numbering.number(replace(tokens, starts=tokens.starts[rest], ends=tokens.ends[rest]))
    spans = zip(tokens.starts[odd].tolist(), tokens.ends[odd].tolist(), strict=True)
    return numbers, [tokens.data[start:end].decode() for start, end in spans]


def _literal_ends(tokens: Tokens, block: Block) -> list[Sign]:
    at = np.array([found.start() for found in LITERAL_END.finditer(tokens.data)], np.intp)
    if not len(at) or not len(tokens.starts):
        return []
    i = np.searchsorted(tokens.starts, at, side="right") - 1
    i = i[(tokens.starts[i] == at) & (tokens.ends[i] == at + len(END))]
    if not len(i):
        return []
    return [Sign("end", len(i), block.line + int(np.searchsorted(tokens.through, i[0], side="right")))]


def _cases(codes: Codes, breaks: Positions) -> tuple[int, int]:
    """How many lines begin with a lower-case letter, and how many with a capital."""
    begins = np.append(0, breaks + 1)
    firsts, counts = _tally(codes[begins[begins < len(codes)]])
    pairs = list(zip(map(chr, firsts.tolist()), counts.tolist(), strict=True))
    return sum(n for c, n in pairs if c.islower()), sum(n for c, n in pairs if c.isupper())


def _samples(lines: list[str], block: Block) -> list[tuple[int, str]]:
    filled = ((number, line) for number, line in enumerate(lines, block.line) if line.strip())
    return [(number, line.removesuffix("\r")[:SAMPLE]) for number, line in islice(filled, SAMPLES)]
