"""From a config to objects: the only place where a name in a config meets a class."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rnncli import machine
from rnncli.config import Config, DataConfig
from rnncli.engines import ENGINES, Architecture, Engine
from rnncli.errors import TextError
from rnncli.model import LanguageModel
from rnncli.optim import OPTIMIZERS, SCHEDULES, Optimizer, Schedule
from rnncli.outputs import OUTPUTS
from rnncli.parameters import Parameters
from rnncli.text import cache
from rnncli.text.batches import Batches, SentenceBatches, StreamBatches
from rnncli.text.corpus import Corpus, Reading, Texts, encode, prepare
from rnncli.text.files import Source, Watch, files_of, size_of
from rnncli.text.tokenize import Tokenizer
from rnncli.text.vocabulary import Rules, Vocabulary

# Windows of evaluation, where nothing is kept for a backward pass.
EVALUATION_SENTENCES = 16
EVALUATION_STEPS = 32
EVALUATION_STREAM_STEPS = 512

SMALL = 1_000_000  # bytes; smaller texts are read in less time than they are looked up


def reading(data: DataConfig) -> Reading:
    return Reading(Tokenizer(data.tokenizer, data.lowercase), data.mode, data.line_end)


def texts(config: Config, watch: Watch | None = None) -> Texts:
    """The texts that the config names, encoded; from the cache, if they are there.

    Small texts are read anew each time, unless `data.cache` names a folder; if there is no such folder, it is made.
    Raises TextError for what is wrong in a text, and WriteError where `data.cache` cannot be written.
    """
    found = files(config)
    folder = Path(config.data.cache) if config.data.cache else _default_cache(size_of(found.paths) or 0)
    asked = found.train, reading(config.data), rules(config), found.valid, found.test
    made = prepare(*asked, watch=watch) if folder is None else cache.prepared(folder, *asked, watch)
    machine.give_memory_back()  # of blocks that were read; else it counts as taken until the process ends
    return made


@dataclass(frozen=True)
class Files:
    """The files of the texts of a run; `valid` may be the share of the training lines that is held out."""

    train: list[str]
    valid: list[str] | float | None
    test: list[str] | None

    @property
    def paths(self) -> list[str]:
        """All of them."""
        return [*self.train, *(self.valid if isinstance(self.valid, list) else []), *(self.test or [])]


def files(config: Config) -> Files:
    """The files that the config's paths, patterns and folders stand for.

    Raises TextError where there is none, and where one stands twice in the training text.
    """
    data = config.data
    valid = text_files(config, data.valid) if isinstance(data.valid, str) else data.valid
    train = [file for path in data.train for file in text_files(config, path)]
    if (error := standing_twice(train)) is not None:
        raise error
    return Files(train, valid, None if data.test is None else text_files(config, data.test))


def standing_twice(train: Sequence[str]) -> TextError | None:
    """The error to raise for a training text of these files, where one stands twice in it."""
    seen = set[str]()
    for file in train:
        if (real := os.path.realpath(file)) in seen and os.path.isfile(real):
            told = "stands twice in data.train, by itself, in a folder or by a pattern; name it once"
            return TextError(f"{file}: {told}")
        seen.add(real)
    return None


def text_files(config: Config, path: str) -> list[str]:
    """The files of one path of a config; what the run itself writes is no text. Raises TextError."""
    run = config.run.dir or "runs"
    moved_aside = glob.glob(f"{glob.escape(run)}.[0-9]*")
    return files_of(path, [os.fspath(config.data.cache or cache.default_folder() or ""), run, *moved_aside])


def rules(config: Config) -> Rules:
    v = config.vocabulary
    return Rules(v.min_count, v.max_size, v.unknown, v.file)


def _default_cache(size: int) -> Path | None:
    """The user's cache folder, where it can be written and texts of this size are worth it."""
    if size < SMALL:
        return None
    folder = cache.default_folder()
    if folder is not None:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            return folder if os.access(folder, os.W_OK) else None
    return None


def corpus(config: Config, files: Sequence[Source], vocabulary: Vocabulary, watch: Watch | None = None) -> Corpus:
    """Read and encode another text as the model of this config reads it; a path may be a pattern or a folder, too.

    Raises TextError.
    """
    found: list[Source] = []
    for source in files:
        found += files_of(source) if isinstance(source, str | os.PathLike) else [source]
    return encode(found, reading(config.data), vocabulary, watch=watch)


def architecture(config: Config, vocabulary_size: int) -> Architecture:
    m = config.model
    return Architecture(
        vocabulary_size, m.cell, m.layers, m.hidden_size, m.embedding_size, m.output.name, m.output.options
    )


def model(config: Config, parameters: Parameters, vocabulary: Vocabulary, random_seed: int = 0) -> LanguageModel:
    return LanguageModel(engine(config, vocabulary), parameters, random_seed)


def engine(config: Config, vocabulary: Vocabulary) -> Engine:
    return ENGINES[config.model.engine](architecture(config, len(vocabulary)), vocabulary.counts)


def exact(config: Config) -> bool:
    """Whether the training loss is -ln P, so that it has a perplexity."""
    return OUTPUTS[config.model.output.name].exact


def optimizer(config: Config, parameters: Parameters) -> Optimizer:
    return OPTIMIZERS[config.optimizer.name](parameters.vector.size, parameters.dtype)


def schedule(config: Config) -> Schedule:
    return SCHEDULES[config.optimizer.schedule.name](config.optimizer.schedule.options)


def training_batches(config: Config, text: Corpus, end_id: int, random_seed: int) -> Batches:
    """The batches that a model is trained on. Raises TextError for a stream with fewer words than columns."""
    size, bptt = config.training.batch_size, config.training.bptt
    if config.data.mode == "sentences":
        return SentenceBatches(text.ids, text.line_starts, end_id, size, bptt, random_seed)
    if text.tokens < size:
        raise TextError(
            f"{text.files[0][0]}: the training text has {text.tokens} words (ends of lines counted), fewer than the "
            f"{size} that one batch needs; set training.batch_size to {text.tokens} or less, or give more text"
        )
    return StreamBatches(text.ids, end_id, size, bptt)


def evaluation_batches(config: Config, text: Corpus, end_id: int) -> Batches:
    """The batches that a text is measured with: a stream as one column, so that no figure depends on a batch size."""
    if config.data.mode == "stream":
        return StreamBatches(text.ids, end_id, 1, EVALUATION_STREAM_STEPS)
    return SentenceBatches(text.ids, text.line_starts, end_id, EVALUATION_SENTENCES, EVALUATION_STEPS, None)
