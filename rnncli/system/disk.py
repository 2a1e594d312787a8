"""Atomic, durable writes and advisory locks."""

from __future__ import annotations

import errno
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from rnncli.errors import WriteError, reason

TEMPORARY = re.compile(r"\..+\.\d+\.tmp")
# Errors of an operation that a file system does not have.
MISSING = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def writing(path: Path, remedy: str = "make room there, or set run.dir") -> Iterator[None]:
    """Raise every OSError of the block as a WriteError: `<path>: cannot write: <reason>; <remedy>`."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EFBIG:
            remedy += " (`ulimit -f` limits the size of files)"
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
            if durable:
                flush(file)
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
    """Flush a file, or the list of files of a folder, to the disk, if the file system can. Raises OSError."""
    folder = path.is_dir()
    if os.name == "nt" and folder:  # Windows cannot open a folder
        return
    # Some folders can be written but not opened, and some file systems flush only what is open for writing.
    with _if_possible(path if folder else path.parent, *((errno.EACCES, errno.EBADF) if folder else ())):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def flush(file: BinaryIO) -> None:
    """Flush an open file to the disk, if the file system can. Raises OSError."""
    file.flush()
    with _if_possible(Path(file.name).parent):
        os.fsync(file.fileno())


@contextmanager
def _if_possible(folder: Path, *also: int) -> Iterator[None]:
    """Go on if this folder's file system cannot flush files, as shared folders of virtual machines; warn once."""
    try:
        yield
    except OSError as error:
        if error.errno not in (*MISSING, *also):
            raise
        if not _unflushed:
            _unflushed.append(folder)
            what = "this file system cannot flush files to the disk"
            warnings.warn(f"{folder}: {what}; a power failure may lose what was written last", stacklevel=2)


_unflushed: list[Path] = []


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
