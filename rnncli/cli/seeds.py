"""The seeds of `rnncli predict` that come one per line: typed at a terminal, or from a file or a pipe."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

from rnncli.cli.options import notify, say
from rnncli.text.files import Source
from rnncli.text.lines import raw_lines

LONGEST_TYPED = 4095  # bytes of a line; a terminal drops the rest, unless an editor such as readline reads it


def standard_input() -> Source:
    """Standard input, whose `read` does not wait for more than there is, so that each seed can be answered at once."""
    raw: Source = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
    return raw


def typed() -> Iterator[str]:
    """The lines of standard input as they come, bytes that are not UTF-8 as surrogates.

    At a terminal there is a prompt, and where Python has `readline` a line can be edited and repeated. A line that the
    terminal has cut is refused with a message.
    """
    terminal = sys.stdin.isatty()
    edited = terminal and sys.stdout.isatty() and _load_editor()
    for line in _prompted() if edited else (line for _, line in raw_lines(standard_input())):
        if isinstance(line, str):
            yield line
        elif terminal and len(line) >= LONGEST_TYPED:
            notify(f"a terminal passes at most {LONGEST_TYPED:,} bytes of a line; for a longer seed use --file")
        else:
            yield line.decode(errors="surrogateescape")


def _load_editor() -> bool:
    """Load `readline`, which `input` then uses; its history ends with this process."""
    try:
        import readline  # noqa: F401
    except ImportError:  # Windows, or a small build of Python
        return False
    return True


def _prompted() -> Iterator[str]:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    while True:
        try:
            yield input("> ")
        except EOFError:
            say()
            return
