"""Append-only arrays that may be larger than memory: in memory while small, then in a file."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from rnncli.errors import TextError, WriteError, reason

LARGEST_IN_MEMORY = 1 << 25  # bytes
PIECE = 1 << 20  # numbers processed at a time


class Spool:
    """A one-dimensional array of `dtype`, written from beginning to end.

    path: its file; without one it is in memory up to `LARGEST_IN_MEMORY` bytes, then in an unnamed temporary file.
    Raises OSError if the file at `path` cannot be written, WriteError if the temporary file cannot.
    """

    def __init__(self, dtype: npt.DTypeLike, path: Path | None = None) -> None:
        self.dtype, self._path, self._bytes = np.dtype(dtype), path, 0
        self._file: io.BytesIO | io.FileIO = io.BytesIO() if path is None else path.open("w+b", buffering=0)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # the file could not be opened
            self._file.close()

    def __len__(self) -> int:
        return self._bytes // self.dtype.itemsize

    def append(self, values: npt.NDArray[Any]) -> None:
        data = np.ascontiguousarray(values, self.dtype).view(np.uint8).data
        if isinstance(self._file, io.BytesIO) and self._bytes + len(data) > LARGEST_IN_MEMORY:
            held, self._file = self._file, _temporary()
            self._write(held.getbuffer())
        self._write(data)
        self._bytes += len(data)

    def pieces(self, start: int, stop: int) -> Iterator[npt.NDArray[Any]]:
        """The numbers from `start` to `stop` in pieces of at most `PIECE`."""
        for at in range(start, stop, PIECE):
            yield self.read(at, min(at + PIECE, stop))

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """The numbers from `start` to `stop`, as an array in memory."""
        values = np.empty(stop - start, self.dtype)
        self._file.seek(start * self.dtype.itemsize)
        left = values.view(np.uint8).data
        while left:
            if not (size := self._file.readinto(left)):
                raise OSError("the file is shorter than what was written to it")
            left = left[size:]
        self._file.seek(0, os.SEEK_END)
        return values

    def array(self) -> npt.NDArray[Any]:
        """The whole array, read-only, as `mapped` gives it. It stays valid after `close`."""
        if isinstance(self._file, io.BytesIO):
            return np.frombuffer(self._file.getvalue(), self.dtype)
        return mapped(self._file, self.dtype)

    def close(self) -> None:
        """Close the file; a temporary one is then deleted."""
        self._file.close()

    def remove(self) -> None:
        """Close and delete the file."""
        self.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _write(self, data: memoryview) -> None:
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            if self._path is not None:
                raise
            raise _no_room(error, self._bytes) from None


def _temporary() -> io.FileIO:
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError as error:
        raise _no_room(error, 0) from None


def _no_room(error: OSError, done: int) -> WriteError:
    folder = tempfile.tempdir or "the folder for temporary files"
    return WriteError(
        f"cannot write: {reason(error)}",
        location=folder,
        remedy=f"{done / 1e6:,.0f} MB of the encoded text are written: make room there for several times as much, or "
        "set TMPDIR to another folder",
    )


def mapped(file: Path | io.FileIO, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The numbers of a file, read-only: in memory up to `LARGEST_IN_MEMORY` bytes, else mapped. Raises OSError.

    A map needs its file to stay as it is: call `expect_whole` before reading it.
    """
    size = file.stat().st_size if isinstance(file, Path) else os.fstat(file.fileno()).st_size
    if size > LARGEST_IN_MEMORY:
        return np.memmap(file, dtype, mode="r").view(np.ndarray)
    if isinstance(file, Path):
        return np.frombuffer(file.read_bytes(), dtype)
    file.seek(0)
    return np.frombuffer(file.readall(), dtype)


def expect_whole(array: npt.NDArray[Any]) -> None:
    """Raise TextError if an array is mapped from a file that was cut short since: to read it would end the process.

    The system answers a read beyond the end of a mapped file with SIGBUS.
    """
    whole: Any = array
    while not isinstance(whole, np.memmap | None):
        whole = getattr(whole, "base", None)  # a view has its array as base, an array its buffer
    if whole is not None and whole.nbytes > _size_now(whole):
        raise TextError(
            "the encoded text was cut short by another program while it was in use",
            location=str(whole.filename),
            remedy="start again: it is encoded anew",
        )


def _size_now(whole: np.memmap[Any, Any]) -> int:
    """Size of a mapped file, 0 if the system cannot tell."""
    try:
        return cast(mmap.mmap, whole.base).size()
    except OSError:
        return 0
