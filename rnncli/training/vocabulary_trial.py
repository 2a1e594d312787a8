"""What each vocabulary would cover, and what a model with it would cost: told before hours are spent on one."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rnncli.config import build, corpora
from rnncli.config.config import Config
from rnncli.errors import ConfigError, NumericalError, TextError
from rnncli.runs.folder import RunFolder
from rnncli.system import process
from rnncli.text.corpus import Part, Texts, encode, read_parts
from rnncli.text.files import Watch, passing
from rnncli.text.lines import read_blocks
from rnncli.text.vocabulary import Rules, Vocabulary
from rnncli.training import memory_forecast
from rnncli.training.trainer import FIRST_TIMED_STEP, Trainer

MIN_COUNTS = (1, 2, 3, 5, 10, 20, 50)
MAX_SIZES = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000)
SAMPLE = 1 << 20  # bytes, from the beginning of the training text, that steps are tried on
TRIAL_STEPS = 20
TRIAL_SECONDS = 1.0


@dataclass(frozen=True)
class Row:
    """One vocabulary, and a model with it.

    min_count, max_size, file: the rules it is made by. chosen: they are the config's.
    words: its size. train_covered, valid_covered: the share of the words of that text (`<end>` left out) that are
    members; valid_unknown: how many are not. None where there is no validation text.
    refused: there is such a word, and no `<unk>` to stand for it, so that training would not begin.
    parameters, peak_memory (bytes, of training, predicted): None where the config's output layer takes no vocabulary of
    this size. words_per_second, epoch_seconds: by a trial of a few steps; None where none was made.
    """

    min_count: int
    max_size: int | None
    file: str | None
    chosen: bool
    words: int
    train_covered: float
    valid_covered: float | None
    valid_unknown: int | None
    refused: bool
    parameters: int | None
    peak_memory: int | None
    words_per_second: float | None
    epoch_seconds: float | None


@dataclass(frozen=True, eq=False)
class Candidates:
    """The texts of a config, read once for any number of vocabularies.

    sample: some of the training text, as bytes. resident: bytes of the process before the texts were read.
    """

    config: Config
    train: Part
    valid: Part | None
    sample: bytes
    resident: int

    @classmethod
    def read(cls, config: Config, watch: Watch | None = None) -> Candidates:
        """Raises TextError as training does."""
        resident = process.resident_memory() or memory_forecast.PYTHON_AND_NUMPY
        files = corpora.files(config)
        for file in filter(passing, files.train):
            raise TextError(f"{file}: can be read only once, and its beginning is needed again; save it as a file")
        train, valid = read_parts(files.train, corpora.reading(config.data), files.valid, watch=watch)
        for part in (train, valid):
            if part is not None:  # the words and their counts stay
                part.text.close()
        return cls(config, train, valid, _beginning(files.train, train.last), resident)

    @property
    def tokens(self) -> int:
        """Of the training text, `<end>` counted."""
        return sum(self.train.frequency.values()) + self.train.end_count

    def rows(
        self, min_counts: Sequence[int], max_sizes: Sequence[int], trial: bool, every: bool = False
    ) -> Iterator[Row]:
        """The config's own vocabulary, then one for each rule.

        every: those too that make one of a size that was there before. Rules that leave no word make none.
        trial: measure how fast a model with it is trained. Raises TextError and ConfigError where training with the
        config's own would.
        """
        rules = corpora.rules(self.config)
        own = self.vocabulary(rules)
        yield self._row(rules, own, True, trial)
        sizes = {len(own)}
        largest = len(self.train.frequency) + 2
        for other in _rules(rules, min_counts, [size for size in max_sizes if every or size < largest]):
            try:
                vocabulary = self.vocabulary(other)
            except TextError:  # no word is left
                continue
            if every or len(vocabulary) not in sizes:
                sizes.add(len(vocabulary))
                yield self._row(other, vocabulary, False, trial)

    def vocabulary(self, rules: Rules) -> Vocabulary:
        """Raises TextError."""
        return self.train.vocabulary(rules, corpora.reading(self.config.data))

    def _row(self, rules: Rules, vocabulary: Vocabulary, chosen: bool, trial: bool) -> Row:
        known, total = _known(self.train.frequency, vocabulary)
        valid = (None, None) if self.valid is None else _known(self.valid.frequency, vocabulary)
        unknown = None if valid[0] is None else valid[1] - valid[0]
        refused = bool(unknown) and vocabulary.unknown_id is None
        parameters = peak = rate = None
        try:
            shapes = build.architecture(self.config, len(vocabulary)).shapes()
            text = encode([io.BytesIO(self.sample)], corpora.reading(self.config.data), vocabulary)
            # Other texts are measured in windows as long as those of this one, more or less.
            texts = Texts(vocabulary, text, text if self.valid else None, text if self.config.data.test else None)
            parts = memory_forecast.predict(self.config, texts).parts
        except ConfigError:
            if chosen:
                raise
        else:
            parameters = sum(int(np.prod(shape)) for shape in shapes.values())
            peak = sum(parts.values()) - parts["process"] + self.resident
            available = process.available_memory()
            if trial and not (available and peak > available):
                rate = _words_per_second(self.config, texts)
        return Row(
            rules.min_count,
            rules.max_size,
            None if rules.file is None else str(rules.file),
            chosen,
            len(vocabulary),
            known / total,
            None if valid[0] is None else valid[0] / valid[1],
            unknown,
            refused,
            parameters,
            peak,
            rate,
            self.tokens / rate if rate else None,
        )


def _rules(own: Rules, min_counts: Sequence[int], max_sizes: Sequence[int]) -> Iterator[Rules]:
    """The rules to compare with a config's own."""
    for count in min_counts:
        yield Rules(count, None, own.unknown if count == 1 or own.unknown else None)
    for size in max_sizes:
        yield Rules(1, size, own.unknown or None)  # `unknown: false` contradicts them


def _known(frequency: Mapping[str, int], vocabulary: Container[str]) -> tuple[int, int]:
    """How many words of a text are members, and how many there are."""
    return sum(n for word, n in frequency.items() if word in vocabulary), sum(frequency.values())


def _beginning(files: Sequence[str], lines: int) -> bytes:
    """Lines from the beginning of a text, at most so many, some megabyte of them if there is so much."""
    sample = bytearray()
    for file in files:
        for block in read_blocks(file):
            sample += block.content
            if len(sample) >= SAMPLE:
                break
        if not sample.endswith(b"\n"):
            sample += b"\n"
        if len(sample) >= SAMPLE:
            break
    return b"\n".join([*bytes(sample).split(b"\n")[:-1][:lines], b""])


def _words_per_second(config: Config, texts: Texts) -> float | None:
    """The median over a few steps, the first ones left out; None where training diverges at once."""
    trainer = Trainer(replace(config, training=replace(config.training, random_seed=0)), texts, 0, RunFolder(Path()))
    rates: list[float] = []
    started = time.perf_counter()
    try:
        while True:
            for step in trainer.steps():
                rates.append(step.words_per_second)
                late = time.perf_counter() - started > TRIAL_SECONDS and len(rates) > 1
                if late or len(rates) == FIRST_TIMED_STEP + TRIAL_STEPS:
                    return statistics.median(rates[FIRST_TIMED_STEP:] or rates[1:])
            trainer.progress.index = 0  # a short text is read again
    except NumericalError:
        return None
