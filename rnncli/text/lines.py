r"""Text files as blocks of whole lines, and every misfortune told with its file, line and byte.

Only `\n` ends a line: `str.splitlines` would also cut at U+2028, NEL and form feed, and line numbers would differ from
those of every editor.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

from rnncli.errors import TextError
from rnncli.text.files import READING, Reader, Source, Watch, name_of

COMPRESSED_MARKS = {
    b"\x1f\x8b": ("gzip", "gzip -dc"),
    b"\xfd7zXZ\0": ("xz", "xz -dc"),
    b"BZh91AY&SY": ("bzip2", "bzip2 -dc"),
    b"\x28\xb5\x2f\xfd": ("zstd", "zstd -dc"),
    b"PK\x03\x04": ("zip", "unzip -p"),
}

CHUNK = 1 << 18  # bytes read at a time; the arrays that a block of them becomes stay in a cache
LONGEST_HELD = 1 << 20  # bytes; a longer line comes in pieces

# UTF-32 first: its little-endian mark begins with that of UTF-16.
WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


@dataclass(frozen=True)
class Block:
    r"""Bytes of a file as they stand there, line ends included.

    line: the number of the first line in its file, from 1. offset: of the first byte in its file.
    begins, ends: False where `data` is a piece of one line, without its beginning or its end.
    """

    line: int
    offset: int
    data: bytes
    begins: bool
    ends: bool

    @property
    def content(self) -> bytes:
        """The data, without the byte-order mark that a file may begin with."""
        return self.data.removeprefix(codecs.BOM_UTF8) if self.offset == 0 else self.data

    def ended(self, content: bytes) -> bytes:
        """The content, as it stands there or put right, with the end that the last line of a file may lack."""
        has_end = content.endswith(b"\n") or not self.ends or (self.begins and not content)
        return content if has_end else content + b"\n"

    @property
    def lines(self) -> int:
        """How many lines begin here; a byte-order mark with nothing behind it is none."""
        if not self.begins:
            return 0
        return self.content.count(b"\n") + (self.content[-1:] not in (b"\n", b""))


def read_blocks(source: Source, watch: Watch | None = None) -> Iterator[Block]:
    """A text, decompressed, in blocks of whole lines; a line over about a megabyte comes in pieces.

    A piece ends behind a space or a tab where there is one, so that no word is cut, and never within a character of
    UTF-8. The content is not looked at: see `check`.

    Raises TextError for a file that is missing, and, after the blocks of what can be read, for one that is damaged or
    has changed meanwhile.
    """
    line, offset, begins = 1, 0, True
    pending = bytearray()
    failure: TextError | None = None
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
            if watch is not None:
                watch(READING, reader.position, None)
    if pending or not begins:
        yield Block(line, offset, bytes(pending), begins, True)
    if failure is not None:
        raise failure


def _cut(pending: bytearray, begins: bool) -> int:
    """How many bytes make the next block; 0 where more must be read first."""
    if end := (pending.rfind(b"\n") if begins else pending.find(b"\n")) + 1:
        return end
    if len(pending) <= LONGEST_HELD:
        return 0
    if space := max(pending.rfind(b" ", 0, LONGEST_HELD), pending.rfind(b"\t", 0, LONGEST_HELD)) + 1:
        return space
    at = LONGEST_HELD
    while at > LONGEST_HELD - 4 and pending[at] & 0xC0 == 0x80:  # a byte that continues a character
        at -= 1
    return at


def read_lines(source: Source) -> Iterator[tuple[int, str]]:
    r"""The lines of a text with their numbers, from 1, without their ends.

    The text is UTF-8, with or without a byte-order mark; `.gz`, `.bz2` and `.xz` are read as they are. A line ends at
    `\n`, one `\r` before it belongs to the end, and the last line needs no end.

    Raises TextError for a text that is missing, unreadable, damaged, binary or not UTF-8, or has a word of more than a
    megabyte. An empty one has no lines.
    """
    begun = ""  # the beginning of a line that comes in pieces
    for block in read_blocks(source):
        check(block, name_of(source))
        text = block.content.decode()
        if not block.ends:
            begun += text
            continue
        *lines, rest = (begun + text).split("\n")
        if rest:
            lines.append(rest)
        begun = ""
        for number, line in enumerate(lines, block.line):
            yield number, line.removesuffix("\r")


def check(block: Block, name: str) -> None:
    """Raise TextError for a block of a text that is binary or not UTF-8, or holds the beginning of an endless word."""
    _refuse_binary(block, name)
    if not block.data.isascii():
        try:
            block.data.decode("utf-8")
        except UnicodeDecodeError as error:
            number = block.line + block.data.count(b"\n", 0, error.start)
            raise TextError(
                f"{name}:{number}: not UTF-8: byte 0x{block.data[error.start]:02x} at byte "
                f"{block.offset + error.start}; if it is Latin-1, this makes it UTF-8: "
                f"iconv -f latin1 -t utf-8 {name} > utf8.txt"
            ) from None
    if not (block.ends or block.data.endswith((b" ", b"\t"))):
        raise TextError(
            f"{name}:{block.line}: no space, tab or line end in {len(block.data)} bytes from byte {block.offset} on; "
            "break the text into lines"
        )


def _refuse_binary(block: Block, name: str) -> None:
    """Raise TextError for a block with a NUL byte, and for a file that begins as no text does."""
    data, offset = block.data, block.offset
    if offset == 0 and (why := foreign(data, name)):
        raise TextError(why)
    if (nul := data.find(b"\0")) >= 0:
        number = block.line + data.count(b"\n", 0, nul)
        raise TextError(f"{name}:{number}: a NUL byte at byte {offset + nul}, so it is binary; give a plain text file")


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def foreign(data: bytes, name: str) -> str | None:
    """What to say of a file that begins with the mark of UTF-16 or UTF-32, or is compressed; None of any other."""
    for mark, encoding in WIDE_MARKS.items():
        if data.startswith(mark):
            return (
                f"{name}:1: not UTF-8: byte 0x{mark[0]:02x} at byte 0, it looks like {encoding}; "
                f"this makes it UTF-8: iconv -f {encoding.lower()} -t utf-8 {name} > utf8.txt"
            )
    for mark, (compressed, command) in COMPRESSED_MARKS.items():
        if data.startswith(mark) and not _is_text(data):  # a text may begin with some of them
            return f"{name}:1: compressed, it looks like {compressed}; decompress it first: {command}"
    return None
