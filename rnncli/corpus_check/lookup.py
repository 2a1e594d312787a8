"""Files of a text read again, for their number of lines, or for some of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rnncli.corpus_check.survey import Progress, increments
from rnncli.errors import TextError
from rnncli.text.files import Source, passing
from rnncli.text.lines import read_blocks


def count_lines(sources: Sequence[Source], progress: Progress = lambda _: None) -> int:
    """How many lines these files have, as training counts them; of a damaged one, those that can be read."""
    lines = 0
    for source in sources:
        try:
            for block in read_blocks(source, increments(progress)):
                lines += block.lines
        except TextError:  # told by who looks at the lines themselves
            pass
    return lines


def lines_at(
    source: Source, numbers: Collection[int], longest: int, progress: Progress = lambda _: None
) -> dict[int, str]:
    """The lines with these numbers, from 1: at most `longest` characters of each, what is not UTF-8 as U+FFFD.

    None of what can be read only once, such as a pipe.
    """
    found: dict[int, str] = {}
    if passing(source):
        return found
    left = sorted(numbers, reverse=True)
    try:
        for block in read_blocks(source, increments(progress)):
            while left and left[-1] < block.line:  # it comes in pieces, or is not there
                left.pop()
            if not left:
                break
            after = block.line + block.lines
            lines = block.content.split(b"\n") if left[-1] < after else []
            while left and left[-1] < after:
                number = left.pop()
                line = lines[number - block.line][: 4 * longest].removesuffix(b"\r")
                found[number] = line.decode("utf-8", "replace")[:longest]
    except TextError:  # told by who looked at the file first
        pass
    return found
