"""What of a run is stored in a checkpoint, and how it is put to use again: to resume, or as a model alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from rnncli import build, checkpoint, machine
from rnncli.config import Config, from_dict, portable_dict
from rnncli.errors import ConfigError, RunError
from rnncli.events import Done
from rnncli.optim import OPTIMIZERS
from rnncli.parameters import Array, Parameters
from rnncli.perplexity import Evaluation, perplexity
from rnncli.text.corpus import Texts
from rnncli.text.vocabulary import Vocabulary


@dataclass
class Progress:
    """Where a run stands."""

    step: int = 0  # optimizer steps taken
    epoch: int = 0  # epochs completed
    index: int = 0  # steps taken in the epoch under way
    epoch_loss: float = 0.0  # sum of -ln P over the words of the epoch under way
    epoch_words: int = 0
    epoch_nll_oov: float = 0.0  # what unknown words have of epoch_loss
    train_loss: float | None = None  # nats a word, of the last epoch that was completed
    valid_loss: float | None = None
    best_loss: float | None = None
    best_step: int | None = None
    epochs_without_gain: int = 0
    gradient_norm: float = 0.0  # of the last step, before clipping
    learning_rate: float = 0.0  # of the last step
    train: Evaluation | None = None  # of the last epoch that was completed, where its loss has a perplexity
    valid: Evaluation | None = None
    best: Evaluation | None = None  # the validation of the best loss


EVALUATIONS = ("train", "valid", "best")


def progress_of(meta: checkpoint.Meta) -> Progress:
    """Where the run stood when a checkpoint was written. Raises LookupError for meta data of something else."""
    found = {field.name: meta[field.name] for field in fields(Progress)}
    return Progress(**found | {name: found[name] and Evaluation(**found[name]) for name in EVALUATIONS})


def finished(progress: Progress, config: Config) -> str | None:
    """Why nothing is left to train, `epochs` or `patience`, or None."""
    patience = config.training.patience
    if patience is not None and progress.epochs_without_gain >= patience:
        return "patience"
    return "epochs" if progress.epoch >= config.training.epochs else None


def done(
    p: Progress,
    config: Config,
    reason: str,
    random_seed: int,
    words_per_second: float | None = None,
    test: Evaluation | None = None,
) -> Done:
    """How a run stands that stopped, or was finished before."""
    train_loss, train_tokens = p.train_loss, p.train.tokens if p.train else None
    if train_loss is None and p.epoch_words:
        train_loss, train_tokens = p.epoch_loss / p.epoch_words, p.epoch_words
    if not build.exact(config):
        train_loss = train_tokens = None
    train, valid, best = (
        None if loss is None else perplexity(loss) for loss in (train_loss, p.valid_loss, p.best_loss)
    )
    return Done(
        reason=reason,
        epochs=p.epoch,
        steps=p.step,
        words_per_second=words_per_second,
        train_perplexity=train,
        train_tokens=train_tokens,
        valid_perplexity=valid,
        best_valid_perplexity=best,
        test_perplexity=test.perplexity if test else None,
        random_seed=random_seed,
        train=p.train,
        valid=p.valid,
        best_valid=p.best,
        test=test,
    )


@dataclass(frozen=True)
class Contents:
    """A run at one step. `config` is portable: without any folder of this machine."""

    config: Config
    vocabulary: Vocabulary
    random_seed: int
    progress: Progress
    data: dict[str, str | None]  # SHA-256 of the training and the validation text
    parameters: Parameters
    moments: dict[str, Array]  # (size,) each
    state: dict[str, Array]  # (H, B) each
    machine: dict[str, Any] | None = None  # None: this one


def hashes(texts: Texts) -> dict[str, str | None]:
    """What tells that the texts are still the same."""
    return {"train": texts.train.sha256, "valid": texts.valid.sha256 if texts.valid else None}


def write(path: Path, contents: Contents) -> None:
    """Write a checkpoint. Raises WriteError."""
    vocabulary, data = contents.vocabulary, contents.config.data
    meta = {
        "config": portable_dict(contents.config),
        "vocabulary": list(vocabulary.words),
        "counts": None if vocabulary.counts is None else vocabulary.counts.tolist(),
        "tokenizer": {"name": data.tokenizer, "lowercase": data.lowercase},
        "random_seed": contents.random_seed,
        "data": contents.data,
        "machine": contents.machine or machine.describe(),
    } | asdict(contents.progress)
    members = {f"parameter.{name}": tensor for name, tensor in contents.parameters.items()}
    for moment, vector in contents.moments.items():
        tensors = Parameters(contents.parameters.shapes, vector=vector)
        members |= {f"moment.{moment}.{name}": tensor for name, tensor in tensors.items()}
    checkpoint.write(path, meta, members | {f"state.{name}": array for name, array in contents.state.items()})


def read(path: Path, resume: bool = True) -> Contents:
    """Read a checkpoint, with what only resuming needs (moments and state) or without.

    Raises RunError where the file is not a whole checkpoint of this version.
    """
    with checkpoint.opened(path) as stored:
        meta = stored.meta
        try:
            config = from_dict(meta["config"])
            counts = None if meta["counts"] is None else np.array(meta["counts"], np.int64)
            vocabulary = Vocabulary(tuple(meta["vocabulary"]), counts)
            progress = progress_of(meta)
            architecture = build.architecture(config, len(vocabulary))
            shapes, dtype = architecture.shapes(), config.training.dtype
            parameters = _tensors(stored, "parameter.", shapes, dtype)
            names = OPTIMIZERS[config.optimizer.name].moment_names if resume else ()
            moments = {name: _tensors(stored, f"moment.{name}.", shapes, dtype).vector for name in names}
            state = {name: stored.array(f"state.{name}") for name in architecture.state_names()} if resume else {}
            return Contents(
                config,
                vocabulary,
                meta["random_seed"],
                progress,
                meta["data"],
                parameters,
                moments,
                state,
                meta["machine"],
            )
        except (LookupError, TypeError, ValueError, ConfigError) as error:
            raise RunError(f"{path}: not a checkpoint that this rnncli can use: {error}") from error


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


def _tensors(stored: checkpoint.Stored, prefix: str, shapes: dict[str, tuple[int, ...]], dtype: str) -> Parameters:
    for name, shape in shapes.items():
        found, of = stored.layout(prefix + name)
        if found != shape or of != dtype:
            raise ValueError(f"{prefix}{name} is {of} {found}, and should be {dtype} {shape}")
    tensors = Parameters(shapes, dtype)
    for name, view in tensors.items():
        stored.read_into(prefix + name, view)
    return tensors


# What may change between the parts of one run: how long it trains, and what is kept of it.
FREE = ("training.epochs", "training.max_time", "training.patience", "run.", "data.train", "data.test")


def changes(stored: checkpoint.Meta, config: Config, texts: Texts | None) -> list[str]:
    """What in this config, or in the texts, is not as it was when a checkpoint was written, one line each."""
    before, now = (dict(_flat(mapping)) for mapping in (stored["config"], portable_dict(config)))
    before["training.random_seed"] = stored["random_seed"]
    if now["training.random_seed"] is None:  # none asked for: the run keeps its own
        now["training.random_seed"] = stored["random_seed"]
    if isinstance(before["data.valid"], str) and isinstance(now["data.valid"], str):
        before["data.valid"] = now["data.valid"]  # another name for a text: its hash tells whether it is the same
    different = [
        f"{key} was {before.get(key)!r}, and is {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not key.startswith(FREE)
    ]
    if texts is not None:
        if list(texts.vocabulary.words) != stored["vocabulary"]:
            different.append("the vocabulary is another")
        different += [
            f"the text of data.{name} is another"
            for name, digest in hashes(texts).items()
            if digest != stored["data"][name]
        ]
    return different


def other_machine(stored: checkpoint.Meta) -> list[str]:
    """What decides the last bits and is not as it was when a checkpoint was written, one line each."""
    here = machine.describe()
    return [
        f"{name} was {before}, and is {here.get(name)}"
        for name, before in stored["machine"].items()
        if before != here.get(name)
    ]


def _flat(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
