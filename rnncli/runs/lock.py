"""One writer per run folder: a lock that the kernel frees when the process ends, even if it is killed."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rnncli.errors import RunInUseError
from rnncli.system import disk

NAME = ".lock"
PATIENCE = 0.1  # seconds; `holder` takes the lock for much less than that
NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # so that opening a pipe of that name does not block
FLAGS = getattr(os, "O_CLOEXEC", 0) | NONBLOCK


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Lock a folder for this process.

    Raises RunInUseError, which names the holder, if another process holds it, and WriteError. Without `flock`
    (Windows) nothing is locked.
    """
    with disk.writing(folder / NAME, "set run.dir to a folder that can be written and locked"):
        descriptor = _locked(folder)
    try:
        with suppress(OSError):  # disk full: the lock holds without the name
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        with suppress(OSError):  # so that this name is not read while the next holder has the lock
            os.ftruncate(descriptor, 0)
        os.close(descriptor)


def _locked(folder: Path) -> int:
    """Descriptor of the lock file, open and locked.

    Retries for a while: `holder` takes the lock for an instant, and another process may move the folder aside between
    opening and locking, so that the locked file is no longer the one at this path. Raises RunInUseError and OSError.
    """
    deadline, path = time.monotonic() + PATIENCE, folder / NAME
    while True:
        late, descriptor = time.monotonic() > deadline, -1
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | FLAGS, 0o666)
            if not disk.lock(descriptor):
                if late:
                    raise in_use(folder, _holder_name(descriptor))
            elif os.path.samestat(os.fstat(descriptor), os.stat(path)):
                locked, descriptor = descriptor, -1
                return locked
        except OSError as error:
            if late or error.errno != errno.ENOENT:
                raise
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        time.sleep(PATIENCE / 10)


def holder(folder: Path) -> str | None:
    """The process that holds a folder, or None. Takes the lock for an instant; `hold` waits for that."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | FLAGS)
    except OSError:
        return None
    try:
        return None if disk.lock(descriptor, shared=True) else _holder_name(descriptor)
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(descriptor)


def in_use(folder: Path, holder: str) -> RunInUseError:
    """The error for a folder that another process holds."""
    return RunInUseError(f"in use by {holder}", location=str(folder), remedy="wait for it, or set another run.dir")


def _holder_name(descriptor: int) -> str:
    """The name that the holder of the lock wrote into the file; waits for it, as it is written just after locking."""
    for _ in range(10):
        if name := os.pread(descriptor, 200, 0).decode(errors="replace").strip():
            return name
        time.sleep(PATIENCE / 10)
    return "another process"
