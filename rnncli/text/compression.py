"""Compressed files, one member after another. What stands behind a member is another, or nothing: else it is damaged.

The standard library's `bz2.open` and `lzma.open` take a damaged second member for garbage, and leave it out.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any, Protocol

BLOCK = 1 << 16  # bytes of the compressed file, read at a time
PADDING = b"\0"


class DamagedError(Exception):
    """What was read is not what was compressed."""


class Raw(Protocol):
    """A file as it lies there."""

    def read(self, size: int, /) -> bytes: ...


class _Gzip:
    """`zlib`'s decompressor of one gzip member, as those of `bz2` and `lzma` are."""

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
"""By the suffix of a file's name."""


class Decompressed:
    """The content of a compressed file."""

    def __init__(self, raw: Raw, suffix: str) -> None:
        self._raw, self._new = raw, MEMBERS[suffix]
        self._member = self._new()

    def read(self, size: int) -> bytes:
        """Some of the bytes that come next, at most `size`; none at the end.

        Raises DamagedError, and what reading the file raises.
        """
        while True:
            data = b""
            if self._member.eof:
                data = self._member.unused_data.lstrip(PADDING)
                while not data:
                    if not (data := self._raw.read(BLOCK)):
                        return b""
                    data = data.lstrip(PADDING)
                self._member = self._new()
            elif self._member.needs_input and not (data := self._raw.read(BLOCK)):
                raise DamagedError("it ends in the middle")
            try:
                found: bytes = self._member.decompress(data, size)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
                raise DamagedError(str(error)) from None
            if found:
                return found
