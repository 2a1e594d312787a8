"""Survey a text in one pass: sizes, sentence lengths, words, characters and defects.

Training stops at the first error; a survey counts all defects, and records the place of the first of each kind. Its
memory grows by eight bytes per line, and with the distinct words and characters of the text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from rnncli.corpus_check.block_survey import SAMPLES, UNICODE, BlockSurvey, Defect, Integers, survey_block
from rnncli.corpus_check.facts import FileSize, Occurrences, Place, Survey
from rnncli.errors import TextError
from rnncli.system import threads
from rnncli.text.encode import BLOCKS, LINE_END, TextFormat
from rnncli.text.files import ByteCounter, Source, name_of
from rnncli.text.lines import Block, foreign_format_error, read_blocks
from rnncli.text.word_index import Numbering, Tally

FOREIGN = 100  # lines that are not ASCII to keep, at most


def survey(
    sources: Sequence[Source],
    text_format: TextFormat,
    known: frozenset[str] | None = None,
    start: int = 0,
    stop: int | None = None,
    counter: ByteCounter | None = None,
) -> Survey:
    """Survey the lines of some files from index `start` up to `stop`, counted over all files.

    known: the words of a vocabulary; the first word outside it is then recorded as the defect `unknown`.
    Defects of a text raise nothing; an error that ends a file early is in its `FileSize`.
    """
    pass_ = _Pass(text_format, known, start, stop, counter)
    for source in sources:
        if stop is None or pass_.index < stop:
            pass_.file(source)
    return pass_.result()


class _Pass:
    """One pass over the files of a text."""

    def __init__(
        self,
        text_format: TextFormat,
        known: frozenset[str] | None,
        start: int,
        stop: int | None,
        counter: ByteCounter | None,
    ) -> None:
        self.text_format, self.start, self.stop, self.counter = text_format, start, stop, counter
        self.index = 0  # of the next line to begin, over all files
        self.found = Survey()
        self.words = _Words(known)
        self.characters = np.zeros(UNICODE, np.int64)
        self.met = np.zeros(UNICODE, bool)
        self.firsts: dict[int, Place] = {}  # the first line of each character
        self.hashes: list[Integers] = []
        self.foreign, self.stride = 0, 1  # lines that are not ASCII, and of how many of them one is kept
        self.pending = [0, 0, 0]  # words, characters and hash of a line that comes in pieces
        self.inside = False  # whether the line that comes in pieces is among those to survey

    def result(self) -> Survey:
        found = self.found
        found.words = self.words.counter()
        found.characters = {chr(c): Occurrences(int(self.characters[c]), first) for c, first in self.firsts.items()}
        if self.hashes:
            found.hashes = np.concatenate(self.hashes)
        found.predicted = found.tokens
        if (after := self.text_format.after_line) is not None:
            found.predicted += found.lines
            if after != LINE_END and found.lines:
                found.words[after] += found.lines
        return found

    def file(self, source: Source) -> None:
        self.size = FileSize(name_of(source), self.found.lines)
        self.found.files.append(self.size)
        batch: list[Block] = []
        try:
            for block in self._blocks(source):
                batch.append(block)
                if len(batch) == BLOCKS * threads.count():
                    self._survey(batch)
                    batch = []
        except TextError as error:
            self.size.error = error
        self._survey(batch)

    def _blocks(self, source: Source) -> Iterator[Block]:
        """The blocks of a file to survey. Raises TextError."""
        for block in read_blocks(source, self.counter):
            if block.offset == 0 and (error := foreign_format_error(block.data, self.size.name)) is not None:
                raise error
            if self.stop is not None and self.index >= self.stop and block.begins:
                return
            if (part := self._wanted(block)) is not None:
                yield part

    def _wanted(self, block: Block) -> Block | None:
        """The part of a block that is within `start` and `stop`; None if no line is."""
        if not block.begins:
            return block if self.inside else None
        count, first = block.lines, self.index
        self.index += count
        after = self.index if self.stop is None else min(self.stop, self.index)
        skip, keep = max(self.start - first, 0), after - first
        self.inside = skip < keep or (first >= self.start and not count)
        if not self.inside:
            self.size.start += count
            return None
        if skip == 0 and keep == count:
            return block
        lines = block.data.split(b"\n", keep)
        dropped = sum(len(line) + 1 for line in lines[:skip])
        data = b"".join(line + b"\n" for line in lines[skip:keep])
        self.size.start += skip
        return Block(block.line + skip, block.offset + dropped, data[: len(block.data) - dropped], True, block.ends)

    def _survey(self, batch: Sequence[Block]) -> None:
        """Survey blocks in parallel, and add the results in order."""
        results: dict[int, BlockSurvey] = {}

        def work(i: int) -> None:
            results[i] = survey_block(batch[i], self.text_format, self.words.numbering, self.met)

        threads.each(work, range(len(batch)))
        for i in range(len(batch)):
            self._add(results[i])

    def _add(self, seen: BlockSurvey) -> None:
        block, count = seen.block, int(seen.counts.sum())
        self.size.bytes += len(block.data)
        self.size.words += count
        for defect in seen.defects:
            self._record(defect)
        self.characters[seen.characters.codes] += seen.characters.counts
        for code, line in seen.characters.new.items():
            self.firsts.setdefault(code, Place(self.size.name, line))
        self.met[seen.characters.codes] = True
        if (unknown := self.words.first_unknown(seen)) is not None and "unknown" not in self.found.defects:
            at = int(np.searchsorted(np.cumsum(seen.counts), unknown[0], side="right"))
            self._record(Defect("unknown", 1, block.line + at, unknown[1]))
        self._keep_foreign(seen.foreign)
        self.words.add(seen)
        self.found.lower += seen.lower
        self.found.upper += seen.upper
        for number, sample in seen.samples[: SAMPLES - len(self.found.samples)]:
            self.found.samples.append((Place(self.size.name, number), sample))
        if block.begins and block.ends:
            self._lines(block.line, seen.counts, seen.widths, seen.hashes)
        else:
            self._piece(block, count, int(seen.widths.sum()), int(seen.hashes.sum()))

    def _keep_foreign(self, lines: Sequence[tuple[int, str]]) -> None:
        """Keep every line that is not ASCII, and when there are too many every second one, and so on."""
        for number, line in lines:
            if self.foreign % self.stride == 0:
                self.found.foreign.append((Place(self.size.name, number), line))
            self.foreign += 1
        while len(self.found.foreign) > FOREIGN:
            self.found.foreign = self.found.foreign[::2]
            self.stride *= 2

    def _piece(self, block: Block, words: int, width: int, hash_: int) -> None:
        if block.begins:
            self.pending = [0, 0, 0]
        self.pending[0] += words
        self.pending[1] += width
        if hash_:  # else the piece is white space, perhaps that around the line
            self.pending[2] = hash((self.pending[2], hash_))
        if block.ends:
            counts, widths, hashes = (np.array([n], np.int64) for n in self.pending)
            self._lines(block.line, counts, widths, hashes)

    def _lines(self, first: int, counts: Integers, widths: Integers, hashes: Integers) -> None:
        if not len(counts):
            return
        self.size.lines += len(counts)
        self.hashes.append(hashes)
        self.found.lengths.add(counts)
        self.found.widths.add(widths)
        if int(counts.max()) > self.found.longest[0]:
            at = int(counts.argmax())
            self.found.longest = int(counts[at]), Place(self.size.name, first + at)
        if blank := int((counts == 0).sum()):
            self._record(Defect("blank", blank, first + int((counts == 0).argmax())))

    def _record(self, defect: Defect) -> None:
        if (seen := self.found.defects.get(defect.kind)) is not None:
            seen.count += defect.count
            for form, count in defect.parts.items():
                seen.parts[form] = seen.parts.get(form, 0) + count
        else:
            place = Place(self.size.name, defect.line)
            self.found.defects[defect.kind] = Occurrences(
                defect.count, place, defect.detail, defect.parts, defect.block
            )


class _Words:
    """Counts of the words of a text, and its first word outside a vocabulary."""

    def __init__(self, known: frozenset[str] | None) -> None:
        self.numbering = Numbering()
        self._tally = Tally(self.numbering)
        self._with_nul: Counter[str] = Counter()  # they have no number
        self._known = known
        self._is_known = np.zeros(1, bool)  # by number, and False for -1

    def add(self, seen: BlockSurvey) -> None:
        self._tally.add(seen.numbers[seen.numbers >= 0] if seen.with_nul else seen.numbers)
        self._with_nul.update(seen.with_nul)

    def counter(self) -> Counter[str]:
        counts = self._tally.counts().tolist()
        return Counter(dict(zip(self.numbering.words, counts, strict=True))) + self._with_nul

    def first_unknown(self, seen: BlockSurvey) -> tuple[int, str] | None:
        """The index and the word of the first unknown token of a block; None after an earlier block had one."""
        if self._known is None:
            return None
        words = self.numbering.words
        new = [word in self._known for word in words[len(self._is_known) - 1 :]]
        self._is_known = np.concatenate([self._is_known[:-1], np.array(new, bool), [False]])
        unknown = ~self._is_known[seen.numbers]
        if not unknown.any():
            return None
        self._known = None
        at = int(unknown.argmax())
        return at, words[seen.numbers[at]] if seen.numbers[at] >= 0 else seen.with_nul[0]
