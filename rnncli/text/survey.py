"""A look at a text in one pass: sizes, sentence lengths, characters, and the signs of what may be wrong with it.

Training is strict and stops at the first fault; this counts all of them, and says where the first stands. What grows
with the text is eight bytes a line, the counts of its words and the counts of its characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

from rnncli.errors import TextError
from rnncli.text.facts import FileSize, Place, Seen, Survey
from rnncli.text.files import Source, name_of
from rnncli.text.lines import WIDE_MARKS, Block, read_blocks
from rnncli.text.reading import LINE_END, Reading
from rnncli.text.tokenize import END

SAMPLES = 3  # lines for the tokenizer's view
SAMPLE = 300  # characters of a line that are kept to be shown

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
MOJIBAKE_STARTS = frozenset("\u00c2\u00c3\u00e2\u00ef")
NOT_UTF8 = re.compile("[\udc80-\udcff]")


def survey(
    sources: Sequence[Source],
    reading: Reading,
    known: frozenset[str] | None = None,
    start: int = 0,
    stop: int | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> Survey:
    """Look at the lines of some files, from the one with index `start` up to `stop`, counted over all files.

    known: the words of a vocabulary; the first that is not among them is then a sign, `unknown`.
    progress: is told the number of bytes of each block. Nothing in a text raises.
    """
    pass_ = _Pass(reading, known, start, stop, progress)
    for source in sources:
        if stop is None or pass_.index < stop:
            pass_.file(source)
    return pass_.result()


class _Pass:
    def __init__(
        self,
        reading: Reading,
        known: frozenset[str] | None,
        start: int,
        stop: int | None,
        progress: Callable[[int], object],
    ) -> None:
        self.reading, self.known, self.start, self.stop, self.progress = reading, known, start, stop, progress
        self.index = 0  # of the next line that begins, over all files
        self.found = Survey()
        self.hashes: list[npt.NDArray[np.int64]] = []
        self.pending = [0, 0, 0]  # words, characters and hash of a line that comes in pieces
        self.inside = False  # whether the line that comes in pieces is looked at

    def result(self) -> Survey:
        if self.hashes:
            self.found.hashes = np.concatenate(self.hashes)
        if (after := self.reading.after_line) is not None:
            self.found.predicted = self.found.tokens + self.found.lines
            if after != LINE_END and self.found.lines:
                self.found.words[after] += self.found.lines
        else:
            self.found.predicted = self.found.tokens
        return self.found

    def file(self, source: Source) -> None:
        name = name_of(source)
        self.size = FileSize(name, self.found.lines)
        self.found.files.append(self.size)
        try:
            for block in read_blocks(source):
                if block.offset == 0 and (encoding := _wide(block.data)):
                    raise TextError(
                        f"{name}:1: not UTF-8: byte 0x{block.data[0]:02x} at byte 0, it looks like {encoding}; "
                        f"this makes it UTF-8: iconv -f {encoding.lower()} -t utf-8 {name} > utf8.txt"
                    )
                if self.stop is not None and self.index >= self.stop and block.begins:
                    return
                for part in self._wanted(block):
                    self._block(part)
                    self.progress(len(part.data))
        except TextError as error:
            self.size.problem = str(error)

    def _wanted(self, block: Block) -> list[Block]:
        """The part of a block whose lines are to be looked at: one block or none."""
        if not block.begins:
            return [block] if self.inside else []
        first, self.index = self.index, self.index + block.lines
        after = self.index if self.stop is None else min(self.stop, self.index)
        skip, keep = max(self.start - first, 0), after - first
        self.inside = skip < keep or (first >= self.start and not block.lines)
        if not self.inside:
            self.size.start += block.lines
            return []
        if skip == 0 and keep == block.lines:
            return [block]
        lines = block.data.split(b"\n", keep)
        dropped = sum(len(line) + 1 for line in lines[:skip])
        data = b"".join(line + b"\n" for line in lines[skip:keep])
        self.size.start += skip
        return [Block(block.line + skip, block.offset + dropped, data[: len(block.data) - dropped], True, block.ends)]

    def _block(self, block: Block) -> None:
        if not (block.ends or block.data.endswith(b" ")):
            self._see("endless", 1, block.line, f"in {len(block.data)} bytes from byte {block.offset} on")
        text = self._decode(block)
        self.size.bytes += len(block.data)
        self._line_ends(block)
        lines = text.split("\n")
        if text.endswith("\n") or (block.begins and not text):
            del lines[-1]
        if "\r" in text:
            lines = [line.removesuffix("\r") for line in lines]
        tokens = list(map(self.reading.tokenizer.tokens, lines))
        counts = np.fromiter(map(len, tokens), np.int64, len(tokens))
        self.size.words += int(counts.sum())
        self.found.words.update(chain.from_iterable(tokens))
        self._words(block, tokens)
        if block.begins:
            self._beginnings(block, lines)
        widths = np.fromiter(map(len, lines), np.int64, len(lines))
        hashes = np.fromiter(map(hash, map(str.strip, lines)), np.int64, len(lines))
        if block.begins and block.ends:
            self._lines(block.line, counts, widths, hashes)
        else:
            self._piece(block, int(counts.sum()), int(widths.sum()), int(hashes.sum()))

    def _piece(self, block: Block, words: int, width: int, hash_: int) -> None:
        if block.begins:
            self.pending = [0, 0, 0]
        for i, more in enumerate((words, width)):
            self.pending[i] += more
        self.pending[2] = hash((self.pending[2], hash_))
        if block.ends:
            counts, widths, hashes = (np.array([n], np.int64) for n in self.pending)
            self._lines(block.line, counts, widths, hashes)

    def _lines(
        self,
        first: int,
        counts: npt.NDArray[np.int64],
        widths: npt.NDArray[np.int64],
        hashes: npt.NDArray[np.int64],
    ) -> None:
        if not len(counts):
            return
        self.size.lines += len(counts)
        self.hashes.append(hashes)
        self.found.lengths.add(counts)
        self.found.widths.add(widths)
        if int(counts.max()) > self.found.longest[0]:
            at = int(counts.argmax())
            self.found.longest = int(counts[at]), Place(self.size.name, first + at)
        if blank := int((counts == 0).sum()):
            self._see("blank", blank, first + int((counts == 0).argmax()))

    def _beginnings(self, block: Block, lines: list[str]) -> None:
        """How the lines begin, and the first of them as samples."""
        starts = [line[:1] for line in lines]
        self.found.lower += sum(map(str.islower, starts))
        self.found.upper += sum(map(str.isupper, starts))
        for number, line in enumerate(lines, block.line):
            if len(self.found.samples) >= SAMPLES:
                break
            if line.strip():
                self.found.samples.append((Place(self.size.name, number), line[:SAMPLE]))

    def _words(self, block: Block, tokens: list[list[str]]) -> None:
        """Literal `<end>`s, and the first word that is not known."""
        if END in self.found.words:
            first = next((number for number, line in enumerate(tokens, block.line) if END in line), None)
            if first is not None:
                self._see("end", sum(line.count(END) for line in tokens), first)
        if self.known is not None and "unknown" not in self.found.signs:
            for number, line in enumerate(tokens, block.line):
                if not self.known.issuperset(line):
                    self._see("unknown", 1, number, next(word for word in line if word not in self.known))
                    break

    def _line_ends(self, block: Block) -> None:
        returns = block.data.count(b"\r")
        if not returns:
            return
        pairs = block.data.count(b"\r\n")
        if pairs:
            self._see("crlf", pairs, block.line + block.data.count(b"\n", 0, block.data.find(b"\r\n")))
        if returns > pairs:
            at = re.search(rb"\r(?!\n)", block.data)
            assert at is not None
            self._see("cr", returns - pairs, block.line + block.data.count(b"\n", 0, at.start()))

    def _decode(self, block: Block) -> str:
        """The text of a block, what is not UTF-8 as U+FFFD; its characters are counted, and its signs."""
        data = block.content
        if len(data) < len(block.data):
            self._see("bom", 1, 1)
        if data.isascii():
            counts = np.bincount(np.frombuffer(data, np.uint8), minlength=128)
            codes = np.flatnonzero(counts)
            text = data.decode("ascii")
            self._characters(block, text, codes.tolist(), counts[codes].tolist())
            return text
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            text = data.decode("utf-8", "surrogateescape")
            at = error.start + len(block.data) - len(data)
            detail = f"byte 0x{data[error.start]:02x} at byte {block.offset + at}"
            count, line = len(NOT_UTF8.findall(text)), block.line + data.count(b"\n", 0, error.start)
            self._see("not_utf8", count, line, detail)
        wide = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        codes, counts = np.unique(wide, return_counts=True)
        self._characters(block, text, codes.tolist(), counts.tolist())
        return NOT_UTF8.sub("\ufffd", text)

    def _characters(self, block: Block, text: str, codes: list[int], counts: list[int]) -> None:
        present = {chr(code) for code in codes}
        for character, count in zip(map(chr, codes), counts, strict=True):
            if (seen := self.found.characters.get(character)) is not None:
                seen.count += count
            elif not "\udc80" <= character <= "\udcff":
                place = Place(self.size.name, block.line + text.count("\n", 0, text.index(character)))
                self.found.characters[character] = Seen(count, place)
        if "\0" in present and "nul" not in self.found.signs:
            at = block.data.find(b"\0")
            line = block.line + block.data.count(b"\n", 0, at)
            self._see("nul", 1, line, f"at byte {block.offset + at}")
        if present & INVISIBLE:
            self._matches("glued", GLUED, block, text)
        if present & MOJIBAKE_STARTS:
            self._matches("mojibake", MOJIBAKE, block, text)

    def _matches(self, kind: str, pattern: re.Pattern[str], block: Block, text: str) -> None:
        matches = list(pattern.finditer(text))
        if matches:
            line = block.line + text.count("\n", 0, matches[0].start())
            self._see(kind, len(matches), line, matches[0].group())

    def _see(self, kind: str, count: int, line: int, detail: str = "") -> None:
        if (seen := self.found.signs.get(kind)) is not None:
            seen.count += count
        else:
            self.found.signs[kind] = Seen(count, Place(self.size.name, line), detail)


def _wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32, where a file begins with its mark."""
    return next((encoding for mark, encoding in WIDE_MARKS.items() if data.startswith(mark)), None)
