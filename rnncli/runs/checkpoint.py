"""What of a run is stored in a checkpoint, and how it is put to use again: to resume, or as a model alone."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnncli.config import build
from rnncli.runs import checkpoint_file
from rnncli.system import blas
from rnncli.config.config import Config, from_dict, portable_dict
from rnncli.model.architecture import Architecture
from rnncli.errors import ConfigError, RunError
from rnncli.optim import OPTIMIZERS
from rnncli.model.parameters import Array, Parameters, Shapes
from rnncli.runs.progress import Progress, progress_of
from rnncli.text.corpus import Texts
from rnncli.text.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a checkpoint says of a run in words. `config` is portable: without any folder of this machine."""

    config: Config
    vocabulary: Vocabulary
    random_seed: int
    progress: Progress
    data: dict[str, str | None]  # SHA-256 of the training and the validation text
    machine: dict[str, Any] = field(default_factory=blas.describe)  # that wrote it
    weights_only: bool = False  # without moments and state: to predict, not to go on training


@dataclass(frozen=True, kw_only=True)
class Contents(Described):
    """A run at one step."""

    parameters: Parameters
    moments: dict[str, Array]  # (size,) each
    state: dict[str, Array]  # (H, B) each


def hashes(texts: Texts) -> dict[str, str | None]:
    """What tells that the texts are still the same."""
    return {"train": texts.train.sha256, "valid": texts.valid.sha256 if texts.valid else None}


def write(path: Path, contents: Contents, durable: bool = True) -> None:
    """Write a checkpoint, as `checkpoint.write` does. Raises WriteError."""
    vocabulary, data = contents.vocabulary, contents.config.data
    meta = {
        "config": portable_dict(contents.config),
        "vocabulary": list(vocabulary.words),
        "counts": None if vocabulary.counts is None else vocabulary.counts.tolist(),
        "tokenizer": {"name": data.tokenizer, "lowercase": data.lowercase},
        "random_seed": contents.random_seed,
        "data": contents.data,
        "machine": contents.machine,
        "weights_only": contents.weights_only,
    } | asdict(contents.progress)
    members = {f"parameter.{name}": tensor for name, tensor in contents.parameters.items()}
    for moment, vector in contents.moments.items():
        tensors = Parameters(contents.parameters.shapes, vector=vector)
        members |= {f"moment.{moment}.{name}": tensor for name, tensor in tensors.items()}
    members |= {f"state.{name}": array for name, array in contents.state.items()}
    checkpoint_file.write(path, meta, members, durable)


def write_weights(path: Path, contents: Contents) -> None:
    """Write the weights alone, with all that predicting and measuring need. Raises WriteError."""
    write(path, replace(contents, moments={}, state={}, weights_only=True))


def describe(path: Path) -> Described:
    """What a checkpoint says; its arrays are not looked at. Raises RunError as `read` does."""
    with _usable(path) as (_, described):
        return described


def verify(path: Path) -> Described:
    """The same, once every byte of the checkpoint was found to be what was written, and of the shape that it should be.

    Raises RunError.
    """
    with _usable(path) as (stored, described):
        for name in stored.names:
            stored.check(name)
        shapes = _architecture(described).shapes()
        expected = {f"parameter.{name}": shape for name, shape in shapes.items()}
        if not described.weights_only:
            for moment in OPTIMIZERS[described.config.optimizer.name].moment_names:
                expected |= {f"moment.{moment}.{name}": shape for name, shape in shapes.items()}
            _state(stored, described)
        _expect(stored, expected, described.config.training.dtype)
        return described


def read(path: Path, resume: bool = True, out: Contents | None = None) -> Contents:
    """Read a checkpoint, with what only resuming needs (moments and state) or without.

    Parameters and moments of `out` take what is read, and are those of the result: they are of the same config.
    Raises RunError where the file is not a whole checkpoint of a version that is read, or holds weights alone and is
    to be resumed; `out` may then have a part of it.
    """
    with _usable(path) as (stored, described):
        if resume and described.weights_only:
            raise RunError(
                f"{path}: holds weights alone (rnncli inspect --strip), to predict and measure with; to go on "
                "training, name a checkpoint of the run"
            )
        shapes, dtype = _architecture(described).shapes(), described.config.training.dtype
        optimizer = OPTIMIZERS[described.config.optimizer.name]
        moments = {
            name: _tensors(stored, f"moment.{name}.", shapes, dtype, out.moments[name] if out else None).vector
            for name in (optimizer.moment_names if resume else ())
        }
        if negative := [name for name in optimizer.squares if name in moments and moments[name].min() < 0]:
            raise ValueError(f"moment {negative[0]} has numbers below 0")
        return Contents(
            **{each.name: getattr(described, each.name) for each in fields(described)},
            parameters=_tensors(stored, "parameter.", shapes, dtype, out.parameters.vector if out else None),
            moments=moments,
            state=_state(stored, described) if resume else {},
        )


@contextmanager
def _usable(path: Path) -> Iterator[tuple[checkpoint_file.Stored, Described]]:
    """An open checkpoint and what it says; what is wrong with them, and with what is then asked of it, as RunError."""
    with checkpoint_file.opened(path) as stored:
        try:
            meta = _upgraded(stored.meta)
            yield (
                stored,
                Described(
                    config=from_dict(meta["config"]),
                    vocabulary=_vocabulary(meta),
                    random_seed=_seed(meta["random_seed"]),
                    progress=progress_of(meta),
                    data=_facts(meta["data"], ("train", "valid")),
                    machine=_facts(meta["machine"], blas.describe()),
                    weights_only=_typed(meta["weights_only"], bool),
                ),
            )
        except (LookupError, TypeError, ValueError, ConfigError) as error:
            raise RunError(f"{path}: not a checkpoint that this rnncli can use: {error}") from error


def _architecture(described: Described) -> Architecture:
    return build.architecture(described.config, len(described.vocabulary))


def _upgraded(meta: checkpoint_file.Meta) -> checkpoint_file.Meta:
    """What a checkpoint says, as one of today would say it."""
    if meta["format_version"] == 2:
        return {"weights_only": False} | asdict(Progress()) | meta
    return meta


def _vocabulary(meta: checkpoint_file.Meta) -> Vocabulary:
    words, counts = meta["vocabulary"], meta["counts"]
    if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
        raise ValueError("the vocabulary is no list of words")
    if counts is not None:
        fits = isinstance(counts, list) and len(counts) == len(words)
        if not fits or not all(type(n) is int and 0 <= n < 2**63 for n in counts):
            raise ValueError("the counts are not those of the words")
        counts = np.array(counts, np.int64)
    return Vocabulary(tuple(words), counts)


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{reprlib.repr(value)} should be of type {kind.__name__}")
    return value


def _seed(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("random_seed is no whole number from 0 to 2^63 - 1")
    return value


def _facts(stored: Any, names: Iterable[str]) -> dict[str, Any]:
    """A mapping of these names to words, numbers or nothing."""
    _typed(stored, dict)
    for name in names:
        if not isinstance(stored[name], str | int | None):
            raise ValueError(f"{name} is {reprlib.repr(stored[name])}")
    return dict(stored)


def _state(stored: checkpoint_file.Stored, described: Described) -> dict[str, Array]:
    """The carried state: of each layer the same number of columns, at most those of a batch."""
    architecture, training = _architecture(described), described.config.training
    state = {name: stored.array(f"state.{name}") for name in architecture.state_names()}
    columns = {array.shape[-1] for array in state.values() if array.ndim == 2}
    for name, array in state.items():
        if array.shape != (architecture.hidden_size, *columns) or array.dtype != training.dtype:
            raise ValueError(f"state.{name} is {array.dtype} {array.shape}")
    if not 1 <= max(columns) <= training.batch_size:
        raise ValueError(f"the carried state is of {max(columns)} columns, and a batch has {training.batch_size}")
    return state


def read_first(paths: Sequence[Path], resume: bool) -> tuple[Path, Contents, list[str]]:
    """The first checkpoint that is whole, its contents, and what is wrong with those before it.

    Raises RunError, for the first, where none is.
    """
    errors: list[RunError] = []
    for path in paths:
        try:
            return path, read(path, resume), [str(error) for error in errors]
        except RunError as error:
            errors.append(error)
    raise errors[0]


def _expect(stored: checkpoint_file.Stored, shapes: Shapes, dtype: str) -> None:
    for name, shape in shapes.items():
        found, of = stored.layout(name)
        if found != shape or of != dtype:
            raise ValueError(f"{name} is {of} {found}, and should be {dtype} {shape}")


def _tensors(stored: checkpoint_file.Stored, prefix: str, shapes: Shapes, dtype: str, out: Array | None) -> Parameters:
    _expect(stored, {prefix + name: shape for name, shape in shapes.items()}, dtype)
    tensors = Parameters(shapes, dtype, vector=out)
    for name, view in tensors.items():
        stored.read_into(prefix + name, view)
    return tensors


# What may change between the parts of one run: how long it trains, what is kept of it, what is done if it diverges.
FREE = ("training.epochs", "training.max_time", "training.patience", "run.", "guard.", "data.train", "data.test")


def changes(stored: Described, config: Config, texts: Texts | None) -> list[str]:
    """What in this config, or in the texts, is not as it was when a checkpoint was written, one line each."""
    before, now = (dict(_flat(portable_dict(each))) for each in (stored.config, config))
    before["training.random_seed"] = stored.random_seed
    if now["training.random_seed"] is None:  # none asked for: the run keeps its own
        now["training.random_seed"] = stored.random_seed
    if isinstance(before["data.valid"], str) and isinstance(now["data.valid"], str):
        before["data.valid"] = now["data.valid"]  # another name for a text: its hash tells whether it is the same
    different = [
        f"{key} was {before.get(key)!r}, and is {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not key.startswith(FREE)
    ]
    if texts is not None:
        if texts.vocabulary.words != stored.vocabulary.words:
            different.append("the vocabulary is another")
        different += [
            f"the text of data.{name} is another"
            for name, digest in hashes(texts).items()
            if digest != stored.data[name]
        ]
    return different


def other_machine(stored: Described) -> list[str]:
    """What decides the last bits and is not as it was when a checkpoint was written, one line each."""
    here = blas.describe()
    return [
        f"{name} was {before}, and is {here.get(name)}"
        for name, before in stored.machine.items()
        if before != here.get(name)
    ]


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
