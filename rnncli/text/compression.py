"""Decompress files of one or more members. Other data after a member means that the file is corrupt.

The standard library's `bz2.open` and `lzma.open` silently ignore a damaged second member as trailing garbage.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any, Protocol

READ_SIZE = 1 << 16  # bytes of the compressed file, read at a time
PADDING = b"\0"


class DamagedError(Exception):
    """The compressed data are corrupt or incomplete."""


class Raw(Protocol):
    """A file, read without decompression."""

    def read(self, size: int, /) -> bytes: ...


class _Gzip:
    """Decompressor of one gzip member, with the interface of those of `bz2` and `lzma`."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._member.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._member.decompress(self._member.unconsumed_tail + data, max_length)


MEMBERS: dict[str, Callable[[], Any]] = {".gz": _Gzip, ".bz2": bz2.BZ2Decompressor, ".xz": lzma.LZMADecompressor}
"""A decompressor of one member for each file suffix."""


class Decompressed:
    """The decompressed content of a file."""

    def __init__(self, raw: Raw, suffix: str) -> None:
        self._raw, self._new = raw, MEMBERS[suffix]
        self._member = self._new()

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size` and maybe fewer; empty at the end.

        Raises DamagedError, and the errors of reading the file.
        """
        while True:
            data = b""
            if self._member.eof:
                data = self._member.unused_data.lstrip(PADDING)
                while not data:
                    if not (data := self._raw.read(READ_SIZE)):
                        return b""
                    data = data.lstrip(PADDING)
                self._member = self._new()
            elif self._member.needs_input and not (data := self._raw.read(READ_SIZE)):
                raise DamagedError("it ends in the middle")
            try:
                found: bytes = self._member.decompress(data, size)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
                raise DamagedError(str(error)) from None
            if found:
                return found
