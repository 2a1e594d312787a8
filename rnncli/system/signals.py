"""Signals that stop a command: at once before there is anything to save, then after saving."""

from __future__ import annotations

import os
import signal
from types import FrameType

# Those of a user, of a closed terminal, of a limit on CPU time, and of a batch system before it ends a job.
HANDLED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU", "SIGUSR1", "SIGUSR2")
# Those that somebody sends again to insist. The system repeats others: SIGXCPU every second, SIGHUP for the shell, too.
INSISTENT = ("SIGINT", "SIGTERM")


class Stopped(SystemExit):
    """A signal arrived before there was anything to save; `code` is the exit status."""


def exit_code(number: int) -> int:
    """128 + the signal, as in a shell; 0 for SIGUSR1, which requests to save and stop."""
    return 0 if signal.Signals(number).name == "SIGUSR1" else 128 + number


class Signals:
    """Context manager that handles the signals that end a process, but for those that were ignored before (nohup).

    Before `defer`, a signal raises Stopped. After it, the first signal is stored in `received` for the training loop
    to check, and a SIGINT or SIGTERM after that ends the process at once.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._deferring = False

    def __enter__(self) -> Signals:
        self._before = {}
        for number in (getattr(signal, name) for name in HANDLED if hasattr(signal, name)):
            # Shells ignore SIGINT for every command in the background, and `kill -INT` stops those, too.
            if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """The exit status of a command that was stopped by `received`."""
        return 0 if self.received is None else exit_code(self.received)

    def defer(self) -> None:
        """From now on, store the first signal instead of raising."""
        self._deferring = True

    def _note(self, number: int, _: FrameType | None) -> None:
        if not self._deferring:
            raise Stopped(exit_code(number))
        if self.received is None:
            self.received = signal.Signals(number)
        elif signal.Signals(number).name in INSISTENT:
            os._exit(exit_code(number))
