"""What a checkpoint contains, and how it is restored: to resume a run, or to use its model."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnncli.config import build
from rnncli.config.config import Config, from_stored, stored_dict
from rnncli.errors import ConfigError, RunError
from rnncli.model.architecture import Architecture
from rnncli.model.parameters import Parameters
from rnncli.runs import checkpoint_file
from rnncli.runs.progress import EVALUATIONS, Progress, averaged_steps, progress_of, stored_fields
from rnncli.system import blas
from rnncli.system.arrays import Array, Shapes
from rnncli.text.corpus import Texts
from rnncli.text.vocabulary import Vocabulary

KEYS = ("config", "vocabulary", "counts", "random_seed", "data", "machine", "weights_only")


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Everything in a checkpoint except its arrays. `config` is portable: it contains no folder of the machine."""

    config: Config
    vocabulary: Vocabulary
    random_seed: int
    progress: Progress
    data: dict[str, str | None]  # SHA-256 of the training and the validation text
    machine: dict[str, Any] = field(default_factory=blas.describe)  # the machine that wrote it
    temperature: float | None = None  # of the softmax, if it was fitted
    source: dict[str, Any] | None = None  # of a warm start: hash and step of the model that it began with
    weights_only: bool = False  # without moments and state: predicts, but cannot be resumed


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Metadata):
    """The state of a run after one step."""

    parameters: Parameters
    moments: dict[str, Array]  # (size,) each
    state: dict[str, Array]  # (H, B) each


def hashes(texts: Texts) -> dict[str, str | None]:
    """SHA-256 of each text, to detect whether it has changed."""
    return {"train": texts.train.sha256, "valid": texts.valid.sha256 if texts.valid else None}


def write(path: Path, checkpoint: Checkpoint, durable: bool = True, remedy: str = checkpoint_file.REMEDY) -> None:
    """Write a checkpoint, as `checkpoint_file.write` does. Raises WriteError."""
    vocabulary, data = checkpoint.vocabulary, checkpoint.config.data
    meta = {
        "config": stored_dict(checkpoint.config),
        "vocabulary": list(vocabulary.words),
        "counts": None if vocabulary.counts is None else vocabulary.counts.tolist(),
        "tokenizer": {"name": data.tokenizer, "lowercase": data.lowercase},
        "random_seed": checkpoint.random_seed,
        "data": checkpoint.data,
        "machine": checkpoint.machine,
        "weights_only": checkpoint.weights_only,
    } | stored_fields(checkpoint.progress)
    later = {"source": checkpoint.source, "temperature": checkpoint.temperature}
    meta |= {name: value for name, value in later.items() if value is not None}
    members = {f"parameter.{name}": tensor for name, tensor in checkpoint.parameters.items()}
    for moment, vector in checkpoint.moments.items():
        tensors = Parameters(checkpoint.parameters.shapes, vector=vector)
        members |= {f"moment.{moment}.{name}": tensor for name, tensor in tensors.items()}
    members |= {f"state.{name}": array for name, array in checkpoint.state.items()}
    checkpoint_file.write(path, meta, members, durable, remedy)


def write_weights(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint without moments and state, enough to predict and evaluate. Raises WriteError."""
    write(path, replace(checkpoint, moments={}, state={}, weights_only=True), remedy="name another file")


def read_metadata(path: Path) -> Metadata:
    """The metadata of a checkpoint; its arrays are not read. Raises RunError as `read` does."""
    with _opened(path) as (_, metadata):
        return metadata


def verify(path: Path) -> Metadata:
    """Verify every byte and shape, then return the metadata. Raises RunError as `read` does."""
    with _opened(path) as (stored, metadata):
        for name in stored.names:
            stored.check(name)
        shapes = _architecture(metadata).shapes()
        expected = {f"parameter.{name}": shape for name, shape in shapes.items()}
        if not metadata.weights_only:
            for moment in build.moment_names(metadata.config):
                expected |= {f"moment.{moment}.{name}": shape for name, shape in shapes.items()}
            _state(stored, metadata)
        _expect(stored, expected, metadata.config.training.dtype)
        return metadata


def read(path: Path, resume: bool = True, out: Checkpoint | None = None) -> Checkpoint:
    """Read a checkpoint; with `resume`, also what only resuming needs: moments and state.

    Without `resume` the parameters are those of the model to use: their average, if they are averaged. If `out`, of the
    same config, is given, its parameters and moments are overwritten and used in the result.
    Raises RunError if the file is damaged, has a format version that is not read, does not fit its own config, or
    contains only weights and `resume` is set; `out` may then be partly overwritten.
    """
    with _opened(path) as (stored, metadata):
        if resume and metadata.weights_only:
            raise RunError(
                "contains only weights (rnncli inspect --strip), which can predict but not resume",
                location=str(path),
                remedy="name a checkpoint of the run",
            )
        shapes, dtype = _architecture(metadata).shapes(), metadata.config.training.dtype
        moments = {
            name: _tensors(stored, f"moment.{name}.", shapes, dtype, out.moments[name] if out else None).vector
            for name in (build.moment_names(metadata.config) if resume else ())
        }
        squares = build.optimizer_class(metadata.config).squares
        if negative := [name for name in squares if name in moments and moments[name].min() < 0]:
            raise ValueError(f"moment {negative[0]} contains numbers below 0")
        use_average = (
            not resume and not metadata.weights_only and bool(averaged_steps(metadata.progress, metadata.config))
        )
        prefix = "moment.average." if use_average else "parameter."
        return Checkpoint(
            **{each.name: getattr(metadata, each.name) for each in fields(metadata)},
            parameters=_architecture(metadata).parameters(
                dtype, _tensors(stored, prefix, shapes, dtype, out.parameters.vector if out else None).vector
            ),
            moments=moments,
            state=_state(stored, metadata) if resume else {},
        )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[checkpoint_file.CheckpointFile, Metadata]]:
    """An open checkpoint and its metadata. Raises RunError for content of the file that fits no config or no run."""
    with checkpoint_file.opened(path) as stored:
        try:
            yield stored, _metadata(_upgraded(stored.meta))
        except (ValueError, ConfigError) as error:
            raise RunError(f"not a checkpoint that this rnncli can use: {error}", location=str(path)) from error


def _metadata(meta: checkpoint_file.Meta) -> Metadata:
    """Validate and convert the metadata of a file. Raises ValueError and ConfigError."""
    if missing := [key for key in (*KEYS, *EVALUATIONS) if key not in meta]:
        raise ValueError(f"{missing[0]} is missing")
    for name in EVALUATIONS:
        if meta[name] is not None:
            _expect_type(meta[name], dict)
    try:
        progress = progress_of(meta)
    except LookupError as error:
        raise ValueError(f"{error} is missing") from error
    return Metadata(
        config=from_stored(_expect_type(meta["config"], dict)),
        vocabulary=_vocabulary(meta),
        random_seed=_seed(meta["random_seed"]),
        progress=progress,
        data=_facts(meta["data"], ("train", "valid")),
        machine=_facts(meta["machine"], blas.describe()),
        temperature=_temperature(meta.get("temperature")),
        source=None if meta.get("source") is None else _facts(meta["source"], ("parameters", "step")),
        weights_only=_expect_type(meta["weights_only"], bool),
    )


def _architecture(metadata: Metadata) -> Architecture:
    return build.architecture(metadata.config.model, len(metadata.vocabulary))


def _upgraded(meta: checkpoint_file.Meta) -> checkpoint_file.Meta:
    """The metadata in the form of the newest format version."""
    if meta["format_version"] == 2:
        return {"weights_only": False} | stored_fields(Progress()) | meta
    return meta


def _vocabulary(meta: checkpoint_file.Meta) -> Vocabulary:
    words, counts = meta["vocabulary"], meta["counts"]
    if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
        raise ValueError("the vocabulary is not a list of words")
    if counts is not None:
        fits = isinstance(counts, list) and len(counts) == len(words)
        if not fits or not all(type(n) is int and 0 <= n < 2**63 for n in counts):
            raise ValueError("the counts do not match the vocabulary")
        counts = np.array(counts, np.int64)
    return Vocabulary(tuple(words), counts)


def _expect_type(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{reprlib.repr(value)} should be of type {kind.__name__}")
    return value


def _temperature(value: Any) -> float | None:
    if value is not None and not (type(value) is float and 0.1 < value < 10):
        raise ValueError(f"the temperature is {reprlib.repr(value)}")
    return value


def _seed(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("random_seed is not a whole number from 0 to 2^63 - 1")
    return value


def _facts(stored: Any, names: Iterable[str]) -> dict[str, Any]:
    """Check that `stored` maps each of the names to a string, a number or None."""
    _expect_type(stored, dict)
    for name in names:
        if name not in stored:
            raise ValueError(f"{name} is missing")
        if not isinstance(stored[name], str | int | None):
            raise ValueError(f"{name} is {reprlib.repr(stored[name])}")
    return dict(stored)


def _state(stored: checkpoint_file.CheckpointFile, metadata: Metadata) -> dict[str, Array]:
    """The carried state: (H, B) for each name, with the same B, at most the batch size."""
    architecture, training = _architecture(metadata), metadata.config.training
    state = {name: stored.array(f"state.{name}") for name in architecture.state_names()}
    columns = {array.shape[-1] for array in state.values() if array.ndim == 2}
    for name, array in state.items():
        if array.shape != (architecture.hidden_size, *columns) or array.dtype != training.dtype:
            raise ValueError(f"state.{name} is {array.dtype} {array.shape}")
    if not 1 <= (width := max(columns, default=0)) <= training.batch_size:
        raise ValueError(f"the carried state has {width} columns, and a batch has {training.batch_size}")
    return state


def _expect(stored: checkpoint_file.CheckpointFile, shapes: Shapes, dtype: str) -> None:
    for name, shape in shapes.items():
        found, of = stored.layout(name)
        if found != shape or of != dtype:
            raise ValueError(f"{name} is {of} {found}, and should be {dtype} {shape}")


def _tensors(
    stored: checkpoint_file.CheckpointFile, prefix: str, shapes: Shapes, dtype: str, out: Array | None
) -> Parameters:
    _expect(stored, {prefix + name: shape for name, shape in shapes.items()}, dtype)
    tensors = Parameters(shapes, dtype, vector=out)
    for name, view in tensors.items():
        stored.read_into(prefix + name, view)
    return tensors
