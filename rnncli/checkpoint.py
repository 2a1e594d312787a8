"""Checkpoints: one `.npz` that needs no other file to predict or to resume, written whole or not at all.

Members: `parameter.<name>`, `moment.<moment>.<name>` and `state.<name>` as numbers, and `meta`, UTF-8
JSON as bytes, which holds everything else and a SHA-256 of every other member and of itself. Nothing in it tells of
the time, the machine's name, its user or its folders: equal runs write equal bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnncli.errors import RunError, WriteError
from rnncli.parameters import Array

FORMAT_VERSION = 1
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
                np.savez(file, **arrays)  # type: ignore[arg-type]  # names are not those of its options
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _fsync_folder(path.parent)
    except OSError as error:
        need = sum(array.nbytes for array in arrays.values())
        raise WriteError(
            f"{path}: cannot write a checkpoint of {need / 1e6:.1f} MB: {error.strerror or error}; "
            "make room there, or choose another folder with run.dir"
        ) from error


def read_meta(path: Path) -> Meta:
    """Everything that a checkpoint says in words. Raises RunError for a file that is not a whole checkpoint."""
    return read(path, lambda name: False)[0]


def read(path: Path, wanted: Callable[[str], bool]) -> tuple[Meta, dict[str, Array]]:
    """The meta data and the members whose names are wanted, each verified before it is given out.

    Raises RunError: no such file, no checkpoint, damaged, or of another format version.
    """
    try:
        size = os.path.getsize(path)
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            meta = _read_meta(path, archive, entries, size)
            hashes = meta["sha256"]
            members = {}
            for name in filter(wanted, hashes):
                members[name] = _read_array(archive, entries[f"{name}.npy"], size)
                if _sha256(members[name]) != hashes[name]:
                    raise _damaged(path, f"the content of {name} does not match its SHA-256")
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
    return meta, members


def _read_meta(path: Path, archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], size: int) -> Meta:
    meta = json.loads(_read_array(archive, entries["meta.npy"], size).tobytes())
    version = meta.get("format_version")
    if version != FORMAT_VERSION:
        raise RunError(
            f"{path}: a checkpoint of format version {version}, and this rnncli reads version {FORMAT_VERSION}; "
            "use the rnncli that wrote it, or train again"
        )
    told = meta.pop("meta_sha256")
    if hashlib.sha256(_json(meta)).hexdigest() != told:
        raise _damaged(path, "its meta data does not match its SHA-256")
    return dict(meta)


def _read_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, size: int) -> Array:
    # Stored, not compressed, and no larger than the file: no memory is taken on the word of a header.
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > size:
        raise ValueError(f"{entry.filename} claims {entry.file_size} bytes in a file of {size}")
    data = io.BytesIO(archive.read(entry))
    version = np.lib.format.read_magic(data)
    if version != (1, 0):
        raise ValueError(f"{entry.filename} is of NumPy's format {version}")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(data)
    claimed, there = math.prod(shape) * dtype.itemsize, entry.file_size - data.tell()
    if dtype.hasobject or claimed != there:
        raise ValueError(f"{entry.filename} claims {claimed} bytes of {dtype}, and holds {there}")
    array: Array = np.frombuffer(data.read(), dtype).reshape(shape, order="F" if fortran_order else "C")
    return array


def _damaged(path: Path, why: str) -> RunError:
    return RunError(f"{path}: not a whole checkpoint ({why}); use an earlier one of the run, or train again")


def _sha256(array: Array) -> str:
    """Of dtype, shape and values."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _fsync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows opens no folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
