"""One pass over the files of a text: a provisional number for each token, on all cores, and nothing held but words."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rnncli.errors import TextError
from rnncli.system import threads
from rnncli.text.files import Source, Watch, name_of, size_of
from rnncli.text.lines import Block, check, read_blocks
from rnncli.text.spool import Spool
from rnncli.text.tokenize import END, Tokenizer
from rnncli.text.tokenize_arrays import Positions, Tokens, cut
from rnncli.text.vocabulary import literal_end
from rnncli.text.word_index import Numbering, Numbers, Tally

LINE_END = "\n"  # stands for `<end>` while reading: no token can be it, so a literal `<end>` is told apart
MODES = ("sentences", "stream")
BLOCKS = 8  # for each thread, read before they are cut side by side

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """How a text is read: what must be the same in training and whenever the model is used.

    mode: `sentences` (a line is a sentence) or `stream` (the text is one long sequence).
    line_end: whether a line of a stream ends in `<end>`; a sentence always does. Without it, a newline is white space:
    nothing for words, a space for characters.

    Raises ValueError for another mode.
    """

    tokenizer: Tokenizer
    mode: str
    line_end: bool

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode is {self.mode!r}; choose {' or '.join(MODES)}")

    @property
    def ends(self) -> bool:
        """Whether each line ends in `<end>`."""
        return self.mode == "sentences" or self.line_end

    @property
    def after_line(self) -> str | None:
        """The token that follows the tokens of each line."""
        if self.ends:
            return LINE_END
        return " " if self.tokenizer.name == "characters" else None


@dataclass(frozen=True, eq=False)
class Text:
    """A text before its vocabulary is known.

    words: by provisional number, in no stated order; `LINE_END` for the end of a line.
    counts: (words,), how often each stands in the text.
    ids: int32, the provisional number of each token. line_starts: int64 (lines + 1), line i is
    `ids[line_starts[i]:line_starts[i + 1]]`. characters: int64 (lines + 1), how many there are before each line.
    sha256: of the lines of the files, decompressed, each with its end, one after the other.
    files: the name of each, and the index of its first line.
    """

    words: list[str]
    counts: Counts
    ids: Spool
    line_starts: Spool
    characters: Spool
    sha256: str
    files: tuple[tuple[str, int], ...]

    @property
    def lines(self) -> int:
        return len(self.line_starts) - 1

    def place(self, token: int) -> str:
        """The file and line where a token stands."""
        low, high = 0, self.lines
        while low < high - 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.line_starts.read(middle, middle + 1)[0] <= token else (low, middle)
        return where(self.files, low)

    def close(self) -> None:
        """Let go of the arrays, and of their files."""
        for spool in (self.ids, self.line_starts, self.characters):
            spool.remove()


def where(files: Sequence[tuple[str, int]], line: int) -> str:
    """`file:line` of a line of the text, counted from 0."""
    name, first = files[bisect_right([first for _, first in files], line) - 1]
    return f"{name}:{line - first + 1}"


def read_text(
    sources: Sequence[Source],
    reading: Reading,
    begin: Path | None = None,
    watch: Watch | None = None,
) -> Text:
    """Read the files in their order.

    begin: the path that the names of temporary files begin with; without it the arrays are in memory, or in files
    without a name.

    Raises TextError for what is wrong in a text, and OSError where the files cannot be written.
    """
    reader = _TextReader(sources, reading, begin, watch)
    try:
        for source in sources:
            reader.read(source)
        return reader.text()
    except BaseException:
        reader.close()
        raise


@dataclass(frozen=True, eq=False)
class _Encoded:
    """A block as provisional numbers, and of its `Tokens` what is still needed."""

    ids: Numbers
    through: Positions
    characters: Positions
    size: int


class _TextReader:
    """Reads one file after another, and holds what is known so far."""

    def __init__(self, sources: Sequence[Source], reading: Reading, begin: Path | None, watch: Watch | None) -> None:
        self._reading, self._watch, self._total = reading, watch, size_of(sources)
        self._numbering = Numbering()
        self._tally = Tally(self._numbering)
        self._ids, self._starts, self._characters = (
            Spool(dtype, begin and begin.with_name(f"{begin.name}.{name}.tmp"))
            for name, dtype in (("ids", np.int32), ("line_starts", np.int64), ("characters", np.int64))
        )
        self._starts.append(np.zeros(1))
        self._characters.append(np.zeros(1))
        self._read_characters, self._read_bytes = 0, 0
        self._digest = hashlib.sha256()
        self._files: list[tuple[str, int]] = []

    def read(self, source: Source) -> None:
        name, first_line, first_token = name_of(source), len(self._starts) - 1, len(self._ids)
        self._files.append((name, first_line))
        before, done = self._read_bytes, 0

        def progress(what: str, position: int, _: int | None) -> None:
            nonlocal done
            done = position
            if self._watch is not None:
                self._watch(what, before + position, self._total)

        blocks = _with_failure(read_blocks(source, progress))
        encoded: list[tuple[Block, _Encoded]] = []
        while batch := list(islice(blocks, BLOCKS * threads.count())):
            encoded = self._encode(batch, name, encoded)
        self._append(encoded)
        self._read_bytes += done
        words = len(self._ids) - first_token
        if self._reading.after_line is not None:
            words -= len(self._starts) - 1 - first_line
        if not words:
            raise TextError(f"{name}: no word in the text; give a text with at least one")

    def _encode(
        self, batch: Sequence[Block | TextError], name: str, before: Sequence[tuple[Block, _Encoded]]
    ) -> list[tuple[Block, _Encoded]]:
        """Encode blocks side by side, and write those that were encoded before meanwhile.

        Raises the first TextError of the text, whoever finds his first.
        """
        results: dict[int, _Encoded | TextError] = {}

        def work(i: int) -> None:
            if i < 0:
                self._append(before)
                return
            block = batch[i]
            try:
                results[i] = block if isinstance(block, TextError) else self._encoded(block, name)
            except TextError as error:
                results[i] = error

        threads.each(work, range(-1 if before else 0, len(batch)))
        done = []
        for i, block in enumerate(batch):
            result = results[i]
            if isinstance(result, TextError):
                raise result
            assert isinstance(block, Block)
            done.append((block, result))
        return done

    def _encoded(self, block: Block, name: str) -> _Encoded:
        check(block, name)
        tokens = cut(block.ended(block.content), self._reading.tokenizer, self._reading.after_line)
        _refuse_literal_end(tokens, block, name)
        return _Encoded(self._numbering.number(tokens), tokens.through, tokens.characters, tokens.size)

    def _append(self, encoded: Sequence[tuple[Block, _Encoded]]) -> None:
        for block, each in encoded:
            self._digest.update(block.ended(block.content))
            self._starts.append(each.through + len(self._ids))
            self._characters.append(each.characters + self._read_characters)
            self._read_characters += each.size
            self._ids.append(each.ids)
            self._tally.add(each.ids)

    def text(self) -> Text:
        return Text(
            self._numbering.words,
            self._tally.counts(),
            self._ids,
            self._starts,
            self._characters,
            self._digest.hexdigest(),
            tuple(self._files),
        )

    def close(self) -> None:
        for spool in (self._ids, self._starts, self._characters):
            spool.remove()


def _with_failure(blocks: Iterator[Block]) -> Iterator[Block | TextError]:
    """The blocks, and what went wrong behind them: what is wrong in them is told first."""
    try:
        yield from blocks
    except TextError as error:
        yield error


def _refuse_literal_end(tokens: Tokens, block: Block, name: str) -> None:
    """Raise TextError where a token is `<end>`."""
    literal, at = END.encode(), -1
    while (at := tokens.data.find(literal, at + 1)) >= 0:
        i = int(np.searchsorted(tokens.starts, at))
        if i < len(tokens.starts) and (tokens.starts[i], tokens.ends[i]) == (at, at + len(literal)):
            line = block.line + int(np.searchsorted(tokens.through, i, side="right"))
            raise literal_end(f"{name}:{line}")
