"""Read the files of a text again, to count their lines or to get some of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rnncli.errors import TextError
from rnncli.text.files import ByteCounter, Source, passing
from rnncli.text.lines import read_blocks


def count_lines(sources: Sequence[Source], counter: ByteCounter | None = None) -> int:
    """Number of lines in these files, as training counts them; of a damaged file, those that can be read."""
    lines = 0
    for source in sources:
        try:
            for block in read_blocks(source, counter):
                lines += block.lines
        except TextError:  # the survey of this file reports it
            pass
    return lines


def lines_at(
    source: Source, numbers: Collection[int], longest: int, counter: ByteCounter | None = None
) -> dict[int, str]:
    """The lines with these numbers, from 1: at most `longest` characters of each, invalid UTF-8 as U+FFFD.

    No line of a pipe or a device, which can be read only once.
    """
    found: dict[int, str] = {}
    if passing(source):
        return found
    left = sorted(numbers, reverse=True)
    try:
        for block in read_blocks(source, counter):
            while left and left[-1] < block.line:  # a line in pieces, or one that does not exist
                left.pop()
            if not left:
                break
            after = block.line + block.lines
            lines = block.content.split(b"\n") if left[-1] < after else []
            while left and left[-1] < after:
                number = left.pop()
                line = lines[number - block.line][: 4 * longest].removesuffix(b"\r")
                found[number] = line.decode("utf-8", "replace")[:longest]
    except TextError:  # the survey of this file reports it
        pass
    return found
