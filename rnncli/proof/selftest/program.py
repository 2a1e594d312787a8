"""Child processes that run `rnncli` as users do; all of them are killed at the end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired

LIMIT = 120.0  # seconds for one command


class FailedError(Exception):
    """A check failed; the message describes the observation."""


def own() -> list[str]:
    """The command line that runs this installation of rnncli, with this process's module path, from any folder."""
    path = [os.path.abspath(place) for place in sys.path]
    start = f"import sys; sys.path[:] = {path!r}; from rnncli.cli import main; main(prog_name='rnncli')"
    return [sys.executable, "-c", start]


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    words: Sequence[str]
    code: int
    stdout: str
    stderr: str

    def __str__(self) -> str:
        last = self.stderr.strip().splitlines()[-1:] or ["nothing on stderr"]
        return f"{self.words[0]} ended with exit code {self.code}: {last[0]}"


class Program:
    """Runs commands of one program in a folder; `words` is the command line of the program."""

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        self._words, self._folder = list(words), folder
        self._children: list[Popen[str]] = []

    def start(self, *words: str) -> Popen[str]:
        """Start a command. Raises FailedError if the program cannot be started."""
        command = [*self._words, *words]
        try:
            child = Popen(
                command, cwd=self._folder, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, encoding="utf-8", errors="replace"
            )
        except OSError as error:
            raise FailedError(f"{command[0]} cannot be started: {error.strerror}") from error
        self._children.append(child)
        return child

    def wait(self, child: Popen[str]) -> Ended:
        """Wait for a command to end. Raises FailedError if it takes longer than LIMIT."""
        assert isinstance(child.args, list)
        words = child.args[len(self._words) :]
        try:
            stdout, stderr = child.communicate(timeout=LIMIT)
        except TimeoutExpired:
            child.kill()
            raise FailedError(f"{words[0]} did not end in {LIMIT:g} s") from None
        return Ended(words, child.returncode, stdout, stderr)

    def run(self, *words: str, code: int = 0) -> str:
        """Run a command and return its stdout. Raises FailedError if its exit code differs from `code`."""
        ended = self.wait(self.start(*words))
        if ended.code != code:
            raise FailedError(str(ended))
        return ended.stdout

    def reaches(self, child: Popen[str], metrics: Path, step: int) -> bool:
        """Wait until a training run has written this step to its metrics; False if it ends before."""
        deadline = time.monotonic() + LIMIT
        while child.poll() is None and time.monotonic() < deadline:
            if steps_in(metrics) >= step:
                return True
            time.sleep(0.001)
        return False

    def close(self) -> None:
        """Kill the processes that still run."""
        for child in self._children:
            child.kill()
        for child in self._children:
            with suppress(ValueError):  # its pipes are already closed
                child.communicate()


def steps_in(metrics: Path) -> int:
    """The number of steps in a metrics file."""
    try:
        return metrics.read_bytes().count(b'"event": "step"')
    except OSError:
        return 0
