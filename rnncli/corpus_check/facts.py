"""Facts that a survey finds in a text, without any judgement."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rnncli.errors import TextError
from rnncli.text.lines import Block

LONGEST_COUNTED = 10_000  # tokens or characters; this and all greater lengths share one count


@dataclass(frozen=True)
class Place:
    """A line of a file; lines are numbered from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass
class Occurrences:
    """How often something occurs in a text, the line of the first occurrence, and a detail of that one.

    parts: how often each form of it occurs. block: that of the first occurrence, if an error about it looks there.
    """

    count: int
    first: Place
    detail: str = ""
    parts: dict[str, int] = field(default_factory=dict)
    block: Block | None = None


@dataclass
class FileSize:
    """The surveyed part of one file.

    offset: number of surveyed lines in earlier files. start: number of lines of this file before the surveyed ones.
    words: line ends not counted. error: raised by a file that cannot be read to its end.
    """

    name: str
    offset: int
    bytes: int = 0
    lines: int = 0
    words: int = 0
    start: int = 0
    error: TextError | None = None


class Lengths:
    """A count of lines for each length; lengths from `LONGEST_COUNTED` on share the last count."""

    def __init__(self) -> None:
        self.counts = np.zeros(LONGEST_COUNTED + 1, np.int64)

    def add(self, lengths: npt.NDArray[np.int64]) -> None:
        self.counts += np.bincount(np.minimum(lengths, LONGEST_COUNTED), minlength=LONGEST_COUNTED + 1)

    @property
    def lines(self) -> int:
        """Number of lines that are not blank."""
        return int(self.counts[1:].sum())

    @property
    def shortest(self) -> int:
        """The length of the shortest line that is not blank; 0 if all are blank."""
        return 1 + int((self.counts[1:] > 0).argmax()) if self.lines else 0

    def percentile(self, percent: float) -> int:
        """The length that `percent` percent of the lines do not exceed, without blank lines; 0 if all are blank.

        `LONGEST_COUNTED` means that length or more.
        """
        if not self.lines:
            return 0
        return 1 + int(np.searchsorted(self.counts[1:].cumsum(), self.lines * percent / 100))

    def above(self, length: int) -> int:
        """Number of longer lines."""
        return int(self.counts[min(length, LONGEST_COUNTED - 1) + 1 :].sum())


@dataclass(eq=False)
class Survey:
    """Statistics and defects of a text.

    words: how often each token occurs; a line end counts if it is read as a space, but not if it is `<end>`.
    lengths: of the lines in tokens. widths: of the lines in characters.
    predicted: number of positions that a model predicts, `<end>` included.
    characters: by character. defects: by kind: crlf, cr, bom, nul, not_utf8, glued, mojibake, decomposed, end, unknown,
    blank, endless, and the kinds of `markup.marks`.
    hashes: (lines,) int64, of each line without the white space around it; 0 for a blank line.
    longest: number of tokens of the longest line, and its place.
    lower, upper: number of lines that begin with a lower-case letter, and with a capital.
    samples: the first lines that are not blank. foreign: lines that are not ASCII, from all over the text.
    """

    files: list[FileSize] = field(default_factory=list)
    words: Counter[str] = field(default_factory=Counter)
    lengths: Lengths = field(default_factory=Lengths)
    widths: Lengths = field(default_factory=Lengths)
    characters: dict[str, Occurrences] = field(default_factory=dict)
    defects: dict[str, Occurrences] = field(default_factory=dict)
    hashes: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    longest: tuple[int, Place | None] = (0, None)
    predicted: int = 0
    lower: int = 0
    upper: int = 0
    samples: list[tuple[Place, str]] = field(default_factory=list)
    foreign: list[tuple[Place, str]] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def lines(self) -> int:
        return sum(file.lines for file in self.files)

    @property
    def tokens(self) -> int:
        """Number of tokens, line ends not counted."""
        return sum(file.words for file in self.files)

    @property
    def blank(self) -> int:
        """Number of lines without a token."""
        return int(self.lengths.counts[0])

    @property
    def repeated(self) -> int:
        """Number of lines that repeat an earlier line, without blank lines."""
        lines = self.hashes[self.hashes != 0]
        return len(lines) - len(np.unique(lines))

    def rows(self, most: int) -> list[tuple[int, int, int]]:
        """A histogram of the lengths, in about `most` rows or fewer: from, to, number of lines.

        The rows have equal widths, except for the last, which has all longer lines.
        """
        usual = self.lengths.percentile(99)
        if not usual:
            return []
        width = next(w for k in range(6) for w in (10**k, 2 * 10**k, 5 * 10**k) if w * most >= usual)
        least = self.lengths.shortest - 1
        rows = []
        for low in range(1 + least - least % width, usual + 1, width):
            last = low + width > usual
            high = self.longest[0] if last else low + width - 1
            rows.append((low, high, self.lengths.above(low - 1) - (0 if last else self.lengths.above(high))))
        return rows

    def place(self, line: int) -> Place:
        """The place of the line with this index, from 0."""
        file = next(file for file in reversed(self.files) if file.offset <= line and file.lines)
        return Place(file.name, file.start + line - file.offset + 1)
