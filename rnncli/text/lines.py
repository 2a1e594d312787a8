r"""Text files to lines: decompressed, decoded as UTF-8, and every misfortune told with its file and line.

Only `\n` ends a line: `str.splitlines` would also cut at U+2028, NEL and form feed, and line numbers would differ from
those of every editor.
"""

from __future__ import annotations

import bz2
import codecs
import difflib
import gzip
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from rnncli.errors import TextError

Source = str | os.PathLike[str] | BinaryIO
"""A path, or an open binary file such as `sys.stdin.buffer`, which is left open."""

BLOCK = 1 << 15  # bytes; the tokens of a larger block fall out of the caches, and reading takes twice as long

OPENERS: dict[str, Callable[[str], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
DAMAGED = (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError)

# UTF-32 first: its little-endian mark begins with that of UTF-16.
WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
LONGEST_MARK = max(map(len, WIDE_MARKS))


class Digest(Protocol):
    """What `hashlib` gives: something that takes bytes."""

    def update(self, data: bytes, /) -> None: ...


def name_of(source: Source) -> str:
    """How messages call this text."""
    if isinstance(source, str | os.PathLike):
        return str(source)
    return str(getattr(source, "name", "<stream>"))


def read_lines(source: Source) -> Iterator[tuple[int, str]]:
    r"""The lines of a text with their numbers, from 1, without their ends.

    The text is UTF-8, with or without a byte-order mark; `.gz`, `.bz2` and `.xz` are read as they are. A line ends at
    `\n`, one `\r` before it belongs to the end, and the last line needs no end.

    Raises TextError for a text that is missing, unreadable, damaged, binary or not UTF-8. An empty one has no lines.
    """
    for first, lines in read_blocks(source):
        yield from enumerate(lines, first)


def read_blocks(source: Source, digest: Digest | None = None) -> Iterator[tuple[int, list[str]]]:
    """The same as `read_lines`, many lines at a time: the number of the first, and the lines.

    `digest` takes in the content as it is read, decompressed and otherwise as it stands in the file.
    """
    name = name_of(source)
    line, offset = 1, 0
    pending = bytearray()  # the beginning of a line whose end was not yet read
    with _open(source) as file:
        while chunk := _read(file, name, line, offset + len(pending)):
            if digest is not None:
                digest.update(chunk)
            # Not only when the line ends: one of a huge binary file may never end, and memory would hold all of it.
            if b"\0" in chunk and offset + len(pending) + len(chunk) >= LONGEST_MARK:
                _refuse_binary(bytes(pending) + chunk, name, line, offset)
            end = chunk.rfind(b"\n") + 1
            if not end:
                pending += chunk
                continue
            block = bytes(pending) + chunk[:end]
            lines = _decode(block, name, line, offset)
            yield line, lines
            line, offset = line + len(lines), offset + len(block)
            pending = bytearray(chunk[end:])
    if pending:
        yield line, _decode(bytes(pending), name, line, offset)


def _open(source: Source) -> AbstractContextManager[BinaryIO]:
    if not isinstance(source, str | os.PathLike):
        return nullcontext(source)
    path = Path(source)
    try:
        opener = OPENERS.get(path.suffix.lower())
        return cast(BinaryIO, opener(str(path))) if opener else path.open("rb")
    except FileNotFoundError:
        raise TextError(f"{path}: no such file; {_nearby(path)}") from None
    except IsADirectoryError:
        raise TextError(f"{path}: a folder, not a file; give one text file, or a list of them") from None
    except PermissionError:
        raise TextError(f"{path}: permission to read it is denied; try chmod u+r {path}") from None
    except (OSError, ValueError) as error:
        raise TextError(f"{path}: cannot be opened ({_reason(error)}); give the path of a text file") from None


def _read(file: BinaryIO, name: str, line: int, offset: int) -> bytes:
    try:
        return file.read(BLOCK)
    except (OSError, *DAMAGED) as error:
        if isinstance(error, DAMAGED) or isinstance(file, bz2.BZ2File):
            what = f"damaged or cut off after {offset} bytes of text ({_reason(error)})"
            advice = "copy or compress the file again; if it is plain text, take the suffix from its name"
        else:
            what, advice = f"cannot be read ({_reason(error)})", "copy the file to a place where it can"
        raise TextError(f"{name}:{line}: {what}; {advice}") from None


def _decode(block: bytes, name: str, line: int, offset: int) -> list[str]:
    """The lines of a block; `line` and `offset` say where in the file the block begins."""
    _refuse_binary(block, name, line, offset)
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError as error:
        number = line + block.count(b"\n", 0, error.start)
        raise TextError(
            f"{name}:{number}: not UTF-8: byte 0x{block[error.start]:02x} at byte {offset + error.start}; "
            f"if it is Latin-1, this makes it UTF-8: iconv -f latin1 -t utf-8 {name} > utf8.txt"
        ) from None
    if offset == 0:
        text = text.removeprefix("\ufeff")
    lines = text.split("\n")
    if not lines[-1]:
        del lines[-1]
    return [line.removesuffix("\r") for line in lines] if "\r" in text else lines


def _refuse_binary(block: bytes, name: str, line: int, offset: int) -> None:
    """Raise TextError for a block with a NUL byte, and for a file that begins with the mark of UTF-16 or UTF-32."""
    for mark, encoding in WIDE_MARKS.items():
        if offset == 0 and block.startswith(mark):
            raise TextError(
                f"{name}:1: not UTF-8: byte 0x{mark[0]:02x} at byte 0, it looks like {encoding}; "
                f"this makes it UTF-8: iconv -f {encoding.lower()} -t utf-8 {name} > utf8.txt"
            )
    if (nul := block.find(b"\0")) >= 0:
        number = line + block.count(b"\n", 0, nul)
        raise TextError(f"{name}:{number}: a NUL byte at byte {offset + nul}, so it is binary; give a plain text file")


def _nearby(path: Path) -> str:
    """What may have been meant by a path that does not exist."""
    try:
        names = os.listdir(path.parent)
    except OSError:
        return f"there is no folder {path.parent} either"
    close = difflib.get_close_matches(path.name, names, n=3)
    if close:
        return "did you mean " + " or ".join(str(path.parent / name) for name in close) + "?"
    return f"the folder {path.parent} holds nothing of a similar name"


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
