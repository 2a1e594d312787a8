"""Statistics and defects of one block of a text. Blocks do not depend on each other, so threads survey several."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from rnncli.corpus_check.markup import marks
from rnncli.corpus_check.mojibake import SIGNALS, SIGNS
from rnncli.text.encode import TextFormat
from rnncli.text.invisible import INVISIBLE, misplaced
from rnncli.text.lines import Block
from rnncli.text.tokenize import END
from rnncli.text.tokenize_arrays import Codes, Flags, Positions, Tokens, cut
from rnncli.text.word_index import Numbering, Numbers

SAMPLES = 3  # lines for the tokenizer's view
SAMPLE = 300  # characters of a line to keep for display
UNICODE = 0x110000  # code points

FOREIGN = 8  # lines that are not ASCII, to look for mojibake in
LONG = 400  # characters of such a line

# Each pattern, and characters of which any match has at least one: without them the search is skipped.
PATTERNS = {"glued": (misplaced(), INVISIBLE), "mojibake": (SIGNS, SIGNALS)}
NOT_UTF8 = re.compile("[\udc80-\udcff]")
LITERAL_END = re.compile(re.escape(END.encode()))

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Defect:
    """How often a defect occurs in a block, the line of the first, and a detail of that one.

    parts: how often each form of it occurs. block: the block itself, if an error about it looks there.
    """

    kind: str
    count: int
    line: int
    detail: str = ""
    parts: Counter[str] = field(default_factory=Counter)
    block: Block | None = None


@dataclass(frozen=True, eq=False)
class CharacterCounts:
    """The distinct characters of a block, their counts, and the first line of each that no earlier block had.

    codes, counts: (characters,). new: line by code point.
    """

    codes: Positions
    counts: Integers
    new: dict[int, int]


@dataclass(frozen=True, eq=False)
class BlockSurvey:
    """The survey of a block, in which a piece of a line counts as a line.

    numbers: (tokens,); -1 for a token that contains a NUL. with_nul: these tokens.
    counts, widths, hashes: (lines,), of each line the number of tokens, the number of characters, and the hash without
    the white space around it, 0 for a blank line.
    lower, upper: number of lines that begin with a lower-case letter, and with a capital.
    samples: the first lines that are not blank. foreign: some lines that are not ASCII.
    """

    block: Block
    numbers: Numbers
    with_nul: list[str]
    counts: Integers
    widths: Integers
    hashes: Integers
    characters: CharacterCounts
    lower: int
    upper: int
    samples: list[tuple[int, str]]
    foreign: list[tuple[int, str]]
    defects: list[Defect] = field(default_factory=list)


def survey_block(block: Block, text_format: TextFormat, numbering: Numbering, met: Flags) -> BlockSurvey:
    """Survey a block, whatever its bytes are. met: flags by code point, set for the characters of earlier blocks."""
    defects = _line_ends(block) + _marks(block)
    if not (text_format.tokenizer.name == "characters" or block.ends or block.data.endswith((b" ", b"\t"))):
        defects.append(Defect("endless", 1, block.line, f"in {len(block.data)} bytes from byte {block.offset} on"))
    escaped = _decode_(block, defects)
    codes: Codes = np.frombuffer(block.content, np.uint8)
    if not escaped.isascii():
        codes = np.frombuffer(escaped.encode("utf-32-le", "surrogatepass"), "<u4")
    breaks = np.flatnonzero(codes == ord("\n"))
    characters = _characters(codes, breaks, block, met)
    for kind, (pattern, signal) in PATTERNS.items():
        if not signal.isdisjoint(map(chr, characters.codes.tolist())):
            defects += _matches(kind, pattern, block, escaped)
    text = NOT_UTF8.sub("\ufffd", escaped) if any(defect.kind == "not_utf8" for defect in defects) else escaped
    foreign = _foreign(codes, text, block) if text is escaped else []
    if foreign and text_format.tokenizer.normalize is None:
        defects += _decomposed(text, block)
    lines = text.split("\n")
    if text.endswith("\n") or (block.begins and not text):
        del lines[-1]
    tokens = _tokens(block, block.content if text is escaped else text.encode(), text_format)
    numbers, with_nul = _numbers(tokens, numbering)
    if block.ends:
        counts, widths = np.diff(tokens.through, prepend=0), np.diff(tokens.characters, prepend=0) - 1
    else:
        counts, widths = np.array([len(tokens.starts)]), np.array([tokens.size])
    defects += _literal_ends(tokens, block)
    hashes = np.fromiter(map(hash, map(str.strip, lines)), np.int64, len(lines))
    lower, upper = _cases(codes, breaks) if block.begins else (0, 0)
    samples = _samples(lines, block) if block.begins else []
    return BlockSurvey(
        block, numbers, with_nul, counts, widths, hashes, characters, lower, upper, samples, foreign, defects
    )


def _decode_(block: Block, defects: list[Defect]) -> str:
    """Decode a block, with a surrogate for each byte that is not UTF-8. Appends to `defects`."""
    data = block.content
    if len(data) < len(block.data):
        defects.append(Defect("bom", 1, 1))
    if (nul := data.find(b"\0")) >= 0:
        line = block.line + data.count(b"\n", 0, nul)
        defects.append(Defect("nul", data.count(b"\0"), line, block=block))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        text = data.decode("utf-8", "surrogateescape")
        line = block.line + data.count(b"\n", 0, error.start)
        defects.append(Defect("not_utf8", len(NOT_UTF8.findall(text)), line, block=block))
        return text


def _line_ends(block: Block) -> list[Defect]:
    data, defects = block.data, list[Defect]()
    returns = data.count(b"\r")
    pairs = data.count(b"\r\n") if returns else 0
    if pairs:
        defects.append(Defect("crlf", pairs, block.line + data.count(b"\n", 0, data.find(b"\r\n"))))
    if returns > pairs:
        at = re.search(rb"\r(?!\n)", data)
        assert at is not None
        defects.append(Defect("cr", returns - pairs, block.line + data.count(b"\n", 0, at.start())))
    return defects


def _characters(codes: Codes, breaks: Positions, block: Block, met: Flags) -> CharacterCounts:
    present, counts = _tally(codes)
    is_character = (present < 0xDC80) | (present > 0xDCFF)  # a surrogate represents a byte that is not UTF-8
    present, counts = present[is_character], counts[is_character]
    unmet = present[~met[present]]
    if not len(unmet):
        return CharacterCounts(present, counts, {})
    new = np.zeros(UNICODE, bool)
    new[unmet] = True
    at = np.flatnonzero(new.take(codes))
    firsts, index = np.unique(codes[at], return_index=True)
    lines = block.line + np.searchsorted(breaks, at[index])
    return CharacterCounts(present, counts, dict(zip(firsts.tolist(), lines.tolist(), strict=True)))


def _tally(codes: Codes) -> tuple[Positions, Integers]:
    """The distinct code points among these, sorted, and the count of each."""
    usual = codes if codes.dtype == np.uint8 else codes[codes < 0x10000]  # a larger table would be slow
    table = np.bincount(usual)
    present = np.flatnonzero(table)
    if len(usual) == len(codes):
        return present, table[present]
    above, counts = np.unique(codes[codes >= 0x10000], return_counts=True)
    return np.append(present, above.astype(np.intp)), np.append(table[present], counts)


def _matches(kind: str, pattern: re.Pattern[str], block: Block, text: str) -> list[Defect]:
    matches = list(pattern.finditer(text))
    if not matches:
        return []
    line = block.line + text.count("\n", 0, matches[0].start())
    return [Defect(kind, len(matches), line, matches[0].group(), Counter(found.group() for found in matches))]


def _marks(block: Block) -> list[Defect]:
    found: dict[str, list[tuple[int, str]]] = {}
    for kind, at, mark in marks(block.data):
        found.setdefault(kind, []).append((at, mark))
    return [
        Defect(
            kind,
            len(all_),
            block.line + block.data.count(b"\n", 0, min(all_)[0]),
            min(all_)[1],
            Counter(m for _, m in all_),
        )
        for kind, all_ in found.items()
    ]


def _decomposed(text: str, block: Block) -> list[Defect]:
    """Words that are not in the normal form NFC."""
    if unicodedata.is_normalized("NFC", text):
        return []
    words = [word for word in text.split() if not word.isascii() and not unicodedata.is_normalized("NFC", word)]
    if not words:
        return []
    return [Defect("decomposed", len(words), block.line + text.count("\n", 0, text.index(words[0])), words[0])]


def _foreign(codes: Codes, text: str, block: Block) -> list[tuple[int, str]]:
    """Lines that are not ASCII, from all over the block; of long ones the part around such a character."""
    at = np.flatnonzero(codes > 0x7F) if codes.dtype != np.uint8 else np.zeros(0, np.intp)
    lines = dict[int, str]()
    for place in at[:: max(1, len(at) // FOREIGN)].tolist():
        begin = text.rfind("\n", 0, place) + 1
        if place - begin > LONG // 2:
            begin = text.find(" ", place - LONG // 2, place) + 1 or begin
        lines[begin] = text[begin : begin + LONG].partition("\n")[0]
    return [(block.line + text.count("\n", 0, begin), line) for begin, line in lines.items()]


def _tokens(block: Block, content: bytes, text_format: TextFormat) -> Tokens:
    """The tokens, without line ends."""
    return cut(block.ended(content), text_format.tokenizer, None)


def _numbers(tokens: Tokens, numbering: Numbering) -> tuple[Numbers, list[str]]:
    """The number of each token, -1 for tokens with a NUL, which `Numbering` does not accept; and these tokens."""
    if b"\0" not in tokens.data:
        return numbering.number(tokens), []
    nuls = np.flatnonzero(np.frombuffer(tokens.data, np.uint8) == 0)
    odd = np.unique(np.searchsorted(tokens.starts, nuls, side="right") - 1)  # a NUL is always in a token
    rest = np.delete(np.arange(len(tokens.starts)), odd)
    numbers = np.full(len(tokens.starts), -1, np.int32)
    numbers[rest] = numbering.number(replace(tokens, starts=tokens.starts[rest], ends=tokens.ends[rest]))
    spans = zip(tokens.starts[odd].tolist(), tokens.ends[odd].tolist(), strict=True)
    return numbers, [tokens.data[start:end].decode() for start, end in spans]


def _literal_ends(tokens: Tokens, block: Block) -> list[Defect]:
    at = np.array([found.start() for found in LITERAL_END.finditer(tokens.data)], np.intp)
    if not len(at) or not len(tokens.starts):
        return []
    i = np.searchsorted(tokens.starts, at, side="right") - 1
    i = i[(tokens.starts[i] == at) & (tokens.ends[i] == at + len(END))]
    if not len(i):
        return []
    return [Defect("end", len(i), block.line + int(np.searchsorted(tokens.through, i[0], side="right")))]


def _cases(codes: Codes, breaks: Positions) -> tuple[int, int]:
    """Number of lines that begin with a lower-case letter, and with a capital."""
    begins = np.append(0, breaks + 1)
    firsts, counts = _tally(codes[begins[begins < len(codes)]])
    pairs = list(zip(map(chr, firsts.tolist()), counts.tolist(), strict=True))
    return sum(n for c, n in pairs if c.islower()), sum(n for c, n in pairs if c.isupper())


def _samples(lines: list[str], block: Block) -> list[tuple[int, str]]:
    filled = ((number, line) for number, line in enumerate(lines, block.line) if line.strip())
    return [(number, line.removesuffix("\r")[:SAMPLE]) for number, line in islice(filled, SAMPLES)]
