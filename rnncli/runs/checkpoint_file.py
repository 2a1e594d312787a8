"""Checkpoints: one `.npz` that needs no other file to predict or to resume, written whole or not at all.

Members: `parameter.<name>`, `moment.<moment>.<name>` and `state.<name>` as numbers, and `meta`, UTF-8
JSON as bytes, which holds everything else and a SHA-256 of every other member and of itself. Nothing in it tells of
the time, the machine's name, its user or its folders: equal runs write equal bytes. docs/checkpoints.md has the whole
format, and what is done about older versions of it.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rnncli.system import disk
from rnncli.runs import npz
from rnncli.errors import RunError, WriteError
from rnncli.model.parameters import Array

FORMAT_VERSION = 3  # 2 had no guard, 1 drew the order of sentences otherwise
READABLE = (2, 3)
ROOM = 60_000_000  # bytes of memory that meta data may take beyond twice the file
PIECE = 1 << 18  # bytes that are hashed at a time
Meta = dict[str, Any]


class OtherVersionError(RunError):
    """A checkpoint of a format version that is not read."""


def write(path: Path, meta: Mapping[str, Any], members: Mapping[str, Array], durable: bool = True) -> None:
    """Write a checkpoint at `path`: a temporary file beside it, fsync, read back and verified, rename, fsync of the
    folder. Without `durable` it outlives a killed process, and may not outlive the system.

    Raises WriteError with the size that was needed; what stood at `path` before is then untouched.
    """
    content = dict(meta) | {"format_version": FORMAT_VERSION}
    content["sha256"] = {name: _sha256(array) for name, array in members.items()}
    content["meta_sha256"] = hashlib.sha256(_json(content)).hexdigest()
    arrays = dict(members) | {"meta": np.frombuffer(_json(content), np.uint8)}
    try:
        with disk.replacing(path, verify, durable) as file:
            npz.write(file, arrays)
    except OSError as error:
        need = sum(array.nbytes for array in arrays.values())
        raise WriteError(
            f"{path}: cannot write a checkpoint of {need / 1e6:.1f} MB: {error.strerror or error}; "
            "make room there, or choose another folder with run.dir"
        ) from error
    except RunError as error:
        raise WriteError(
            f"{path}: what was read back is not what was written ({error}); the disk or the memory of this machine "
            "is failing: go on elsewhere, with run.dir on another disk"
        ) from error


def verify(path: Path) -> Meta:
    """Everything that a checkpoint says in words, once every member was found to be what was written, one after
    another. Raises RunError for a file that is not a whole checkpoint.
    """
    with opened(path) as stored:
        for name in stored.names:
            stored.check(name)
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
        if stat.S_ISFIFO(path.stat().st_mode):  # which would be waited for
            raise ValueError("it is a pipe")
        file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed below
    with file:
        with _told(path):
            stored = Stored(path, npz.Archive(file))
        yield stored


class Stored:
    """An open checkpoint: its meta data, verified, and its members, each verified when it is read."""

    def __init__(self, path: Path, archive: npz.Archive) -> None:
        self._path, self._archive = path, archive
        self.meta = self._read_meta()
        members = sorted([*self.meta["sha256"], "meta"])
        if members != sorted(archive.names):
            raise ValueError("its members are not those that its meta data tells of")

    @property
    def names(self) -> list[str]:
        """Of all members."""
        return list(self.meta["sha256"])

    def layout(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and dtype of a member, before anything of it is read. Raises LookupError where there is none."""
        self._expect(name)
        with _told(self._path):
            found = self._archive.layout(name)
            return found.shape, found.dtype

    def array(self, name: str) -> Array:
        """A member. Raises LookupError where there is none."""
        self._expect(name)
        with _told(self._path):
            found = self._archive.layout(name)
            array: Array = np.empty(found.shape, found.dtype, "F" if found.fortran_order else "C")
            self._fill(name, found, array)
            return array

    def check(self, name: str) -> None:
        """Find a member to be what was written, a piece at a time. Raises LookupError where there is none."""
        self._expect(name)
        with _told(self._path):
            found = self._archive.layout(name)
            if found.fortran_order:  # whose SHA-256 is of another order than that of the file
                self.array(name)
                return
            digest = _digest(found.dtype, found.shape)
            for start in range(0, found.size, PIECE):
                piece = bytearray(min(PIECE, found.size - start))
                self._archive.read_into(found, memoryview(piece), start)
                digest.update(piece)
                _expect_finite(name, np.frombuffer(piece, found.dtype))
            self._compare(name, digest.hexdigest())

    def read_into(self, name: str, out: Array) -> None:
        """Read a member of this layout into a contiguous array, without a copy of it; else as `array`."""
        self._expect(name)
        with _told(self._path):
            found = self._archive.layout(name)
            if (found.shape, found.fortran_order, found.dtype) != (out.shape, False, out.dtype):
                raise ValueError(f"{name} is not laid out as {out.dtype} {out.shape}")
            self._fill(name, found, out)

    def _expect(self, name: str) -> None:
        if name not in self.meta["sha256"]:
            raise LookupError(f"{name} is missing")

    def _fill(self, name: str, layout: npz.Layout, array: Array) -> None:
        flat = (array.T if layout.fortran_order else array).reshape(-1)
        self._archive.read_into(layout, flat.view(np.uint8).data)
        self._compare(name, _sha256(array))
        _expect_finite(name, array)

    def _compare(self, name: str, sha256: str) -> None:
        if sha256 != self.meta["sha256"][name]:
            raise _damaged(self._path, f"the content of {name} does not match its SHA-256")

    def _read_meta(self) -> Meta:
        found = self._archive.layout("meta")
        if found.dtype != np.uint8 or len(found.shape) != 1:
            raise ValueError(f"its meta data is {found.dtype} {found.shape}, no text")
        content = bytearray(found.size)
        self._archive.read_into(found, memoryview(content))
        need = _memory_of(content)
        if need > 2 * self._archive.size + ROOM:
            raise ValueError(f"its meta data takes {need / 1e6:.0f} MB, in a file of {self._archive.size / 1e6:.1f} MB")
        meta = json.loads(content)
        if not isinstance(meta, dict):
            raise ValueError("its meta data is no JSON object")
        version = meta.get("format_version")
        if type(version) is not int or version not in READABLE:
            raise OtherVersionError(
                f"{self._path}: a checkpoint of format version {reprlib.repr(version)}, and this rnncli reads versions "
                f"{' and '.join(map(str, READABLE))}; use the rnncli that wrote it, or train again"
            )
        if _json(meta) != content:  # other spaces, a key twice, NaN
            raise _damaged(self._path, "its meta data is not written as it was")
        told = meta.pop("meta_sha256")
        if hashlib.sha256(_json(meta)).hexdigest() != told:
            raise _damaged(self._path, "its meta data does not match its SHA-256")
        return meta


def _expect_finite(name: str, array: Array) -> None:
    if array.size and array.dtype.kind == "f" and not (np.isfinite(array.min()) and np.isfinite(array.max())):
        raise ValueError(f"{name} has numbers that are not finite")


def _memory_of(content: bytearray) -> int:
    """At most so many bytes takes it to read a JSON text and to write it again: the text, its characters three times,
    and an object for each value.
    """
    width = 1 if content.isascii() else 2 if max(content) < 0xF0 else 4
    objects = ((b",", 40), (b'"', 28), (b"[", 64), (b"{", 64), (b":", 120))
    return (2 + 3 * width) * len(content) + sum(size * content.count(mark) for mark, size in objects)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What goes wrong with a file, as a RunError."""
    try:
        yield
    except FileNotFoundError as error:
        raise RunError(f"{path}: no such checkpoint") from error
    except OSError as error:
        raise RunError(f"{path}: cannot read it: {error.strerror}") from error
    except (LookupError, ValueError, TypeError, AttributeError, EOFError, RecursionError, MemoryError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, why: str) -> RunError:
    return RunError(f"{path}: not a whole checkpoint ({why}); use an earlier one of the run, or train again")


def _digest(dtype: np.dtype[Any], shape: tuple[int, ...]) -> hashlib._Hash:
    """A SHA-256 that has the dtype and the shape of an array; its values are still to come, in C order."""
    return hashlib.sha256(f"{dtype.str} {shape} ".encode())


def _sha256(array: Array) -> str:
    """Of dtype, shape and values."""
    digest = _digest(array.dtype, array.shape)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
