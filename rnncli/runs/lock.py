"""One writer for a run folder: a lock that the kernel frees when the process ends, however it ends."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rnncli.system import disk
from rnncli.errors import RunInUseError, WriteError

NAME = ".lock"
PROBED_FOR = 0.1  # seconds; who only asks whether a lock is held (`holder`) has it for much less
NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # so that a pipe of that name is not waited for
FLAGS = getattr(os, "O_CLOEXEC", 0) | NONBLOCK


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a folder for this process alone.

    Raises RunInUseError, naming the holder, where another process has it, and WriteError. A system without `flock`
    (Windows) has no such lock.
    """
    descriptor = _locked(folder)
    try:
        with suppress(OSError):  # no room for the name, and the lock holds all the same
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        with suppress(OSError):  # so that nobody takes the next holder for this one
            os.ftruncate(descriptor, 0)
        os.close(descriptor)


def _locked(folder: Path) -> int:
    """The lock's file, open and locked. Tried for a while: who only asks has it for an instant, and another process may
    be moving the folder aside, whose lock is then none of this folder.
    """
    patience, path = time.monotonic() + PROBED_FOR, folder / NAME
    while True:
        late, descriptor = time.monotonic() > patience, -1
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | FLAGS, 0o666)
            if not disk.lock(descriptor):
                if late:
                    raise in_use(folder, _said_by(descriptor))
            elif os.path.samestat(os.fstat(descriptor), os.stat(path)):
                locked, descriptor = descriptor, -1
                return locked
        except OSError as error:
            if late or error.errno != errno.ENOENT:
                raise WriteError(f"{folder}: cannot write and lock there: {error.strerror}; set run.dir") from error
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        time.sleep(PROBED_FOR / 10)


def holder(folder: Path) -> str | None:
    """Who holds a folder now, or None. Asking has the lock for an instant, for which `hold` waits."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | FLAGS)
    except OSError:
        return None
    try:
        return None if disk.lock(descriptor, shared=True) else _said_by(descriptor)
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(descriptor)


def in_use(folder: Path, holder: str) -> RunInUseError:
    """What is said where another process holds a folder."""
    return RunInUseError(f"{folder}: in use by {holder}; wait for it, or set another run.dir")


def _said_by(descriptor: int) -> str:
    """What the holder of a lock wrote into its file; it does so just after it has it."""
    for _ in range(10):
        if said := os.pread(descriptor, 200, 0).decode(errors="replace").strip():
            return said
        time.sleep(PROBED_FOR / 10)
    return "another process"
