"""A look at a text in one pass: sizes, sentence lengths, characters, and the signs of what may be wrong with it.

Training is strict and stops at the first fault; this counts all of them, and says where the first stands. What grows
with the text is eight bytes a line, the counts of its words and the counts of its characters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from rnncli.corpus_check.block_survey import SAMPLES, UNICODE, Integers, Look, look
from rnncli.corpus_check.facts import FileSize, Place, Seen, Survey
from rnncli.errors import TextError
from rnncli.system import threads
from rnncli.text.encode import BLOCKS, LINE_END, Reading
from rnncli.text.files import Source, Watch, name_of
from rnncli.text.lines import Block, foreign, read_blocks
from rnncli.text.word_index import Numbering, Tally

Progress = Callable[[int], object]
"""Is told how many bytes more were read of files as they lie there."""


def increments(progress: Progress) -> Watch:
    """What is told how far a file has been read, and tells how much that is more than before."""
    done = 0

    def watch(what: str, position: int, total: int | None) -> None:
        nonlocal done
        progress(position - done)
        done = position

    return watch


def survey(
    sources: Sequence[Source],
    reading: Reading,
    known: frozenset[str] | None = None,
    start: int = 0,
    stop: int | None = None,
    progress: Progress = lambda _: None,
) -> Survey:
    """Look at the lines of some files, from the one with index `start` up to `stop`, counted over all files.

    known: the words of a vocabulary; the first that is not among them is then a sign, `unknown`.
    Nothing in a text raises.
    """
    pass_ = _Pass(reading, known, start, stop, progress)
    for source in sources:
        if stop is None or pass_.index < stop:
            pass_.file(source)
    return pass_.result()


class _Pass:
    def __init__(
        self,
        reading: Reading,
        known: frozenset[str] | None,
        start: int,
        stop: int | None,
        progress: Progress,
    ) -> None:
        self.reading, self.start, self.stop, self.progress = reading, start, stop, progress
        self.index = 0  # of the next line that begins, over all files
        self.found = Survey()
        self.words = _Words(known)
        self.characters = np.zeros(UNICODE, np.int64)
        self.met = np.zeros(UNICODE, bool)
        self.firsts: dict[int, Place] = {}  # where each character stands first
        self.hashes: list[Integers] = []
        self.pending = [0, 0, 0]  # words, characters and hash of a line that comes in pieces
        self.inside = False  # whether the line that comes in pieces is looked at

    def result(self) -> Survey:
        found = self.found
        found.words = self.words.counter()
        found.characters = {chr(c): Seen(int(self.characters[c]), first) for c, first in self.firsts.items()}
        if self.hashes:
            found.hashes = np.concatenate(self.hashes)
        found.predicted = found.tokens
        if (after := self.reading.after_line) is not None:
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
                    self._look(batch)
                    batch = []
        except TextError as error:
            self.size.problem = str(error)
        self._look(batch)

    def _blocks(self, source: Source) -> Iterator[Block]:
        """What is to be looked at of a file. Raises TextError."""
        for block in read_blocks(source, increments(self.progress)):
            if block.offset == 0 and (why := foreign(block.data, self.size.name)):
                raise TextError(why)
            if self.stop is not None and self.index >= self.stop and block.begins:
                return
            if (part := self._wanted(block)) is not None:
                yield part

    def _wanted(self, block: Block) -> Block | None:
        """The part of a block whose lines are to be looked at, if there is any."""
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

    def _look(self, batch: Sequence[Block]) -> None:
        """Look at blocks side by side, and take what is found in their order."""
        looks: dict[int, Look] = {}

        def work(i: int) -> None:
            looks[i] = look(batch[i], self.reading, self.words.numbering, self.met)

        threads.each(work, range(len(batch)))
        for i in range(len(batch)):
            self._take(looks[i])

    def _take(self, seen: Look) -> None:
        block, count = seen.block, int(seen.counts.sum())
        self.size.bytes += len(block.data)
        self.size.words += count
        for sign in seen.signs:
            self._see(sign.kind, sign.count, sign.line, sign.detail)
        self.characters[seen.characters.codes] += seen.characters.counts
        for code, line in seen.characters.new.items():
            self.firsts.setdefault(code, Place(self.size.name, line))
        self.met[seen.characters.codes] = True
        if (unknown := self.words.first_unknown(seen)) is not None and "unknown" not in self.found.signs:
            at = int(np.searchsorted(np.cumsum(seen.counts), unknown[0], side="right"))
            self._see("unknown", 1, block.line + at, unknown[1])
        self.words.add(seen)
        self.found.lower += seen.lower
        self.found.upper += seen.upper
        for number, sample in seen.samples[: SAMPLES - len(self.found.samples)]:
            self.found.samples.append((Place(self.size.name, number), sample))
        if block.begins and block.ends:
            self._lines(block.line, seen.counts, seen.widths, seen.hashes)
        else:
            self._piece(block, count, int(seen.widths.sum()), int(seen.hashes.sum()))

    def _piece(self, block: Block, words: int, width: int, hash_: int) -> None:
        if block.begins:
            self.pending = [0, 0, 0]
        self.pending[0] += words
        self.pending[1] += width
        if hash_:  # else it is white space, which may be that around the line
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
            self._see("blank", blank, first + int((counts == 0).argmax()))

    def _see(self, kind: str, count: int, line: int, detail: str = "") -> None:
        if (seen := self.found.signs.get(kind)) is not None:
            seen.count += count
        else:
            self.found.signs[kind] = Seen(count, Place(self.size.name, line), detail)


class _Words:
    """How often each word stands in a text, and which is the first that a vocabulary does not have."""

    def __init__(self, known: frozenset[str] | None) -> None:
        self.numbering = Numbering()
        self._tally = Tally(self.numbering)
        self._odd: Counter[str] = Counter()  # words without a number
        self._known = known
        self._is_known = np.zeros(1, bool)  # by number, and False for -1

    def add(self, seen: Look) -> None:
        self._tally.add(seen.numbers[seen.numbers >= 0] if seen.odd else seen.numbers)
        self._odd.update(seen.odd)

    def counter(self) -> Counter[str]:
        counts = self._tally.counts().tolist()
        return Counter(dict(zip(self.numbering.words, counts, strict=True))) + self._odd

    def first_unknown(self, seen: Look) -> tuple[int, str] | None:
        """The index and the word of a block's first token that is not known; once there was one, None."""
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
        return at, words[seen.numbers[at]] if seen.numbers[at] >= 0 else seen.odd[0]
