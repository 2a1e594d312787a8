"""From a config to objects: the only place where a name in a config meets a class."""

from __future__ import annotations

from rnncli.batches.batch import Batches
from rnncli.batches.sentences import SentenceBatches
from rnncli.batches.stream import StreamBatches
from rnncli.config.config import Config
from rnncli.errors import TextError
from rnncli.model.engines import ENGINES, Architecture, Engine
from rnncli.model.language_model import LanguageModel
from rnncli.model.outputs import OUTPUTS
from rnncli.model.parameters import Parameters
from rnncli.optim import OPTIMIZERS
from rnncli.optim.base import Optimizer
from rnncli.optim.schedules import SCHEDULES, Schedule
from rnncli.text.corpus import Corpus
from rnncli.text.vocabulary import Vocabulary

# Windows of evaluation, where nothing is kept for a backward pass.
EVALUATION_SENTENCES = 16
EVALUATION_STEPS = 32
EVALUATION_STREAM_STEPS = 512


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
