"""The file format of checkpoints: one `.npz`, written atomically; no other file of the run is needed to use it.

Members: `parameter.<name>`, `moment.<moment>.<name>` and `state.<name>` are arrays of numbers; `meta` is UTF-8 JSON as
bytes, with everything else and a SHA-256 of every other member and of itself. It contains no time, host name, user name
or folder: equal runs write equal bytes. docs/checkpoints.md specifies the format and how older versions are read.
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

from rnncli.errors import RunError, WriteError, reason
from rnncli.runs import npz
from rnncli.system import disk
from rnncli.system.arrays import Array

FORMAT_VERSION = 3  # 2 had no guard, 1 drew the order of sentences otherwise
REMEDY = "set run.dir to another folder"  # if a checkpoint of a run cannot be written
READABLE = (2, 3)
META_MEMORY = 60_000_000  # bytes of memory that metadata may need, in addition to twice the size of the file
PIECE = 1 << 18  # bytes hashed at a time
Meta = dict[str, Any]


class OtherVersionError(RunError):
    """The checkpoint has a format version that this rnncli does not read."""


def write(
    path: Path,
    meta: Mapping[str, Any],
    members: Mapping[str, Array],
    durable: bool = True,
    remedy: str = REMEDY,
) -> None:
    """Write a checkpoint at `path`: write a temporary file in the same folder, fsync it, read it back and verify it,
    rename it, fsync the folder. Without `durable` no fsync: it survives a killed process, but not always a power cut.

    Raises WriteError, which names the size needed and the `remedy`; an older file at `path` is then unchanged.
    """
    content = dict(meta) | {"format_version": FORMAT_VERSION}
    content["sha256"] = {name: _sha256(array) for name, array in members.items()}
    content["meta_sha256"] = hashlib.sha256(_json(content)).hexdigest()
    arrays = dict(members) | {"meta": np.frombuffer(_json(content), np.uint8)}
    need = sum(array.nbytes for array in arrays.values())
    room = f"the checkpoint needs {need / 1e6:.1f} MB: make room there, or {remedy}"
    try:
        with disk.writing(path, room), disk.replacing(path, verify, durable) as file:
            npz.write(file, arrays)
    except RunError as error:
        raise WriteError(
            f"the bytes read back differ from those written ({error})",
            location=str(path),
            remedy=f"the disk or the memory of this machine is failing: use another machine, or {remedy} on another "
            "disk",
        ) from error


def verify(path: Path) -> Meta:
    """Verify every byte of a checkpoint, member by member, then return its metadata. Raises RunError as `read` does."""
    with opened(path) as stored:
        for name in stored.names:
            stored.check(name)
        return stored.meta


def read(path: Path, wanted: Callable[[str], bool]) -> tuple[Meta, dict[str, Array]]:
    """The metadata and the members whose names are `wanted`, each verified.

    Raises RunError if the file does not exist, is no checkpoint, is damaged or has another format version.
    """
    with opened(path) as stored:
        return stored.meta, {name: stored.array(name) for name in filter(wanted, stored.names)}


@contextmanager
def opened(path: Path) -> Iterator[CheckpointFile]:
    """Open a checkpoint to read its members one by one. Raises RunError as `read` does."""
    with _damage_reported(path):
        if stat.S_ISFIFO(path.stat().st_mode):  # opening it would block
            raise ValueError("it is a pipe")
        file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed below
    with file:
        with _damage_reported(path):
            stored = CheckpointFile(path, npz.Archive(file))
        yield stored


class CheckpointFile:
    """An open checkpoint: its metadata, verified, and its members, each verified when it is read.

    Every method raises ValueError for a member that does not exist, and RunError for one that is damaged.
    """

    def __init__(self, path: Path, archive: npz.Archive) -> None:
        self._path, self._archive = path, archive
        try:
            self.meta = self._read_meta()
        except (RecursionError, MemoryError) as error:  # raised by `json`
            raise ValueError(f"its metadata is nested too deeply, or too large: {error}") from error
        if sorted([*self.meta["sha256"], "meta"]) != sorted(archive.names):
            raise ValueError("its members differ from those that its metadata lists")

    @property
    def names(self) -> list[str]:
        """Of all members except `meta`."""
        return list(self.meta["sha256"])

    def layout(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and dtype of a member, from its header."""
        self._expect(name)
        with _damage_reported(self._path):
            found = self._archive.layout(name)
            return found.shape, found.dtype

    def array(self, name: str) -> Array:
        """Read and verify a member; the result is C-contiguous whatever the order in the file."""
        self._expect(name)
        with _damage_reported(self._path):
            found = self._archive.layout(name)
            array: Array = np.empty(found.shape, found.dtype, "F" if found.fortran_order else "C")
            self._fill(name, found, array)
            return np.asarray(array, order="C")

    def check(self, name: str) -> None:
        """Verify a member, piece by piece."""
        self._expect(name)
        with _damage_reported(self._path):
            found = self._archive.layout(name)
            if found.fortran_order:  # SHA-256 is taken in C order, which differs from the order in the file
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
        """Read and verify a member into a C-contiguous array of the same shape and dtype, without a copy."""
        self._expect(name)
        with _damage_reported(self._path):
            found = self._archive.layout(name)
            if (found.shape, found.fortran_order, found.dtype) != (out.shape, False, out.dtype):
                raise ValueError(f"{name} is not stored as {out.dtype} {out.shape} in C order")
            self._fill(name, found, out)

    def _expect(self, name: str) -> None:
        if name not in self.meta["sha256"]:
            raise ValueError(f"{name} is missing")

    def _fill(self, name: str, layout: npz.Layout, array: Array) -> None:
        flat = (array.T if layout.fortran_order else array).reshape(-1)
        self._archive.read_into(layout, flat.view(np.uint8).data)
        self._compare(name, _sha256(array))
        _expect_finite(name, array)

    def _compare(self, name: str, sha256: str) -> None:
        if sha256 != self.meta["sha256"][name]:
            raise ValueError(f"the content of {name} does not match its SHA-256")

    def _read_meta(self) -> Meta:
        found = self._archive.layout("meta")
        if found.dtype != np.uint8 or len(found.shape) != 1:
            raise ValueError(f"its metadata is {found.dtype} {found.shape}, not text")
        content = bytearray(found.size)
        self._archive.read_into(found, memoryview(content))
        need = _memory_bound(content)
        if need > 2 * self._archive.size + META_MEMORY:
            raise ValueError(f"its metadata takes {need / 1e6:.0f} MB, in a file of {self._archive.size / 1e6:.1f} MB")
        meta = json.loads(content)
        if not isinstance(meta, dict):
            raise ValueError("its metadata is not a JSON object")
        version = meta.get("format_version")
        if type(version) is not int or version not in READABLE:
            raise OtherVersionError(
                f"a checkpoint of format version {reprlib.repr(version)}, and this rnncli reads versions "
                f"{' and '.join(map(str, READABLE))}",
                location=str(self._path),
                remedy="use the rnncli that wrote it, or train again",
            )
        if _json(meta) != content:  # other spaces, a duplicate key; ValueError for NaN
            raise ValueError("its metadata is not the JSON that rnncli writes")
        if not isinstance(meta.get("sha256"), dict):
            raise ValueError("its metadata lists no SHA-256 of the members")
        stored = meta.pop("meta_sha256", None)
        if hashlib.sha256(_json(meta)).hexdigest() != stored:
            raise ValueError("its metadata does not match its SHA-256")
        return meta


def _expect_finite(name: str, array: Array) -> None:
    if array.size and array.dtype.kind == "f" and not (np.isfinite(array.min()) and np.isfinite(array.max())):
        raise ValueError(f"{name} contains numbers that are not finite")


def _memory_bound(content: bytearray) -> int:
    """Upper bound, in bytes, on memory to parse a JSON text and serialise it again: the text, its characters three
    times, and an object for each value.
    """
    width = 1 if content.isascii() else 2 if max(content) < 0xF0 else 4
    objects = ((b",", 40), (b'"', 28), (b"[", 64), (b"{", 64), (b":", 120))
    return (2 + 3 * width) * len(content) + sum(size * content.count(mark) for mark, size in objects)


@contextmanager
def _damage_reported(path: Path) -> Iterator[None]:
    """Raise as a RunError what the content of a file, or the system, can cause; every other exception is a bug."""
    try:
        yield
    except FileNotFoundError as error:
        raise RunError("no such checkpoint", location=str(path)) from error
    except OSError as error:
        raise RunError(f"cannot read it: {reason(error)}", location=str(path)) from error
    except (ValueError, EOFError) as error:
        raise RunError(
            f"not a valid checkpoint ({error})",
            location=str(path),
            remedy="use an earlier one of the run, or train again",
        ) from error


def _digest(dtype: np.dtype[Any], shape: tuple[int, ...]) -> hashlib._Hash:
    """A SHA-256 over the dtype and shape of an array, to be updated with its values in C order."""
    return hashlib.sha256(f"{dtype.str} {shape} ".encode())


def _sha256(array: Array) -> str:
    """SHA-256 of the dtype, shape and values of an array."""
    digest = _digest(array.dtype, array.shape)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
