"""What the system must be asked for so that files outlive a crash, and are written by one process."""

from __future__ import annotations

import os
from pathlib import Path


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
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
