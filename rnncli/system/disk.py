"""Atomic, durable writes and advisory locks."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from rnncli.errors import WriteError, reason

TEMPORARY = re.compile(r"\..+\.\d+\.tmp")


@contextmanager
def writing(path: Path, remedy: str = "make room there, or set run.dir") -> Iterator[None]:
    """Raise every OSError of the block as a WriteError: `<path>: cannot write: <reason>; <remedy>`."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"cannot write: {reason(error)}", location=str(path), remedy=remedy) from error


@contextmanager
def replacing(
    path: Path, check: Callable[[Path], object] = lambda path: None, durable: bool = True
) -> Iterator[BinaryIO]:
    """Yield a file that replaces `path` at the end: all of it or nothing. Raises OSError, and what `check` raises.

    It is written under a temporary name in the same folder, synced, checked and renamed; then the folder is synced.
    If not `durable`, nothing is synced: the file survives a crash of the process, but maybe not of the system.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)  # left by an earlier process with this id
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        check(temporary)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents, and sync each. Raises OSError."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def clear(folder: Path) -> None:
    """Remove temporary files of killed processes; no other process may be writing to the folder."""
    with suppress(OSError):
        for path in folder.iterdir():
            if TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush a file, or the list of files of a folder, to the disk. Raises OSError."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open a folder
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(descriptor: int, shared: bool = False) -> bool:
    """Try to lock an open file or folder; whether it was free. The kernel releases the lock when the process ends.

    Any number of processes can hold a `shared` lock. Always true on systems without `flock` (Windows). Raises OSError
    if the file system has no locks.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
