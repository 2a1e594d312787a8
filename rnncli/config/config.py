"""The config: settings with their defaults and rules, and conversion from and to plain mappings. No YAML here.

`yaml_file.read` makes a `Config` from a file, `from_dict` from the mapping in a checkpoint. Both use `build`, which
collects every fault before it raises.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rnncli.model.cells import CELLS
from rnncli.model.engines import ENGINES
from rnncli.model.noise import Dropout
from rnncli.model.outputs import OUTPUTS
from rnncli.optim import OPTIMIZERS
from rnncli.optim.averaging import AVERAGING
from rnncli.optim.schedules import SCHEDULES
from rnncli.schema.builder import Builder, Fault, Node, raise_faults
from rnncli.schema.fields import Choice, Duration, Interval, options_of, setting, settings_of
from rnncli.text.tokenize import TOKENIZERS


@dataclass(frozen=True)
class DataConfig:
    """The texts. Paths are absolute; a float in `valid` is the share of the training lines to hold out.

    The path of a text may be a pattern or a folder. `cache` None: the user's cache folder.
    """

    train: tuple[str, ...] = setting(kind="path")
    valid: str | float | None = setting(None, kind="path or fraction")
    test: str | None = setting(None, kind="path")
    mode: str = setting("sentences", choices=("sentences", "stream"))
    line_end: bool = setting(True)
    tokenizer: str = setting("whitespace", choices=TOKENIZERS)
    lowercase: bool = setting(False)
    cache: str | None = setting(None, kind="path")


@dataclass(frozen=True)
class VocabularyConfig:
    min_count: int = setting(1, minimum=1)
    max_size: int | None = setting(None, minimum=3, note="<end>, <unk> and a word")
    unknown: bool | None = setting(None)
    file: str | None = setting(None, kind="path")


@dataclass(frozen=True)
class ModelConfig:
    cell: str = setting("lstm", choices=CELLS)
    layers: int = setting(1, minimum=1, maximum=1000)
    hidden_size: int = setting(64, minimum=1)
    embedding_size: int | None = setting(None, minimum=1)
    output: Choice = setting(Choice.of(OUTPUTS, "full"), choices=OUTPUTS)
    engine: str = setting("fused", choices=ENGINES)
    tied: bool = setting(False, later=True)


@dataclass(frozen=True)
class OptimizerConfig:
    """`clip_norm` None: no clipping. `options` are those of the named optimizer, with keys in this section."""

    name: str = setting("adam", choices=OPTIMIZERS)
    options: Any = setting(options_of(OPTIMIZERS, "adam")(), options_of="name")
    learning_rate: float = setting(0.001, above=0)
    clip_norm: float | None = setting(5.0, above=0)
    schedule: Choice = setting(Choice.of(SCHEDULES, "constant"), choices=SCHEDULES)
    weight_decay: float = setting(0.0, minimum=0, below=1, later=True)


@dataclass(frozen=True)
class TrainingConfig:
    """`patience` counts epochs, `bptt` time steps, `batch_size` sequences."""

    epochs: int = setting(10, minimum=1)
    batch_size: int = setting(20, minimum=1)
    bptt: int = setting(35, minimum=1)
    random_seed: int | None = setting(None, minimum=0, maximum=2**63 - 1)
    patience: int | None = setting(None, minimum=1)
    max_time: Duration | None = setting(None)
    dtype: str = setting("float32", choices=("float32", "float64"))
    averaging: Choice = setting(Choice.of(AVERAGING, "none"), choices=AVERAGING, later=True)


@dataclass(frozen=True)
class GuardConfig:
    """Response to divergence. `every` counts steps; `jump` is in nats per word, None: any finite loss passes."""

    every: int = setting(1000, minimum=1)
    rollbacks: int = setting(4, minimum=0, maximum=1000)
    learning_rate_factor: float = setting(0.5, above=0, maximum=1)
    jump: float | None = setting(3.0, above=0)


@dataclass(frozen=True)
class ParallelConfig:
    shards: int = setting(1, minimum=1, maximum=1, note="this version trains in one shard")
    reduction: str = setting("tree", choices=("tree",), note="this version adds up in one way")


@dataclass(frozen=True)
class RunConfig:
    dir: str | None = setting(None, kind="path")
    keep: int = setting(2, minimum=1)
    checkpoint_every: Interval = setting(Interval(1, "epoch"))


@dataclass(frozen=True)
class Config:
    """All settings of a run. `from_dict` and `yaml_file.read` validate them; the constructor does not."""

    data: DataConfig
    vocabulary: VocabularyConfig = field(default_factory=VocabularyConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    guard: GuardConfig = field(default_factory=GuardConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    run: RunConfig = field(default_factory=RunConfig)
    dropout: Dropout = field(default_factory=Dropout)


# Settings that exclude each other: the keys (the fault is reported at the first), the condition, the message after it.
Conflict = tuple[tuple[str, ...], Callable[[Config], bool], str]
CONFLICTS: tuple[Conflict, ...] = (
    (
        ("vocabulary.unknown", "vocabulary.min_count"),
        lambda c: c.vocabulary.unknown is False and c.vocabulary.min_count > 1,
        "is false, but min_count above 1 leaves words out; remove unknown, or set min_count to 1",
    ),
    (
        ("vocabulary.unknown", "vocabulary.max_size"),
        lambda c: c.vocabulary.unknown is False and c.vocabulary.max_size is not None,
        "is false, but max_size leaves words out; remove one of the two",
    ),
    (
        ("vocabulary.file", "vocabulary.min_count", "vocabulary.max_size"),
        lambda c: c.vocabulary.file is not None and (c.vocabulary.min_count > 1 or c.vocabulary.max_size is not None),
        "lists the words to keep, so min_count and max_size have no effect; remove them, or the file",
    ),
    (
        ("training.patience", "data.valid"),
        lambda c: c.training.patience is not None and c.data.valid is None,
        "needs data.valid to measure progress; set it to a path or to a fraction such as 0.1, or remove patience",
    ),
    (
        ("optimizer.name", "model.engine"),
        lambda c: c.optimizer.name == "lazy_adam" and c.model.engine == "stepwise",
        "is lazy_adam, which needs the row lists of the fused engine; set model.engine to fused, or use adam",
    ),
    (
        ("model.tied", "model.embedding_size"),
        lambda c: c.model.tied and c.model.embedding_size is None,
        "is true, but one-hot vectors enter the model, so there is no embedding to share; set model.embedding_size",
    ),
    (
        ("model.tied", "model.output"),
        lambda c: c.model.tied and c.model.output.name == "adaptive",
        "is true, but the matrices of an adaptive softmax have several sizes; set model.output to full or sampled",
    ),
    *(
        (
            (f"dropout.{name}", "model.embedding_size"),
            lambda c, name=name: getattr(c.dropout, name) > 0 and c.model.embedding_size is None,
            "drops parts of embedding rows, but one-hot vectors enter the model; set model.embedding_size",
        )
        for name in ("input", "word")
    ),
    (
        ("dropout.hidden", "model.layers"),
        lambda c: c.dropout.hidden > 0 and c.model.layers == 1,
        "acts between layers, and there is one; set dropout.output, or model.layers to 2 or more",
    ),
    (
        ("optimizer.schedule", "data.valid"),
        lambda c: c.optimizer.schedule.name == "plateau" and c.data.valid is None,
        "is plateau, which needs data.valid; set it to a path or to a fraction such as 0.1",
    ),
    (
        ("training.averaging", "data.valid"),
        lambda c: c.training.averaging.name == "asgd" and c.data.valid is None,
        "is asgd, which begins when validation stalls; set data.valid to a path or to a fraction, or choose ema",
    ),
    (
        ("optimizer.weight_decay", "optimizer.name"),
        lambda c: c.optimizer.weight_decay > 0 and c.optimizer.name == "lazy_adam",
        "changes every weight in every step, and lazy_adam leaves rows alone; use adam, or set weight_decay to 0",
    ),
    (
        ("data.line_end", "data.mode"),
        lambda c: c.data.line_end is False and c.data.mode == "sentences",
        "is false, but in mode sentences each line end is an <end>; remove it, or set data.mode to stream",
    ),
)


def from_dict(mapping: Mapping[str, Any]) -> Config:
    """Return the config of a mapping from `to_dict` or `portable_dict`. Paths are not changed.

    Raises ConfigError with every fault, one per line.
    """
    return build(Node.of(mapping), [])


def to_dict(config: Config) -> dict[str, Any]:
    """Return the whole config as dicts, lists, strings, numbers, booleans and None; `from_dict` reads it back."""
    plain = _plain(config)
    assert isinstance(plain, dict)
    return plain


def portable_dict(config: Config) -> dict[str, Any]:
    """Return `to_dict` without settings of one machine or one start: paths are reduced to file names; `run.dir`,
    `data.cache` and `training.max_time` are None.
    """
    return to_dict(_portable(config))


def stored_dict(config: Config) -> dict[str, Any]:
    """Return `portable_dict` as a checkpoint stores it: without `later` settings that have their defaults, so that a
    new setting leaves the bytes of existing runs unchanged.
    """
    plain = _plain(_portable(config), stored=True)
    assert isinstance(plain, dict)
    return {section: settings for section, settings in plain.items() if settings}


def _portable(config: Config) -> Config:
    def base(path: str) -> str:
        name = os.path.basename(path) or path
        return name if name.strip() else os.path.join(os.curdir, name)  # a file name may consist of a line end

    named = map_paths(config, base)
    data, run = dataclasses.replace(named.data, cache=None), dataclasses.replace(named.run, dir=None)
    training = dataclasses.replace(named.training, max_time=None)
    return dataclasses.replace(named, data=data, run=run, training=training)


def map_paths(config: Config, change: Callable[[str], str]) -> Config:
    """Return the config with `change` applied to every path in it, but not to a fraction in `data.valid`."""
    sections = {}
    for section, each in settings_of(Config).items():
        old, new = getattr(config, section), {}
        for name, rules in settings_of(each.type).items():
            value = getattr(old, name)
            if rules.kind.startswith("path") and value is not None and not isinstance(value, float):
                new[name] = tuple(map(change, value)) if isinstance(value, tuple) else change(value)
        sections[section] = dataclasses.replace(old, **new)
    return Config(**sections)


def build(root: Node, faults: list[Fault]) -> Config:
    """Return the config that a tree of nodes describes.

    Raises ConfigError with every fault, including those in `faults`, one per line in the order of their sources.
    """
    config: Config = Builder(Config, faults).build(root)
    faulty = {fault.key for fault in faults}
    for keys, clash, message in CONFLICTS:
        if not any(key in faulty or key.split(".")[0] in faulty for key in keys) and clash(config):
            faults.append(Fault(root.at(tuple(keys[0].split("."))).source, keys[0], message))
    raise_faults(faults)
    return config


def _plain(value: Any, stored: bool = False) -> Any:
    """Dataclasses as mappings; `stored`: without `later` settings that have their defaults."""
    if isinstance(value, Choice):
        return {"name": value.name, **_plain(value.options, stored)}
    if isinstance(value, Duration | Interval):
        return value.canonical()
    if isinstance(value, tuple):
        return [_plain(item, stored) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain: dict[str, Any] = {}
        for name, each in settings_of(type(value)).items():
            here = getattr(value, name)
            if not (stored and each.rule.later and here == each.default):
                plain |= _plain(here, stored) if each.kind == "options" else {name: _plain(here, stored)}
        return plain
    return value
