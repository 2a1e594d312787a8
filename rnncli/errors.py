"""The errors that a user can cause or meet, each with the exit code of the command line.

    RnncliError
      UsageError       2   the command asks for something impossible
      ConfigError      3   the config, a --set, or a model too large for this machine
      TextError        4   an input text
      RunError         5   a run folder or a checkpoint
      NumericalError   6   a failed gradcheck, a diverged run
      WriteError       7   a full disk, no permission to write
      RunInUseError    8   another process is writing to this run folder

`rnncli.cli` prints the message and exits. This module imports nothing.
"""

from __future__ import annotations


class RnncliError(Exception):
    """Base of all errors caused by input or environment. Its message is `location: problem; remedy`.

    location: a place such as `corpus.txt:65`; problem: what is wrong there; remedy: what the user can do. A message
    without a location or a remedy leaves that part out. `exit_code` is the exit status of the command line.
    """

    exit_code = 1

    def __init__(self, problem: str, *, location: str = "", remedy: str = "") -> None:
        super().__init__(problem)
        self.location, self.problem, self.remedy = location, problem, remedy

    def __str__(self) -> str:
        place = self.location.replace("\n", "\\n")  # a file name may have a line end in it
        before = f"{place}: " if place else ""
        after = f"; {self.remedy}" if self.remedy else ""
        return f"{before}{self.problem}{after}"


class UsageError(RnncliError):
    exit_code = 2


class ConfigError(RnncliError):
    exit_code = 3


class TextError(RnncliError):
    exit_code = 4


class RunError(RnncliError):
    exit_code = 5


class NumericalError(RnncliError):
    exit_code = 6


class WriteError(RnncliError):
    exit_code = 7


class RunInUseError(RnncliError):
    exit_code = 8


def reason(error: Exception) -> str:
    """Why an operation failed, in a few words: `No space left on device`."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
