"""Encode the files of a text in one pass on all cores: a provisional id for each token.

Only distinct words are kept in memory.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rnncli.errors import TextError
from rnncli.system import threads
from rnncli.text.files import READING, ByteCounter, Source, Watch, name_of, size_of
from rnncli.text.lines import Block, read_blocks, validate
from rnncli.text.spool import Spool
from rnncli.text.tokenize import END, Tokenizer
from rnncli.text.tokenize_arrays import Positions, Tokens, cut
from rnncli.text.vocabulary import literal_end_error
from rnncli.text.word_index import Numbering, Numbers, Tally

LINE_END = "\n"  # the `<end>` of a line during reading: no token can equal it, unlike a literal `<end>` in the text
NUL = "\0"
NO_TEXT = re.compile(f"[{NUL}\ud800-\udfff]")  # Python passes bytes that are not UTF-8 as surrogates
MODES = ("sentences", "stream")
BLOCKS = 8  # blocks for each thread in a batch

WordCounts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TextFormat:
    """Settings for reading a text; they must be the same in training and in every use of the model.

    mode: `sentences` (a line is a sentence) or `stream` (the text is one long sequence).
    line_end: whether a line of a stream ends in `<end>`; a sentence always does. Without it, a newline is white space:
    no token for words, a space for characters.

    Raises ValueError for an unknown mode.
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
        """The token after those of each line, or None."""
        if self.ends:
            return LINE_END
        return " " if self.tokenizer.name == "characters" else None

    @property
    def continues(self) -> bool:
        """Whether the text goes on after an `<end>`, which is then the end of a line within it."""
        return self.mode == "stream" and self.line_end

    def lines(self, text: str, name: str) -> list[list[str]]:
        r"""The tokens of each line of a text in memory, read as a file is.

        Lines are what stands between line ends: a text that ends in one has an empty last line, an empty text has one
        line. Where no line ends in `<end>`, all are one.
        name: of the text, in messages. Raises TextError for a NUL, and for what cannot be UTF-8.
        """
        lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
        for i, line in enumerate(lines):
            if (bad := NO_TEXT.search(line)) is not None:
                raise TextError(
                    f"character {bad.start() + 1} is {'a NUL' if bad[0] == NUL else 'not UTF-8'}",
                    location=line_of(name, i, len(lines)),
                    remedy="give plain text in UTF-8",
                )
        return [self.tokenizer.tokens(line) for line in (lines if self.ends else [" ".join(lines)])]


@dataclass(frozen=True, eq=False)
class Text:
    """A text encoded with provisional ids, before its vocabulary is known.

    words: (words,), the word of each provisional id, in any order; `LINE_END` for the end of a line.
    counts: (words,), how often each occurs in the text.
    ids: int32 (tokens,), the provisional id of each token.
    line_starts: int64 (lines + 1,), line i is `ids[line_starts[i]:line_starts[i + 1]]`.
    characters: int64 (lines + 1,), the number of characters before each line.
    sha256: of the lines of the decompressed files, each with its end, concatenated.
    files: the name of each file, and the index of its first line.
    """

    words: list[str]
    counts: WordCounts
    ids: Spool
    line_starts: Spool
    characters: Spool
    sha256: str
    files: tuple[tuple[str, int], ...]

    @property
    def lines(self) -> int:
        return len(self.line_starts) - 1

    def location(self, token: int) -> str:
        """`file:line` of a token."""
        low, high = 0, self.lines
        while low < high - 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.line_starts.read(middle, middle + 1)[0] <= token else (low, middle)
        return location_of(self.files, low)

    def close(self) -> None:
        """Free the arrays and delete their files."""
        for spool in (self.ids, self.line_starts, self.characters):
            spool.remove()


def line_of(name: str, line: int, lines: int) -> str:
    """`name:line` of the line with this index, from 0, of a text in memory; its name alone if it is one line."""
    return name if lines == 1 else f"{name}:{line + 1}"


def location_of(files: Sequence[tuple[str, int]], line: int) -> str:
    """`file:line` of the line of the text with this index, from 0."""
    name, first = files[bisect_right([first for _, first in files], line) - 1]
    return f"{name}:{line - first + 1}"


def read_text(
    sources: Sequence[Source],
    text_format: TextFormat,
    begin: Path | None = None,
    watch: Watch | None = None,
) -> Text:
    """Read the files in order.

    begin: prefix of the paths of temporary files; without it the arrays are in memory, or in unnamed files.

    Raises TextError for a text that cannot be read or trained on, OSError if the temporary files cannot be written.
    """
    reader = _TextReader(sources, text_format, begin, watch)
    try:
        for source in sources:
            reader.read(source)
        return reader.text()
    except BaseException:
        reader.close()
        raise


@dataclass(frozen=True, eq=False)
class _Encoded:
    """A block as provisional ids, and the fields of its `Tokens` that are still needed."""

    ids: Numbers
    through: Positions
    characters: Positions
    size: int


class _TextReader:
    """Reads one file after another, and collects the arrays of a `Text`."""

    def __init__(
        self, sources: Sequence[Source], text_format: TextFormat, begin: Path | None, watch: Watch | None
    ) -> None:
        self._format, self._counter = text_format, ByteCounter(watch, READING, size_of(sources))
        self._numbering = Numbering()
        self._tally = Tally(self._numbering)
        self._ids, self._starts, self._characters = (
            Spool(dtype, begin and begin.with_name(f"{begin.name}.{name}.tmp"))
            for name, dtype in (("ids", np.int32), ("line_starts", np.int64), ("characters", np.int64))
        )
        self._starts.append(np.zeros(1))
        self._characters.append(np.zeros(1))
        self._read_characters = 0
        self._digest = hashlib.sha256()
        self._files: list[tuple[str, int]] = []

    def read(self, source: Source) -> None:
        name, first_line, first_token = name_of(source), len(self._starts) - 1, len(self._ids)
        self._files.append((name, first_line))
        blocks = _with_failure(read_blocks(source, self._counter))
        encoded: list[tuple[Block, _Encoded]] = []
        while batch := list(islice(blocks, BLOCKS * threads.count())):
            encoded = self._encode(batch, name, encoded)
        self._append(encoded)
        words = len(self._ids) - first_token
        if self._format.after_line is not None:
            words -= len(self._starts) - 1 - first_line
        if not words:
            raise no_word_error(name)

    def _encode(
        self, batch: Sequence[Block | TextError], name: str, before: Sequence[tuple[Block, _Encoded]]
    ) -> list[tuple[Block, _Encoded]]:
        """Encode a batch of blocks in parallel, and meanwhile append the batch encoded `before`.

        Raises the TextError that is earliest in the text, whichever thread met it.
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
        validate(block, name, words=self._format.tokenizer.name != "characters")
        tokens = cut(block.ended(block.content), self._format.tokenizer, self._format.after_line)
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
    """The blocks, then the error that ended them, so that an error within a block is reported first."""
    try:
        yield from blocks
    except TextError as error:
        yield error


def no_word_error(name: str) -> TextError:
    return TextError("no word in the text", location=name, remedy="give a text with at least one")


def _refuse_literal_end(tokens: Tokens, block: Block, name: str) -> None:
    """Raise TextError if a token is `<end>`."""
    literal, at = END.encode(), -1
    while (at := tokens.data.find(literal, at + 1)) >= 0:
        i = int(np.searchsorted(tokens.starts, at))
        if i < len(tokens.starts) and (tokens.starts[i], tokens.ends[i]) == (at, at + len(literal)):
            line = block.line + int(np.searchsorted(tokens.through, i, side="right"))
            raise literal_end_error(f"{name}:{line}")
