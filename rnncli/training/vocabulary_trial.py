"""Comparison of vocabularies before training: coverage of the texts, and size, memory and speed of a model."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rnncli.config import build, corpora
from rnncli.config.config import Config
from rnncli.errors import ConfigError, TextError
from rnncli.system import process
from rnncli.text.corpus import Part, Texts, encode, read_parts
from rnncli.text.files import Watch, passing
from rnncli.text.lines import read_blocks
from rnncli.text.vocabulary import Rules, Vocabulary
from rnncli.training import memory_forecast
from rnncli.training.divergence import Diverged, not_finite
from rnncli.training.speed import FIRST_TIMED_STEP
from rnncli.training.step import Attempt, Learner

MIN_COUNTS = (1, 2, 3, 5, 10, 20, 50)
MAX_SIZES = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000)
SAMPLE = 1 << 20  # bytes from the beginning of the training text, used for trial steps
TRIAL_STEPS = 20
TRIAL_SECONDS = 1.0


@dataclass(frozen=True)
class VocabularyRow:
    """One vocabulary, and a model with it.

    min_count, max_size, file: its rules. chosen: they are those of the config. words: its size.
    train_covered, valid_covered: the share of the words of that text (without `<end>`) that are in the vocabulary.
    valid_unknown: number of words that are not. None without a validation text.
    refused: there are such words but no `<unk>`, so that training would not start.
    parameters, peak_memory (predicted bytes of training): None if the output layer of the config does not accept a
    vocabulary of this size. words_per_second, epoch_seconds: from a trial of a few steps; None without one.
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

    sample: bytes from the beginning of the training text. resident: bytes of the process before it read the texts.
    """

    config: Config
    train: Part
    valid: Part | None
    sample: bytes
    resident: int

    @classmethod
    def read(cls, config: Config, watch: Watch | None = None) -> Candidates:
        """Read the texts of a config. Raises TextError as training does."""
        resident = process.resident_memory() or memory_forecast.PYTHON_AND_NUMPY
        files = corpora.files(config)
        for file in filter(passing, files.train):
            raise TextError(
                "can be read only once, and its beginning is needed again", location=file, remedy="save it as a file"
            )
        train, valid = read_parts(files.train, corpora.text_format(config.data), files.valid, watch=watch)
        for part in (train, valid):
            if part is not None:  # the words and their counts are kept
                part.text.close()
        return cls(config, train, valid, _beginning(files.train, train.last), resident)

    @property
    def tokens(self) -> int:
        """Tokens of the training text, including `<end>`."""
        return sum(self.train.frequency.values()) + self.train.end_count

    def rows(
        self, min_counts: Sequence[int], max_sizes: Sequence[int], trial: bool, every: bool = False
    ) -> Iterator[VocabularyRow]:
        """The config's own vocabulary, then one for each rule.

        every: include vocabularies of a size that was already listed. Rules that leave no word are skipped.
        trial: measure the training speed of a model with each. Raises TextError and ConfigError if training with the
        config's own vocabulary would.
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
        """The vocabulary by these rules. Raises TextError."""
        return self.train.vocabulary(rules, corpora.text_format(self.config.data))

    def _row(self, rules: Rules, vocabulary: Vocabulary, chosen: bool, trial: bool) -> VocabularyRow:
        known, total = _known(self.train.frequency, vocabulary)
        valid = (None, None) if self.valid is None else _known(self.valid.frequency, vocabulary)
        unknown = None if valid[0] is None else valid[1] - valid[0]
        refused = bool(unknown) and vocabulary.unknown_id is None
        parameters = peak = rate = None
        try:
            shapes = build.architecture(self.config.model, len(vocabulary)).shapes()
            text = encode([io.BytesIO(self.sample)], corpora.text_format(self.config.data), vocabulary)
            # The windows of the other texts are about as long as those of the sample, so it replaces them here.
            texts = Texts(vocabulary, text, text if self.valid else None, text if self.config.data.test else None)
            parts = memory_forecast.predict(self.config, texts).parts
        except ConfigError:
            if chosen:
                raise
        else:
            parameters = sum(int(np.prod(shape)) for shape in shapes.values())
            more = sum(parts.values()) - parts["process"]
            peak, available = more + self.resident, process.available_memory()
            if trial and (available is None or more <= available):
                rate = _words_per_second(self.config, texts)
        return VocabularyRow(
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
    """The rules to compare with those of the config."""
    for count in min_counts:
        yield Rules(count, None, own.unknown if count == 1 or own.unknown else None)
    for size in max_sizes:
        yield Rules(1, size, own.unknown or None)  # `unknown: false` contradicts them


def _known(frequency: Mapping[str, int], vocabulary: Container[str]) -> tuple[int, int]:
    """How many words of a text are in the vocabulary, and how many it has."""
    return sum(n for word, n in frequency.items() if word in vocabulary), sum(frequency.values())


def _beginning(files: Sequence[str], lines: int) -> bytes:
    """The beginning of a text: about SAMPLE bytes, and at most `lines` lines."""
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
    """Median over a few steps without the first ones; None if a loss is not finite."""
    parameters = build.architecture(config.model, len(texts.vocabulary)).initialise(0, config.training.dtype)
    model = build.model(config, parameters, texts.vocabulary)
    learner = Learner.of(config, model, random_seed=0)
    batches = build.training_batches(config, texts.train, texts.vocabulary.end_id, 0)
    rates: list[float] = []
    began = started = time.perf_counter()
    try:
        while True:
            for batch in batches.epoch(0):  # repeat a short text
                learner.step_(batch, len(rates) + 1, config.optimizer.learning_rate, _finite)
                now = time.perf_counter()
                rates.append(batch.words / (now - started))
                late = now - began > TRIAL_SECONDS and len(rates) > 1
                if late or len(rates) == FIRST_TIMED_STEP + TRIAL_STEPS:
                    return statistics.median(rates[FIRST_TIMED_STEP:] or rates[1:])
                started = time.perf_counter()
    except Diverged:
        return None


def _finite(attempt: Attempt) -> None:
    if what := not_finite(attempt.loss, attempt.norm):
        raise Diverged(what, attempt.loss, attempt.norm)
