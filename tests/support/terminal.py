"""A terminal that a process writes to, and its output."""

import os
import pty
import termios
from contextlib import contextmanager


@contextmanager
def terminal(columns):
    """The descriptor for a process, and a function that returns all its output once the process has ended."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (25, columns))

    def shown():
        os.close(theirs)
        read = b""
        while True:
            try:
                read += os.read(ours, 4096)
            except OSError:  # EIO: the other end is closed
                return read.decode()

    try:
        yield theirs, shown
    finally:
        os.close(ours)
