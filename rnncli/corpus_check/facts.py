"""What a survey of a text finds: plain facts, without a word on what they mean."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

LONGEST_COUNTED = 10_000  # tokens or characters; lengths above are counted together


@dataclass(frozen=True)
class Place:
    """A line of a file, from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass
class Seen:
    """How often something stands in a text, where first, and what there is to say of that place."""

    count: int
    first: Place
    detail: str = ""


@dataclass
class FileSize:
    """What was looked at of one file.

    offset: how many lines of the survey come before it. start: how many of its own lines before those looked at.
    words: without any for line ends. problem: why it cannot be read, or not to its end; empty where it can.
    """

    name: str
    offset: int
    bytes: int = 0
    lines: int = 0
    words: int = 0
    start: int = 0
    problem: str = ""


class Lengths:
    """How many lines have which length; from `LONGEST_COUNTED` on, they are one."""

    def __init__(self) -> None:
        self.counts = np.zeros(LONGEST_COUNTED + 1, np.int64)

    def add(self, lengths: npt.NDArray[np.int64]) -> None:
        self.counts += np.bincount(np.minimum(lengths, LONGEST_COUNTED), minlength=LONGEST_COUNTED + 1)

    @property
    def lines(self) -> int:
        """All but the blank ones."""
        return int(self.counts[1:].sum())

    @property
    def shortest(self) -> int:
        """The least length, blank lines aside; 0 where there is none."""
        return 1 + int((self.counts[1:] > 0).argmax()) if self.lines else 0

    def percentile(self, percent: float) -> int:
        """The length that so many percent of the lines do not exceed, blank ones aside; 0 where there is none.

        `LONGEST_COUNTED` stands for that and any longer.
        """
        if not self.lines:
            return 0
        return 1 + int(np.searchsorted(self.counts[1:].cumsum(), self.lines * percent / 100))

    def above(self, length: int) -> int:
        """How many lines are longer."""
        return int(self.counts[min(length, LONGEST_COUNTED - 1) + 1 :].sum())


@dataclass(eq=False)
class Survey:
    """What a text holds.

    words: how often each token stands in it; a line end that is read as a space is one, one that is `<end>` is not.
    predicted: positions that a model predicts, `<end>` included.
    characters: by character. signs: by kind: crlf, cr, bom, nul, not_utf8, glued, mojibake,
    end, unknown, blank, endless.
    hashes: (lines,) int64, equal where lines are but for white space around them; 0 for a line of white space.
    longest: tokens of the longest line, and where it stands.
    lower, upper: lines that begin with a letter of that case; widths: characters of each line.
    samples: the first lines that are not blank.
    """

    files: list[FileSize] = field(default_factory=list)
    words: Counter[str] = field(default_factory=Counter)
    lengths: Lengths = field(default_factory=Lengths)
    widths: Lengths = field(default_factory=Lengths)
    characters: dict[str, Seen] = field(default_factory=dict)
    signs: dict[str, Seen] = field(default_factory=dict)
    hashes: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    longest: tuple[int, Place | None] = (0, None)
    predicted: int = 0
    lower: int = 0
    upper: int = 0
    samples: list[tuple[Place, str]] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def lines(self) -> int:
        return sum(file.lines for file in self.files)

    @property
    def tokens(self) -> int:
        """Words of the lines, without any for line ends."""
        return sum(file.words for file in self.files)

    @property
    def blank(self) -> int:
        """Lines without a token."""
        return int(self.lengths.counts[0])

    @property
    def repeated(self) -> int:
        """Lines that repeat an earlier one, blank ones aside."""
        lines = self.hashes[self.hashes != 0]
        return len(lines) - len(np.unique(lines))

    def rows(self, most: int) -> list[tuple[int, int, int]]:
        """A histogram of the lengths: from, to, and how many lines, in rows of equal width but for the last, which has
        all that is longer. About `most` of them, or fewer.
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
        """Where the line with this index, from 0, stands."""
        file = next(file for file in reversed(self.files) if file.offset <= line and file.lines)
        return Place(file.name, file.start + line - file.offset + 1)
