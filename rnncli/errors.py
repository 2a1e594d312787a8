"""Everything that can go wrong for a user, each kind with the exit code that the command line gives it.

    RnncliError
      UsageError       2   the command itself asks for something impossible
      ConfigError      3   the config, a --set, or a model too large for this machine
      TextError        4   an input text
      RunError         5   a run folder or a checkpoint
      NumericalError   6   a failed gradcheck, a diverged run
      WriteError       7   a full disk, no permission to write
      RunInUseError    8   another process is writing to this run folder

A message says where, what, and what would work; `rnncli.cli` prints it and exits. Nothing here imports anything.
"""

from __future__ import annotations


class RnncliError(Exception):
    """A mistake or a misfortune that is no bug of this program.

    `exit_code` is the exit status of the command line.
    """

    exit_code = 1


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
