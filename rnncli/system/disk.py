"""What the system must be asked for so that files outlive a crash, and are written by one process."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

TEMPORARY = re.compile(r"\..+\.\d+\.tmp")


@contextmanager
def replacing(
    path: Path, check: Callable[[Path], object] = lambda path: None, durable: bool = True
) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` at the end, whole, or not at all. Raises OSError, and what `check` raises.

    It is written beside it under a name of its own, synced, checked, and renamed; then the folder is synced. Without
    `durable` nothing is synced: it outlives the process, and may not outlive the system.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)  # of a process that is no more and had this number
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
    """Make a folder and those above it that are not there, each of them durable. Raises OSError."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def clear(folder: Path) -> None:
    """Remove what killed processes left half written in a folder; nobody else may be writing there."""
    with suppress(OSError):
        for path in folder.iterdir():
            if TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have the system write a file to the disk, or which files a folder holds. Raises OSError."""
    if os.name == "nt" and path.is_dir():  # Windows opens no folder
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock(descriptor: int, shared: bool = False) -> bool:
    """Take the lock of an open file or folder, and say whether it was free; the kernel frees it when the process ends,
    however it ends. Any number may share it. A system without `flock` (Windows) has no such lock: it is always free.
    Raises OSError where the file system has none.
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
