r"""Read text files in blocks of whole lines, and report every defect with its file, line and byte.

Only `\n` ends a line: `str.splitlines` would also split at U+2028, NEL and form feed, and line numbers would differ
from those of editors.
"""

from __future__ import annotations

import codecs
import shlex
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rnncli.errors import TextError
from rnncli.text.files import ByteCounter, Reader, Source, name_of

COMPRESSED_MARKS = {
    b"\x1f\x8b": ("gzip", "gzip -dc"),
    b"\xfd7zXZ\0": ("xz", "xz -dc"),
    b"BZh91AY&SY": ("bzip2", "bzip2 -dc"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -dc"),
    b"PK\x03\x04": ("zip", "unzip -p"),
}

CHUNK = 1 << 18  # bytes read at a time; small enough for the arrays of a block to fit in the processor's cache
LONGEST_HELD = 1 << 20  # bytes; a longer line comes in pieces
LONGEST_LINE = 1 << 24  # bytes of a line where it is needed whole
NEARBY = 64  # bytes before the end of a piece without spaces, in which it may end

# UTF-32 first: its little-endian byte-order mark begins with that of UTF-16.
WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


@dataclass(frozen=True)
class Block:
    """Consecutive bytes of a decompressed file, line ends included.

    line: number of the first line in its file, from 1. offset: of the first byte in its file.
    begins, ends: False if `data` is a piece of one line that lacks the beginning or the end of the line.
    """

    line: int
    offset: int
    data: bytes
    begins: bool
    ends: bool

    @property
    def content(self) -> bytes:
        """The data without the byte-order mark that a file may begin with."""
        return self.data.removeprefix(codecs.BOM_UTF8) if self.offset == 0 else self.data

    def ended(self, content: bytes) -> bytes:
        """Content of this block, perhaps repaired, with the line end that the last line of a file may lack."""
        has_end = content.endswith(b"\n") or not self.ends or (self.begins and not content)
        return content if has_end else content + b"\n"

    @property
    def lines(self) -> int:
        """Number of lines that begin here; a byte-order mark alone is not a line."""
        if not self.begins:
            return 0
        return self.content.count(b"\n") + (self.content[-1:] not in (b"\n", b""))


def read_blocks(source: Source, counter: ByteCounter | None = None) -> Iterator[Block]:
    """Read a text, decompressed, in blocks of whole lines; a line of over 1 MiB comes in pieces.

    A piece ends after a space or a tab if it has one, so that no word is split, and never within what the tokenizer
    `characters` reads as one: a UTF-8 character, its marks, a line end, `<unk>`.
    The content is not checked: see `validate`.

    Raises TextError for a missing file and, after the blocks that can be read, for a file that is damaged or has
    changed since it was opened.
    """
    line, offset, begins = 1, 0, True
    pending = bytearray()
    failure: TextError | None = None
    counted = 0
    with Reader(source) as reader:
        while True:
            try:
                chunk = reader.read(CHUNK, line, offset + len(pending))
            except TextError as error:
                chunk, failure = b"", error
            if not chunk:
                break
            pending += chunk
            while cut := _cut(pending, begins):
                data = bytes(pending[:cut])
                del pending[:cut]
                ends = data.endswith(b"\n")
                yield Block(line, offset, data, begins, ends)
                line, offset, begins = line + data.count(b"\n"), offset + cut, ends
            if counter is not None:
                counter.add(reader.position - counted)
                counted = reader.position
    if pending or not begins:
        yield Block(line, offset, bytes(pending), begins, True)
    if failure is not None:
        raise failure


def _cut(pending: bytearray, begins: bool) -> int:
    """Size of the next block in bytes; 0 if more must be read first."""
    if end := (pending.rfind(b"\n") if begins else pending.find(b"\n")) + 1:
        return end
    if len(pending) <= LONGEST_HELD:
        return 0
    if space := max(pending.rfind(b" ", 0, LONGEST_HELD), pending.rfind(b"\t", 0, LONGEST_HELD)) + 1:
        return space
    return _between_characters(pending)


def _between_characters(pending: bytearray) -> int:
    """The last place up to `LONGEST_HELD` where a text without spaces can be cut; any if there is none nearby.

    Not after or before a capital sigma, which in lower case depends on its neighbours.
    """
    starts = [at for at in range(LONGEST_HELD, max(LONGEST_HELD - NEARBY, 0), -1) if pending[at] & 0xC0 != 0x80]
    for at in starts:
        before = bytes(pending[max(at - NEARBY, 0) : at]).decode("utf-8", "ignore")
        after = bytes(pending[at : at + 4]).decode("utf-8", "ignore")[:1]
        last = next((c for c in reversed(before) if not unicodedata.combining(c)), "")
        if not after or unicodedata.combining(after) or _normal(before) + after != _normal(before + after):
            continue
        if "\u03a3" not in (last, after) and "<" not in before[-4:]:
            return at
    return starts[0] if starts else LONGEST_HELD


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def read_lines(source: Source) -> Iterator[tuple[int, str]]:
    r"""The lines of a text without their ends, each with its number, from 1.

    The text is UTF-8, with or without a byte-order mark, and may be compressed (`.gz`, `.bz2`, `.xz`). A line ends at
    `\n` or `\r\n`; the last line needs no end. An empty text has no lines.

    Raises TextError for a text that is missing, unreadable, damaged, binary or not UTF-8, or has a word of over 1 MiB
    or a line of over 16 MiB.
    """
    for number, line in raw_lines(source, validate):
        yield number, line.decode()


def raw_lines(source: Source, check: Callable[[Block, str], None] | None = None) -> Iterator[tuple[int, bytes]]:
    """The lines of a text as `read_lines` cuts them, as bytes, which `check` may look at in blocks, with its name.

    Raises TextError for a text that is missing or damaged, or has a line of over 16 MiB, and as `check` does.
    """
    begun = b""  # the beginning of a line that comes in pieces
    for block in read_blocks(source):
        if check is not None:
            check(block, name_of(source))
        begun += block.content
        if not block.ends and len(begun) > LONGEST_LINE:
            raise TextError(
                f"a line of over {LONGEST_LINE:,} bytes",
                location=f"{name_of(source)}:{block.line}",
                remedy="break it into lines",
            )
        if not block.ends:
            continue
        *lines, rest = begun.split(b"\n")
        begun = b""
        for number, line in enumerate([*lines, rest] if rest else lines, block.line):
            yield number, line.removesuffix(b"\r")


def validate(block: Block, name: str, words: bool = True) -> None:
    """Raise TextError for a block of a text that is binary or not UTF-8, or that begins a word of over 1 MiB.

    words: False if the tokens are characters, which a line without spaces may have as many of as it likes.
    """
    data = block.data
    if block.offset == 0 and (error := foreign_format_error(data, name)) is not None:
        raise error
    if b"\0" in data:
        raise nul_error(name, block)
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            raise not_utf8_error(name, block) from None
    if words and not (block.ends or data.endswith((b" ", b"\t"))):
        raise endless_word_error(name, block.line, f"in {len(data)} bytes from byte {block.offset} on")


def nul_error(name: str, block: Block) -> TextError:
    """The error for the first NUL byte of a block; a text with many may be UTF-16."""
    from rnncli.text import encodings

    at = block.data.find(b"\0")
    problem, remedy = f"a NUL byte at byte {block.offset + at}, so it is ", "give a plain text file"
    encoding = encodings.utf16(block.data) if block.offset == 0 else None
    if encoding is not None:
        remedy = f"it looks like {encoding}: {encodings.conversion(name, encoding)}"
    return TextError(
        f"{problem}{'not UTF-8' if encoding else 'binary'}", location=_place(name, block, at), remedy=remedy
    )


def not_utf8_error(name: str, block: Block) -> TextError:
    """The error for the first byte of a block that is not UTF-8, with advice that was tried on the block."""
    from rnncli.text import encodings

    data = block.data
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as failure:
        at = failure.start
    return TextError(
        f"not UTF-8: byte 0x{data[at]:02x} at byte {block.offset + at}",
        location=_place(name, block, at),
        remedy=encodings.advice(name, data, at, block.offset == 0),
    )


def _place(name: str, block: Block, at: int) -> str:
    """`file:line` of a byte of a block."""
    line = block.line + block.data.count(b"\n", 0, at)
    return f"{name}:{line}"


def endless_word_error(name: str, line: int, where: str) -> TextError:
    """The error for a word that is too long to be held in memory; where: such as `in 1048576 bytes from byte 7 on`."""
    return TextError(
        f"no space, tab or line end {where}",
        location=f"{name}:{line}",
        remedy="break the text into lines, or set data.tokenizer: characters if its words have no spaces between them",
    )


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def foreign_format_error(data: bytes, name: str) -> TextError | None:
    """The error for a file that begins with the mark of UTF-16 or UTF-32, or is compressed; None for any other."""
    for mark, encoding in WIDE_MARKS.items():
        if data.startswith(mark):
            from rnncli.text import encodings

            return TextError(
                f"not UTF-8: byte 0x{mark[0]:02x} at byte 0, it looks like {encoding}",
                location=f"{name}:1",
                remedy=f"this makes it UTF-8: {encodings.conversion(name, encoding)}",
            )
    for mark, (compressed, command) in COMPRESSED_MARKS.items():
        if data.startswith(mark) and not _is_text(data):  # a text may begin with some of these marks
            return TextError(
                f"compressed, it looks like {compressed}",
                location=f"{name}:1",
                remedy=f"decompress it first: {command} {shlex.quote(name)} > text.txt",
            )
    return None
