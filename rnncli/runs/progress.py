"""Where a run stands: what of it changes with every step and epoch, and how it ends."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from rnncli.config import build
from rnncli.config.config import Config
from rnncli.runs.events import Done
from rnncli.evaluation.perplexity import Evaluation, perplexity


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
    loss_level: float = 0.0  # running mean of the losses of steps, and of how far they are from it
    loss_spread: float = 0.0
    loss_steps: int = 0  # how many losses are in it
    calm_epoch: int = 0  # where a batch of the last few steps stands whose loss was not far above it
    calm_index: int = 0
    probe_epoch: int = 0  # and one of the few steps before those
    probe_index: int = 0
    guarded: int = 0  # the step of the last guard; 0: none yet
    rollbacks: int = 0  # how often the run has diverged and gone back
    diverged_at: int = 0  # the step in which it did so last
    back_to: int = 0  # and the one that it went back to
    train: Evaluation | None = None  # of the last epoch that was completed, where its loss has a perplexity
    valid: Evaluation | None = None
    best: Evaluation | None = None  # the validation of the best loss


EVALUATIONS = ("train", "valid", "best")
TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float,),
    "bool": (bool,),
    "int | None": (int, type(None)),
    "float | None": (float, type(None)),
    "Evaluation | None": (Evaluation, type(None)),
}


def progress_of(meta: Mapping[str, Any]) -> Progress:
    """Where the run stood when a checkpoint was written. Raises LookupError and ValueError for anything else."""
    stored = dict(meta)
    for name in EVALUATIONS:
        if stored[name] is not None:
            evaluation = _of(Evaluation, stored[name])
            if evaluation.tokens < max(1, evaluation.oov) or evaluation.characters < 1:
                raise ValueError(f"{name} is over {evaluation.tokens} tokens, {evaluation.oov} of them unknown")
            stored[name] = evaluation
    found: Progress = _of(Progress, stored)
    if found.index > found.step or (found.index == 0) != (found.epoch_words == 0):
        raise ValueError(f"index is {found.index}, after {found.step} steps and {found.epoch_words} words")
    return found


def _of(kind: type, stored: Mapping[str, Any]) -> Any:
    """A dataclass of plain numbers from what is stored of it: of the right types, finite, counts from 0 to 2^63 - 1."""
    values = {}
    for field in fields(kind):
        value = values[field.name] = stored[field.name]
        right = type(value) in TYPES[str(field.type)]
        if (
            not right
            or (type(value) is float and not math.isfinite(value))
            or (type(value) is int and not 0 <= value < 2**63)
        ):
            raise ValueError(f"{field.name} is {reprlib.repr(value)}, and should be {field.type}")
    return kind(**values)


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
