"""Checkpoints: one `.npz` that needs no other file to predict or to resume, written whole or not at all.

Members: `parameter.<name>`, `moment.<moment>.<name>` and `state.<name>` as numbers, and `meta`, UTF-8
JSON as bytes, which holds everything else and a SHA-256 of every other member and of itself. Nothing in it tells of
the time, the machine's name, its user or its folders: equal runs write equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from rnncli import disk
from rnncli.errors import RunError, WriteError
from rnncli.parameters import Array

FORMAT_VERSION = 2  # 1 drew the order of sentences otherwise: a run of it could not go on
PIECE = 1 << 18  # bytes that are read at a time
Meta = dict[str, Any]


def write(path: Path, meta: Mapping[str, Any], members: Mapping[str, Array]) -> None:
    """Write a checkpoint at `path`: a temporary file beside it, fsync, rename, fsync of the folder.

    Raises WriteError with the size that was needed; what stood at `path` before is then untouched.
    """
    content = dict(meta) | {"format_version": FORMAT_VERSION}
    content["sha256"] = {name: _sha256(array) for name, array in members.items()}
    content["meta_sha256"] = hashlib.sha256(_json(content)).hexdigest()
    arrays = dict(members) | {"meta": np.frombuffer(_json(content), np.uint8)}
    temporary = path.with_name(f".{path.name}.tmp")  # one writer holds the run; a killed one's is written over
    try:
        try:
            with open(temporary, "wb") as file:
                _write_archive(file, arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        disk.sync(path.parent)
    except OSError as error:
        need = sum(array.nbytes for array in arrays.values())
        raise WriteError(
            f"{path}: cannot write a checkpoint of {need / 1e6:.1f} MB: {error.strerror or error}; "
            "make room there, or choose another folder with run.dir"
        ) from error


def _write_archive(file: BinaryIO, arrays: Mapping[str, Array]) -> None:
    """Write what `np.savez` writes, byte for byte, without a copy of each array in memory."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            header = np.lib.format.header_data_from_array_1_0(array)
            content = np.ascontiguousarray(array.T if header["fortran_order"] else array)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array_header_1_0(member, header)
                member.write(content.reshape(-1).view(np.uint8).data)


def read_meta(path: Path) -> Meta:
    """Everything that a checkpoint says in words. Raises RunError for a file that is not a whole checkpoint."""
    with opened(path) as stored:
        return stored.meta


def verify(path: Path) -> Meta:
    """The same, once every member has been read and found to be what was written, one after another."""
    with opened(path) as stored:
        for name in stored.names:
            stored.array(name)
        return stored.meta


def read(path: Path, wanted: Callable[[str], bool]) -> tuple[Meta, dict[str, Array]]:
    """The meta data and the members whose names are wanted, each verified before it is given out.

    Raises RunError: no such file, no checkpoint, damaged, or of another format version.
    """
    with opened(path) as stored:
        return stored.meta, {name: stored.array(name) for name in filter(wanted, stored.names)}


@contextmanager
def opened(path: Path) -> Iterator[Stored]:
    """A checkpoint whose members are read one by one. It, and what it has, raise RunError as `read` does."""
    with _told(path):
        size = os.path.getsize(path)
        archive = zipfile.ZipFile(path)
        try:
            stored = Stored(path, archive, size)
        except BaseException:
            archive.close()
            raise
    with archive:
        yield stored


class Stored:
    """An open checkpoint: its meta data, verified, and its members, each verified when it is read."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, size: int) -> None:
        self._path, self._archive, self._size = path, archive, size
        self._entries = {entry.filename: entry for entry in archive.infolist()}
        self.meta = self._read_meta()

    @property
    def names(self) -> list[str]:
        """Of all members."""
        return list(self.meta["sha256"])

    def layout(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and dtype of a member, before anything of it is read. Raises LookupError where there is none."""
        self._expect(name)
        with _told(self._path), self._member(name) as member:
            shape, _, dtype = self._header(name, member)
            return shape, dtype

    def array(self, name: str) -> Array:
        """A member. Raises LookupError where there is none."""
        self._expect(name)
        with _told(self._path), self._member(name) as member:
            shape, fortran_order, dtype = self._header(name, member)
            array: Array = np.empty(shape, dtype, "F" if fortran_order else "C")
            self._fill(name, member, array.T if fortran_order else array)
            self._verify(name, array)
            return array

    def read_into(self, name: str, out: Array) -> None:
        """Read a member of this layout into a contiguous array, without a copy of it; else as `array`."""
        self._expect(name)
        with _told(self._path), self._member(name) as member:
            if self._header(name, member) != (out.shape, False, out.dtype):
                raise ValueError(f"{name} is not laid out as {out.dtype} {out.shape}")
            self._fill(name, member, out)
            self._verify(name, out)

    def _expect(self, name: str) -> None:
        if name not in self.meta["sha256"]:
            raise LookupError(f"{name} is missing")

    def _read_meta(self) -> Meta:
        with self._member("meta") as member:
            shape, _, dtype = self._header("meta", member)
            content = np.empty(shape, dtype)
            self._fill("meta", member, content)
        meta = json.loads(content.tobytes())
        version = meta.get("format_version")
        if version != FORMAT_VERSION:
            raise RunError(
                f"{self._path}: a checkpoint of format version {version}, and this rnncli reads version "
                f"{FORMAT_VERSION}; use the rnncli that wrote it, or train again"
            )
        told = meta.pop("meta_sha256")
        if hashlib.sha256(_json(meta)).hexdigest() != told:
            raise _damaged(self._path, "its meta data does not match its SHA-256")
        return dict(meta)

    def _member(self, name: str) -> IO[bytes]:
        entry = self._entries[f"{name}.npy"]
        # Stored, not compressed, and no larger than the file: no memory is taken on the word of a header.
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > self._size:
            raise ValueError(f"{entry.filename} claims {entry.file_size} bytes in a file of {self._size}")
        return self._archive.open(entry)

    def _header(self, name: str, member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"{name} is of NumPy's format {version}")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(member)
        claimed, there = math.prod(shape) * dtype.itemsize, self._entries[f"{name}.npy"].file_size - member.tell()
        if dtype.hasobject or claimed != there:
            raise ValueError(f"{name} claims {claimed} bytes of {dtype}, and holds {there}")
        return shape, fortran_order, dtype

    def _fill(self, name: str, member: IO[bytes], array: Array) -> None:
        """Read the rest of a member into a contiguous array, a piece at a time."""
        content = array.reshape(-1).view(np.uint8)
        for start in range(0, len(content), PIECE):
            piece = content[start : start + PIECE]
            data = member.read(len(piece))
            if len(data) != len(piece):
                raise EOFError(f"{name} ends early")
            piece[...] = np.frombuffer(data, np.uint8)

    def _verify(self, name: str, array: Array) -> None:
        if _sha256(array) != self.meta["sha256"][name]:
            raise _damaged(self._path, f"the content of {name} does not match its SHA-256")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What goes wrong with a file, as a RunError."""
    try:
        yield
    except FileNotFoundError as error:
        raise RunError(f"{path}: no such checkpoint") from error
    except OSError as error:
        raise RunError(f"{path}: cannot read it: {error.strerror}") from error
    except (
        zipfile.BadZipFile,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        EOFError,
        RuntimeError,  # zipfile's word for an encrypted member
    ) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> RunError:
    return RunError(f"{path}: not a whole checkpoint ({why}); use an earlier one of the run, or train again")


def _sha256(array: Array) -> str:
    """Of dtype, shape and values."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
