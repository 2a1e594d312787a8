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
from rnncli.model.outputs import OUTPUTS
from rnncli.optim import OPTIMIZERS
from rnncli.optim.schedules import SCHEDULES
from rnncli.schema.builder import Builder, Fault, Node, raise_faults
from rnncli.schema.fields import Choice, Duration, Interval, options_of, setting, settings_of
from rnncli.text.letter_forms import LANGUAGES, NORMAL_FORMS
from rnncli.text.tokenize import NEWEST, TOKENIZERS


@dataclass(frozen=True)
class DataConfig:
    """The texts. Paths are absolute; a float in `valid` is the share of the training lines to hold out.

    The path of a text may be a pattern or a folder. `cache` None: the user's cache folder. `tokenizer_version` is that
    of the tokenizers and of lowercasing: a run keeps the one it began with.
    """

    train: tuple[str, ...] = setting(kind="path")
    valid: str | float | None = setting(None, kind="path or fraction")
    test: str | None = setting(None, kind="path")
    mode: str = setting("sentences", choices=("sentences", "stream"))
    line_end: bool = setting(True)
    tokenizer: str = setting("whitespace", choices=TOKENIZERS)
    lowercase: bool = setting(False)
    language: str | None = setting(None, choices=LANGUAGES)
    normalize: str | None = setting(None, choices=NORMAL_FORMS)
    tokenizer_version: int = setting(NEWEST, minimum=1, maximum=NEWEST)
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


@dataclass(frozen=True)
class OptimizerConfig:
    """`clip_norm` None: no clipping. `options` are those of the named optimizer, with keys in this section."""

    name: str = setting("adam", choices=OPTIMIZERS)
    options: Any = setting(options_of(OPTIMIZERS, "adam")(), options_of="name")
    learning_rate: float = setting(0.001, above=0)
    clip_norm: float | None = setting(5.0, above=0)
    schedule: Choice = setting(Choice.of(SCHEDULES, "constant"), choices=SCHEDULES)


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
        ("data.line_end", "data.mode"),
        lambda c: c.data.line_end is False and c.data.mode == "sentences",
        "is false, but in mode sentences each line end is an <end>; remove it, or set data.mode to stream",
    ),
    (
        ("data.language", "data.lowercase"),
        lambda c: c.data.language is not None and not c.data.lowercase,
        "is that of lowercase letters, but data.lowercase is false; remove it, or set lowercase to true",
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

    def base(path: str) -> str:
        name = os.path.basename(path) or path
        return name if name.strip() else os.path.join(os.curdir, name)  # a file name may consist of a line end

    named = map_paths(config, base)
    data, run = dataclasses.replace(named.data, cache=None), dataclasses.replace(named.run, dir=None)
    training = dataclasses.replace(named.training, max_time=None)
    return to_dict(dataclasses.replace(named, data=data, run=run, training=training))


def stored_dict(config: Config) -> dict[str, Any]:
    """Return `portable_dict` as a checkpoint stores it: without optimizer options that have their defaults, and without
    settings of the texts that came later, so that these leave the bytes of existing runs unchanged.
    """
    plain, options = portable_dict(config), config.optimizer.options
    defaults = _plain(type(options)())
    plain["optimizer"] = {key: value for key, value in plain["optimizer"].items() if defaults.get(key, ...) != value}
    later = {"language": None, "normalize": None, "tokenizer_version": _unstored_version(plain["data"])}
    plain["data"] = {key: value for key, value in plain["data"].items() if later.get(key, ...) != value}
    return plain


def from_stored(mapping: Mapping[str, Any]) -> Config:
    """Return the config of a mapping from `stored_dict`. Raises ConfigError as `from_dict` does."""
    data = mapping.get("data")
    if isinstance(data, Mapping):
        mapping = {**mapping, "data": {"tokenizer_version": _unstored_version(data), **data}}
    return from_dict(mapping)


def _unstored_version(data: Mapping[str, Any]) -> int:
    """The version of the tokenizer that a checkpoint without one means: the first, where there was another."""
    return 1 if data.get("tokenizer") == "words" or data.get("lowercase") is True else NEWEST


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


def _plain(value: Any) -> Any:
    if isinstance(value, Choice):
        return {"name": value.name, **_plain(value.options)}
    if isinstance(value, Duration | Interval):
        return value.canonical()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain: dict[str, Any] = {}
        for name, each in settings_of(type(value)).items():
            of_setting = _plain(getattr(value, name))
            plain |= of_setting if each.kind == "options" else {name: of_setting}
        return plain
    return value
