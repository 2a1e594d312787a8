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

from rnncli.config.conflicts import CONFLICTS
from rnncli.model.cells import CELLS
from rnncli.model.engines import ENGINES
from rnncli.model.noise import Dropout
from rnncli.model.outputs import OUTPUTS, AdaptiveSoftmax
from rnncli.model.penalties import Penalties
from rnncli.optim import OPTIMIZERS
from rnncli.optim.averaging import AVERAGING
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
    language: str | None = setting(None, choices=LANGUAGES, later=True)
    normalize: str | None = setting(None, choices=NORMAL_FORMS, later=True)
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
    tied: bool = setting(False, later=True)
    forget_bias: float = setting(1.0, later=True)
    residual: bool = setting(False, later=True)


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
    calibrate: bool = setting(False, later=True)


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
    penalty: Penalties = field(default_factory=Penalties)


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


def dotted(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a mapping from `to_dict` or `portable_dict` by dotted key: `model.output.name`."""
    found: dict[str, Any] = {}
    for name, value in mapping.items():
        inner = dotted(value) if isinstance(value, Mapping) else None
        found |= {name: value} if inner is None else {f"{name}.{key}": each for key, each in inner.items()}
    return found


def stored_dict(config: Config) -> dict[str, Any]:
    """Return `portable_dict` as a checkpoint stores it: without `later` settings that have their defaults, so that a
    new setting leaves the bytes of existing runs unchanged.
    """
    portable = _portable(config)
    plain = _plain(portable, stored=True)
    assert isinstance(plain, dict)
    if portable.data.tokenizer_version == _unstored_version(plain["data"]):
        del plain["data"]["tokenizer_version"]
    output = plain.get("model", {}).get("output", {})
    if output.get("head") == _unstored_head(output):
        output.pop("head", None)
    return {section: settings for section, settings in plain.items() if settings}


def _portable(config: Config) -> Config:
    def base(path: str) -> str:
        name = os.path.basename(path) or path
        return name if name.strip() else os.path.join(os.curdir, name)  # a file name may consist of a line end

    named = map_paths(config, base)
    data, run = dataclasses.replace(named.data, cache=None), dataclasses.replace(named.run, dir=None)
    training = dataclasses.replace(named.training, max_time=None)
    return dataclasses.replace(named, data=data, run=run, training=training)


def from_stored(mapping: Mapping[str, Any]) -> Config:
    """Return the config of a mapping from `stored_dict`. Raises ConfigError as `from_dict` does."""
    data = mapping.get("data")
    if isinstance(data, Mapping):
        mapping = {**mapping, "data": {"tokenizer_version": _unstored_version(data), **data}}
    model = mapping.get("model")
    output = model.get("output") if isinstance(model, Mapping) else None
    if isinstance(model, Mapping) and isinstance(output, Mapping) and output.get("name") == "adaptive":
        mapping = {**mapping, "model": {**model, "output": {"head": _unstored_head(output), **output}}}
    return from_dict(mapping)


def _unstored_head(output: Mapping[str, Any]) -> float:
    """The head of an adaptive softmax that a checkpoint without one means: a longer one, before it was a setting."""
    return 0.15 if output.get("cutoffs") is None else AdaptiveSoftmax.Options.head


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
        if not any(
            f"{key}.".startswith(f"{bad}.") or bad.startswith(f"{key}.") for key in keys for bad in faulty
        ) and clash(config):
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
