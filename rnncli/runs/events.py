"""What training tells as it goes, and how a run ends."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from rnncli.evaluation.perplexity import Evaluation


@dataclass(frozen=True)
class Row:
    """What every row of metrics.jsonl has. `loss` in nats a word; `epoch` counts from 1.

    `perplexity` is NaN where the loss is that of a sample of the vocabulary: exp(loss) is then no perplexity.
    """

    step: int
    epoch: int
    loss: float
    perplexity: float
    gradient_norm: float
    learning_rate: float
    words: int
    words_per_second: float | None
    seconds: float


@dataclass(frozen=True)
class Step(Row):
    """One optimizer step, in the epoch under way; `seconds` with its data."""

    words_per_second: float


@dataclass(frozen=True)
class Epoch(Row):
    """The end of an epoch: `loss` and `perplexity` over its training words, gradient norm and rate of its last step.

    `words_per_second` and `seconds` are those of its steps in this process, None and 0 where it took none. `best`:
    the validation loss is the lowest so far. `train`: of the training text, each word by the model as it then was; None
    where the training loss is that of a sample.
    """

    valid_perplexity: float | None
    best: bool
    train: Evaluation | None
    valid: Evaluation | None


@dataclass(frozen=True)
class Rollback(Row):
    """A run that diverged and went back: `step` and `epoch` are where it goes on, `learning_rate` is with what; loss,
    gradient norm and words are of the step that was not taken, `diverged_at`.
    """

    rollbacks: int  # so many so far
    diverged_at: int
    reason: str
    tensor: str | None  # whose gradient is not finite, or the largest
    sentence: str | None  # what of the batch has the highest loss


@dataclass(frozen=True)
class Done:
    """The end of training: why, and the figures of the last line of `train --json`."""

    reason: str  # epochs | patience | max_time | the name of a signal
    epochs: int
    steps: int
    words_per_second: float | None
    train_perplexity: float | None  # None too where the training loss is that of a sample
    train_tokens: int | None  # that it is counted over: the whole text, or what was read of it in a first epoch
    valid_perplexity: float | None
    best_valid_perplexity: float | None
    test_perplexity: float | None  # of data.test, by the best checkpoint, once nothing is left to train
    random_seed: int
    train: Evaluation | None  # of the last epoch that was completed
    valid: Evaluation | None
    best_valid: Evaluation | None
    test: Evaluation | None


Event = Step | Epoch | Rollback | Done


def row(event: Event) -> dict[str, Any]:
    """An event as JSON has it: its kind, its fields, and every figure of its evaluations."""
    found = {field.name: getattr(event, field.name) for field in fields(event)}
    return {"event": type(event).__name__.lower()} | {
        name: value.figures() if isinstance(value, Evaluation) else value for name, value in found.items()
    }
