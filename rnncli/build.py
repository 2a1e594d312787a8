"""From a config to objects: the only place where a name in a config meets a class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rnncli.config import Config, DataConfig
from rnncli.engines import ENGINES, Architecture
from rnncli.errors import ConfigError, TextError
from rnncli.machine import available_memory
from rnncli.model import LanguageModel
from rnncli.optim import OPTIMIZERS, SCHEDULES, Optimizer, Schedule
from rnncli.outputs import OUTPUTS
from rnncli.parameters import Parameters
from rnncli.text.batches import Batches, SentenceBatches, StreamBatches
from rnncli.text.corpus import Corpus, Reading, encode, prepare
from rnncli.text.lines import Source
from rnncli.text.tokenize import Tokenizer
from rnncli.text.vocabulary import Rules, Vocabulary

# Windows of evaluation, where nothing is kept for a backward pass.
EVALUATION_SENTENCES = 16
EVALUATION_STEPS = 32
EVALUATION_STREAM_STEPS = 512


@dataclass(frozen=True)
class Texts:
    """The vocabulary and the texts of a training run, as ids."""

    vocabulary: Vocabulary
    train: Corpus
    valid: Corpus | None
    test: Corpus | None


def reading(data: DataConfig) -> Reading:
    return Reading(Tokenizer(data.tokenizer, data.lowercase), data.mode, data.line_end)


def texts(config: Config) -> Texts:
    """Read and encode what the config names. Raises TextError."""
    v, data = config.vocabulary, config.data
    rules = Rules(v.min_count, v.max_size, v.unknown, v.file)
    vocabulary, train, valid = prepare(data.train, reading(data), rules, data.valid)
    return Texts(vocabulary, train, valid, corpus(config, [data.test], vocabulary) if data.test else None)


def corpus(config: Config, files: Sequence[Source], vocabulary: Vocabulary) -> Corpus:
    """Read and encode another text as the model of this config reads it. Raises TextError."""
    return encode(files, reading(config.data), vocabulary)


def architecture(config: Config, vocabulary_size: int) -> Architecture:
    m = config.model
    return Architecture(
        vocabulary_size, m.cell, m.layers, m.hidden_size, m.embedding_size, m.output.name, m.output.options
    )


def model(config: Config, parameters: Parameters, vocabulary: Vocabulary, random_seed: int = 0) -> LanguageModel:
    engine = ENGINES[config.model.engine](architecture(config, len(vocabulary)), vocabulary.counts)
    return LanguageModel(engine, parameters, random_seed)


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


def memory(config: Config, texts: Texts) -> dict[str, int]:
    """Bytes that training takes at its peak for what grows with model, batch and text, by what it is for."""
    item = np.dtype(config.training.dtype).itemsize
    sizes, end_id = architecture(config, len(texts.vocabulary)), texts.vocabulary.end_id
    shapes = sizes.shapes()
    parameters = item * sum(math.prod(shape) for shape in shapes.values())
    positions = training_batches(config, texts.train, end_id, 0).largest_window
    measured = [evaluation_batches(config, text, end_id).largest_window for text in (texts.valid, texts.test) if text]
    stacked = sum(shape[0] for name, shape in shapes.items() if name.endswith(".Waa"))
    return {
        "parameters": parameters,
        "gradients": parameters,
        "moments": parameters * len(OPTIMIZERS[config.optimizer.name].moment_names),
        # the gates' inputs, their gradients and the rows of both; the states of each layer, some of them twice
        "activations": item * positions * (4 * stacked + 6 * sizes.layers * sizes.hidden_size),
        "logits": item * sizes.vocabulary_size * max(positions, *measured, 0),
        "texts": sum(text.ids.nbytes for text in (texts.train, texts.valid, texts.test) if text),
    }


def check(config: Config, texts: Texts) -> None:
    """Raise what would stop training at its beginning, before anything is written.

    TextError for a stream with fewer words than columns; ConfigError, with the figures, for a model that cannot fit
    in this machine's memory.
    """
    need, available = sum(memory(config, texts).values()), available_memory()
    if available is not None and need > available:
        raise ConfigError(
            f"training this model takes {need / 1e9:.1f} GB, and {available / 1e9:.1f} GB are free here; lower "
            "vocabulary.max_size, model.hidden_size, model.embedding_size or training.batch_size"
        )
