"""`.npz` archives of numeric arrays: written as `np.savez` writes them; read only if they have that layout.

An archive is a sequence of members, each a zip header and a `.npy` file, and then a directory of them. Sizes must agree
with each other and with the file before memory is allocated; nothing may be compressed, overlap, occur twice or be left
over; no header is evaluated. The content of members is not verified here.
"""

from __future__ import annotations

import math
import re
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import RawIOBase
from typing import Any, BinaryIO

import numpy as np

from rnncli.system.arrays import Array

MOST_MEMBERS = 100_000  # a model of 1,000 layers has about 20,000
LONGEST_NAME = 1000  # bytes

# Zip structures (PKWARE's APPNOTE 6.3, 4.3.7, 4.3.12 and 4.3.14 to 4.3.16), all little-endian.
LOCAL = struct.Struct("<4s5H3L2H")
DIRECTORY = struct.Struct("<4s6H3L5H2L")
END_RECORD = struct.Struct("<4s4H2LH")
LOCATOR_64 = struct.Struct("<4sLQL")
END_RECORD_64 = struct.Struct("<4sQ2H2L4Q")
IN_ZIP64 = 0xFFFFFFFF  # placeholder for a number that is in the ZIP64 extra field
UTF8 = 0x800

NPY = struct.Struct("<6sBBH")
HEADER = re.compile(
    r"\{'descr': '([<>][iuf][248]|[|][biu]1)', 'fortran_order': (True|False), "
    r"'shape': \(((?:[0-9]{1,19}, ?)*(?:[0-9]{1,19})?)\), \} *\n"
)


def write(file: BinaryIO, arrays: Mapping[str, Array]) -> None:
    """Write the same bytes as `np.savez`, without a copy of each array in memory."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            header = np.lib.format.header_data_from_array_1_0(array)
            content = np.ascontiguousarray(array.T if header["fortran_order"] else array)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, header)
                member.write(content.reshape(-1).view(np.uint8).data)


@dataclass(frozen=True)
class _Member:
    """Start and size of the `.npy` file of a member, in bytes of the archive."""

    start: int
    size: int


@dataclass(frozen=True)
class Layout:
    """Shape, dtype and order of an array, and where its numbers start in the archive."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    start: int

    @property
    def size(self) -> int:
        """Size of the numbers, in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


class Archive:
    """An open archive. Every method raises ValueError or EOFError if the file does not have the expected layout."""

    def __init__(self, file: RawIOBase) -> None:
        """Locate the members of the archive in an open file."""
        self._file = file
        self.size = file.seek(0, 2)
        self._members = self._walk(*self._end())

    @property
    def names(self) -> list[str]:
        """Names of all members, in the order of the archive."""
        return list(self._members)

    def layout(self, name: str) -> Layout:
        """Layout of a member, from its header. Raises ValueError if the member does not exist."""
        if name not in self._members:
            raise ValueError(f"{name} is missing")
        member = self._members[name]
        magic, major, minor, length = NPY.unpack(self._read(member.start, NPY.size))
        if (magic, major, minor) != (np.lib.format.MAGIC_PREFIX, 1, 0):
            raise ValueError(f"{name} is not an array of NumPy's format 1.0")
        start = member.start + NPY.size + length
        header = self._read(member.start + NPY.size, length).decode("latin1") if length < 10_000 else ""
        found = HEADER.fullmatch(header)
        if found is None:
            raise ValueError(f"{name} is not an array of plain numbers")
        shape = tuple(int(number) for number in found[3].split(",") if number.strip())
        layout = Layout(shape, np.dtype(found[1]), found[2] == "True", start)
        if layout.size != member.start + member.size - start:
            raise ValueError(f"{name} claims {layout.size} bytes, and contains {member.start + member.size - start}")
        return layout

    def read_into(self, layout: Layout, content: memoryview, start: int = 0) -> None:
        """Fill `content` with the numbers of a member, from their byte `start`."""
        self._file.seek(layout.start + start)
        self._fill(content)

    def _fill(self, content: memoryview) -> None:
        while content:
            read = self._file.readinto(content)
            if not read:
                raise EOFError("the file ends early")
            content = content[read:]

    def _read(self, start: int, size: int) -> bytes:
        """A few bytes of the file."""
        self._file.seek(start)
        content = bytearray(size)
        self._fill(memoryview(content))
        return bytes(content)

    def _end(self) -> tuple[int, int, int]:
        """Number of members, start and end of the directory, from the end record of the file."""
        at = self.size - END_RECORD.size
        if at < 0:
            raise ValueError("too short for an archive")
        signature, *disks, here, count, size, start, comment = END_RECORD.unpack(self._read(at, END_RECORD.size))
        if signature != b"PK\5\6" or comment:
            raise ValueError("it does not end with the record of an archive")
        if start + size != at:  # zipfile adds a ZIP64 record from 2 GB, though all numbers fit up to 4 GB
            at -= LOCATOR_64.size
            signature, _, found, _ = LOCATOR_64.unpack(self._read(max(at, 0), LOCATOR_64.size))
            at -= END_RECORD_64.size
            if signature != b"PK\6\7" or found != at:
                raise ValueError("it does not end with the records of a large archive")
            signature, *_, first, second, here, count, size, start = END_RECORD_64.unpack(
                self._read(at, END_RECORD_64.size)
            )
            if signature != b"PK\6\6":
                raise ValueError("it does not end with the records of a large archive")
            disks = [first, second]
        if any(disks) or here != count or start + size != at:
            raise ValueError("its directory is not where it should be")
        if count > MOST_MEMBERS:
            raise ValueError(f"it claims to have {count} members")
        return count, start, at

    def _walk(self, count: int, start: int, end: int) -> dict[str, _Member]:
        """The members by name. Each entry of the directory must match the member at its offset, in sequence."""
        directory = memoryview(self._read(start, end - start))
        members: dict[str, _Member] = {}
        at = 0  # in the archive
        for _ in range(count):
            name, size, offset, length = _entry(directory)
            directory = directory[length:]
            if offset != at:
                raise ValueError(f"{name!r} is not where it should be")
            content = at + self._local(at, name, size)
            at = content + size
            if at > start:
                raise ValueError(f"{name!r} claims {size} bytes in a file of {self.size}")
            if not name.endswith(".npy") or (name := name.removesuffix(".npy")) in members:
                raise ValueError(f"it has an unexpected member {name!r}")
            members[name] = _Member(content, size)
        if directory or at != start:
            raise ValueError("something is left over in it")
        return members

    def _local(self, at: int, name: str, size: int) -> int:
        """Length of the header of a member, which must match the entry of the directory."""
        header = self._read(at, LOCAL.size)
        signature, _, flags, method, _, _, _, packed, whole, name_length, more = LOCAL.unpack(header)
        rest = self._read(at + LOCAL.size, name_length + more)
        if whole == packed == IN_ZIP64 and more == 20:
            kind, length, whole, packed = struct.unpack("<2H2Q", rest[name_length:])
            if (kind, length) != (1, 16):
                raise ValueError(f"the header of {name!r} is damaged")
        same = rest[:name_length] == name.encode() and (whole, packed) == (size, size)
        if signature != b"PK\3\4" or flags & ~UTF8 or method != zipfile.ZIP_STORED or not same:
            raise ValueError(f"the header of {name!r} is damaged, or it is compressed")
        return LOCAL.size + len(rest)


def _entry(directory: memoryview) -> tuple[str, int, int, int]:
    """The first entry of the directory: name, size and offset of a member, and the length of the entry."""
    if len(directory) < DIRECTORY.size:
        raise ValueError("its directory is cut off")
    signature, _, _, flags, method, _, _, _, packed, whole, name_length, more, comment, *_, offset = DIRECTORY.unpack(
        directory[: DIRECTORY.size]
    )
    length = DIRECTORY.size + name_length + more + comment
    if signature != b"PK\1\2" or len(directory) < length or name_length > LONGEST_NAME or comment:
        raise ValueError("its directory is damaged")
    name = bytes(directory[DIRECTORY.size : DIRECTORY.size + name_length]).decode()
    if flags & ~UTF8 or method != zipfile.ZIP_STORED:
        raise ValueError(f"{name!r} is compressed, or encrypted")
    large = list(_large(bytes(directory[length - more : length])))[::-1]
    numbers = [large.pop() if number == IN_ZIP64 and large else number for number in (whole, packed, offset)]
    if numbers[0] != numbers[1]:
        raise ValueError(f"{name!r} has {numbers[0]} bytes, and {numbers[1]} stored")
    return name, numbers[0], numbers[2], length


def _large(extra: bytes) -> tuple[int, ...]:
    """The numbers in a ZIP64 extra field, the only kind of extra field that is allowed."""
    if not extra:
        return ()
    kind, length = struct.unpack("<2H", extra[:4]) if len(extra) >= 4 else (0, 0)
    if kind != 1 or length != len(extra) - 4 or length % 8:
        raise ValueError("its directory has an unexpected field")
    return struct.unpack(f"<{length // 8}Q", extra[4:])
