"""Build objects from a config: the only module that maps names in a config to classes."""

from __future__ import annotations

from rnncli.batches.batch import Batches
from rnncli.batches.sentences import SentenceBatches
from rnncli.batches.stream import StreamBatches
from rnncli.config.config import Config, ModelConfig
from rnncli.config.corpora import small_stream_error
from rnncli.errors import ConfigError
from rnncli.model import Architecture, LanguageModel, Parameters
from rnncli.model.cells import CELLS, Lstm
from rnncli.model.engines import ENGINES, Input, Stack
from rnncli.model.outputs import OUTPUTS, AdaptiveSoftmax, Output
from rnncli.optim import AVERAGING, OPTIMIZERS, SCHEDULES, Averaging, Optimizer, Schedule
from rnncli.schema.suggestions import listed
from rnncli.system.arrays import Array
from rnncli.text.corpus import Corpus
from rnncli.text.vocabulary import Vocabulary

# Window sizes for evaluation, which keeps nothing for a backward pass.
EVALUATION_SENTENCES = 16
EVALUATION_STEPS = 32
EVALUATION_STREAM_STEPS = 512


def architecture(m: ModelConfig, vocabulary_size: int) -> Architecture:
    """The architecture of a config's model. Its methods raise ConfigError for output options that do not fit."""
    output, D = OUTPUTS[m.output.name], m.embedding_size
    projected = D if m.tied and m.hidden_size != D else None
    aliases: tuple[tuple[str, str], ...] = (("output.Wya", "embedding.E"),) if m.tied else ()
    if m.tied and output is AdaptiveSoftmax:
        names = output.shapes(projected or m.hidden_size, vocabulary_size, m.output.options)
        aliases = tuple((f"input.{name}", f"output.{name}") for name in names if not name.startswith("b"))
    cell = Lstm(m.forget_bias) if m.cell == "lstm" else CELLS[m.cell]
    sizes = (vocabulary_size, cell, m.layers, m.hidden_size, D)
    return Architecture(*sizes, output, m.output.options, aliases, projected, m.residual)


def language_model(
    engine: str, architecture: Architecture, parameters: Parameters, counts: Array | None = None
) -> LanguageModel:
    """A model that this engine runs. counts: of the words in the training text, (V,), if known.

    Raises ConfigError if the engine does not implement the cell or the output layer.
    """
    return LanguageModel(architecture, *parts(engine, architecture, counts), parameters)


def parts(engine: str, architecture: Architecture, counts: Array | None = None) -> tuple[Input, Stack, Output]:
    """Input, stack and output layer of such a model; they take little memory until they are used."""
    if not ENGINES[engine].supports(architecture):
        raise ConfigError(
            f"model.engine {engine} does not implement this cell or output layer",
            remedy=f"choose {listed(engines_for(architecture))}",
        )
    return ENGINES[engine].parts(architecture, counts)


def engines_for(architecture: Architecture) -> list[str]:
    """The engines that can run a model of this architecture."""
    return [name for name, engine in ENGINES.items() if engine.supports(architecture)]


def model(
    config: Config, parameters: Parameters, vocabulary: Vocabulary, temperature: float | None = None
) -> LanguageModel:
    """The model of a config with these parameters. temperature: of its softmax, None: 1."""
    of_config = architecture(config.model, len(vocabulary))
    made = language_model(config.model.engine, of_config, parameters, vocabulary.counts)
    made.temperature = temperature or 1.0
    return made


def exact(config: Config) -> bool:
    """Whether the training loss is -ln P, so that it has a perplexity."""
    return OUTPUTS[config.model.output.name].exact


def optimizer_class(config: Config) -> type[Optimizer]:
    return OPTIMIZERS[config.optimizer.name]


def moment_names(config: Config) -> tuple[str, ...]:
    """Names of the vectors beside the parameters: the moments of the optimizer, and the average."""
    return (*optimizer_class(config).moment_names(config.optimizer.options), *averaging(config).names)


def averaging(config: Config) -> Averaging:
    return AVERAGING[config.training.averaging.name](config.training.averaging.options)


def optimizer(config: Config, parameters: Parameters) -> Optimizer:
    return optimizer_class(config)(parameters.vector.size, parameters.dtype, config.optimizer.options)


def schedule(config: Config) -> Schedule:
    return SCHEDULES[config.optimizer.schedule.name](config.optimizer.schedule.options)


def training_batches(config: Config, text: Corpus, end_id: int, random_seed: int) -> Batches:
    """Training batches. Raises TextError for a stream with fewer words than columns."""
    size, bptt = config.training.batch_size, config.training.bptt
    if config.data.mode == "sentences":
        return SentenceBatches(text.ids, text.line_starts, end_id, size, bptt, random_seed)
    if text.tokens < size:
        raise small_stream_error(text.files[0][0], text.tokens, size)
    return StreamBatches(text.ids, end_id, size, bptt)


def evaluation_batches(config: Config, text: Corpus, end_id: int) -> Batches:
    """Evaluation batches: a stream is one column, so that results do not depend on a batch size."""
    if config.data.mode == "stream":
        return StreamBatches(text.ids, end_id, 1, EVALUATION_STREAM_STEPS)
    return SentenceBatches(text.ids, text.line_starts, end_id, EVALUATION_SENTENCES, EVALUATION_STEPS, None)
