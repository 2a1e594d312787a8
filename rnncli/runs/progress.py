"""Progress of a run: position, measured losses, running loss and rollbacks; and its final result."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, get_args, get_type_hints

from rnncli.config import build
from rnncli.config.config import Config
from rnncli.evaluation.perplexity import Evaluation, perplexity
from rnncli.runs.events import Done

EVALUATIONS = ("train", "valid", "best")
# Fields that came after checkpoints existed, with their defaults; a checkpoint stores them only if they differ.
LATER = {"averaged_since": 0, "stalls": 0}


@dataclass
class Position:
    """The position in the data, and the sums of the epoch in progress."""

    step: int = 0  # optimizer steps taken
    epoch: int = 0  # epochs completed
    index: int = 0  # steps taken in the epoch in progress
    epoch_loss: float = 0.0  # sum of -ln P over the words of the epoch in progress
    epoch_words: int = 0
    epoch_nll_oov: float = 0.0  # the part of epoch_loss that belongs to unknown words
    gradient_norm: float = 0.0  # of the last step, before clipping
    learning_rate: float = 0.0  # of the last step

    def begin_epoch_(self) -> None:
        """Count the epoch in progress as completed, and begin the next."""
        self.epoch, self.index, self.epoch_loss, self.epoch_words, self.epoch_nll_oov = self.epoch + 1, 0, 0.0, 0, 0.0


@dataclass
class Measured:
    """Losses of completed epochs, in nats per word, and the best of them."""

    train_loss: float | None = None  # of the last epoch completed
    valid_loss: float | None = None
    best_loss: float | None = None
    best_step: int | None = None
    epochs_without_gain: int = 0
    averaged_since: int = 0  # step after which the parameters are averaged, if validation had to stall first
    stalls: int = 0  # how often a schedule has counted epochs without gain as a stall
    train: Evaluation | None = None  # of the last epoch completed, if its loss has a perplexity
    valid: Evaluation | None = None
    best: Evaluation | None = None  # the validation with the best loss

    def count_validation_(
        self, valid: Evaluation, step: int, patience: int | None = None, averaging_patience: int | None = None
    ) -> bool:
        """Record a validation after this step; return whether its loss is the best so far.

        patience: so many epochs without gain are a stall. averaging_patience: so many begin the average.
        """
        self.valid_loss, self.valid = valid.cross_entropy, valid
        best = self.best_loss is None or self.valid_loss < self.best_loss
        if best:
            self.best_loss, self.best, self.best_step, self.epochs_without_gain = self.valid_loss, valid, step, 0
        else:
            self.epochs_without_gain += 1
            if averaging_patience is not None and self.epochs_without_gain >= averaging_patience:
                self.averaged_since = self.averaged_since or step
            self.stalls += patience is not None and self.epochs_without_gain % patience == 0
        return best


@dataclass
class RunningLoss:
    """Running statistics of the losses of steps, and two earlier batches whose losses were not far above them."""

    loss_level: float = 0.0  # running mean
    loss_spread: float = 0.0  # running mean of the distance from it
    loss_steps: int = 0  # losses counted so far
    calm_epoch: int = 0  # address of a recent batch with a calm loss
    calm_index: int = 0
    probe_epoch: int = 0  # address of the previous such batch
    probe_index: int = 0


@dataclass
class Recovery:
    """Guards and rollbacks."""

    guarded: int = 0  # step of the last guard; 0: none yet
    rollbacks: int = 0  # how often the run has diverged and been rolled back
    diverged_at: int = 0  # the last step at which it diverged
    back_to: int = 0  # the step that it was rolled back to


@dataclass
class Progress:
    """Progress of a run. A checkpoint stores the fields of all four parts in one flat mapping."""

    position: Position = field(default_factory=Position)
    measured: Measured = field(default_factory=Measured)
    running: RunningLoss = field(default_factory=RunningLoss)
    recovery: Recovery = field(default_factory=Recovery)


def stored_fields(progress: Progress) -> dict[str, Any]:
    """The fields of all four parts by name, as a checkpoint stores them."""
    parts = [getattr(progress, part.name) for part in fields(progress)]
    stored = {name: value for part in parts for name, value in asdict(part).items()}
    return {name: value for name, value in stored.items() if name not in LATER or value != LATER[name]}


def progress_of(meta: Mapping[str, Any]) -> Progress:
    """The progress stored in a checkpoint. Raises LookupError or ValueError if `meta` is not valid."""
    stored = LATER | dict(meta)
    for name in EVALUATIONS:
        if stored[name] is not None:
            evaluation = _validated(Evaluation, stored[name])
            if evaluation.tokens < max(1, evaluation.oov) or evaluation.characters < 1:
                raise ValueError(f"{name} is over {evaluation.tokens} tokens, {evaluation.oov} of them unknown")
            stored[name] = evaluation
    parts = {name: _validated(kind, stored) for name, kind in get_type_hints(Progress).items()}
    found = Progress(**parts)
    p = found.position
    if p.index > p.step or (p.index == 0) != (p.epoch_words == 0):
        raise ValueError(f"index is {p.index}, after {p.step} steps and {p.epoch_words} words")
    return found


def _validated(kind: type, stored: Mapping[str, Any]) -> Any:
    """A dataclass of plain numbers from its stored fields. Raises ValueError unless types match, floats are finite and
    integers are 0 to 2^63 - 1.
    """
    values, hints = {}, get_type_hints(kind)
    for each in fields(kind):
        value, hint = stored[each.name], hints[each.name]
        values[each.name] = value
        if (
            type(value) not in (get_args(hint) or (hint,))
            or (type(value) is float and not math.isfinite(value))
            or (type(value) is int and not 0 <= value < 2**63)
        ):
            raise ValueError(f"{each.name} is {reprlib.repr(value)}, and should be {each.type}")
    return kind(**values)


def averaged_steps(progress: Progress, config: Config) -> int | None:
    """Number of steps in the average of the parameters so far; None if the next step does not enter it.

    The model of a run is the average if it contains a step, and otherwise the parameters themselves.
    """
    averaging, since = build.averaging(config), progress.measured.averaged_since
    begun = averaging.patience is None or since > 0
    return progress.position.step - since if averaging.names and begun else None


def finished(progress: Progress, config: Config) -> str | None:
    """The reason why training is complete, `epochs` or `patience`, or None."""
    patience = config.training.patience
    if patience is not None and progress.measured.epochs_without_gain >= patience:
        return "patience"
    return "epochs" if progress.position.epoch >= config.training.epochs else None


def done(
    progress: Progress,
    config: Config,
    reason: str,
    random_seed: int,
    words_per_second: float | None = None,
    test: Evaluation | None = None,
) -> Done:
    """The result of a run that stopped now, or was complete before."""
    p, m = progress.position, progress.measured
    train_loss, train_tokens = m.train_loss, m.train.tokens if m.train else None
    if train_loss is None and p.epoch_words:
        train_loss, train_tokens = p.epoch_loss / p.epoch_words, p.epoch_words
    if not build.exact(config):
        train_loss = train_tokens = None
    train, valid, best = (
        None if loss is None else perplexity(loss) for loss in (train_loss, m.valid_loss, m.best_loss)
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
        train=m.train,
        valid=m.valid,
        best_valid=m.best,
        test=test,
    )
