"""Events that training yields: steps, epochs, rollbacks and the end of a run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from rnncli.evaluation.perplexity import Evaluation


@dataclass(frozen=True)
class Row:
    """Fields of every row of metrics.jsonl. `loss` in nats per word; `epoch` counts from 1.

    `perplexity` is NaN if the loss uses a sample of the vocabulary: exp(loss) is then not a perplexity.
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
    """One optimizer step, in the epoch in progress; `seconds` includes loading its data."""

    words_per_second: float


@dataclass(frozen=True)
class Epoch(Row):
    """The end of an epoch: `loss` and `perplexity` over its training words, gradient norm and rate of its last step.

    `words_per_second` and `seconds` cover its steps in this process; None and 0 without any. `best`: the validation
    loss is the lowest so far. `train`: of the training text, each word by the model of its step; None if the training
    loss uses a sample of the vocabulary.
    """

    valid_perplexity: float | None
    best: bool
    train: Evaluation | None
    valid: Evaluation | None


@dataclass(frozen=True)
class Rollback(Row):
    """A rollback after divergence: the run continues at `step` and `epoch` with `learning_rate`. Loss, gradient norm
    and words are those of the rejected step, `diverged_at`.
    """

    rollbacks: int  # number so far
    diverged_at: int
    reason: str
    tensor: str | None  # the tensor whose gradient is not finite, or the largest
    sentence: str | None  # the sentence of the batch with the highest loss


@dataclass(frozen=True)
class Calibration(Row):
    """The temperature of the softmax, fitted on the validation text after training is complete.

    Loss and words are those of that text at this temperature; step, epoch, gradient norm and learning rate those of the
    end of training.
    """

    temperature: float
    measured_step: int  # of the checkpoint that it was fitted for, and written into
    valid: Evaluation
    problems: tuple[str, ...]  # why it is not the best checkpoint


@dataclass(frozen=True)
class Test(Row):
    """The measurement of `data.test` after training is complete, the last row of a run. Loss and words are those of
    the text; step, epoch, gradient norm and learning rate those of the end of training.
    """

    measured_step: int  # of the checkpoint that was measured
    data: str  # hash of the text, as `data` of a checkpoint has it for the other texts
    test: Evaluation
    problems: tuple[str, ...]  # why the best checkpoint was not measured


@dataclass(frozen=True)
class Done:
    """The end of training: the reason, and the results in the last line of `train --json`."""

    reason: str  # epochs | patience | max_time | the name of a signal
    epochs: int
    steps: int
    words_per_second: float | None
    train_perplexity: float | None  # None also if the training loss uses a sample of the vocabulary
    train_tokens: int | None  # tokens it covers: the whole text, or the part read so far in a first epoch
    valid_perplexity: float | None
    best_valid_perplexity: float | None
    test_perplexity: float | None  # of data.test, by the best checkpoint, after training is complete
    random_seed: int
    train: Evaluation | None  # of the last completed epoch
    valid: Evaluation | None
    best_valid: Evaluation | None
    test: Evaluation | None


Event = Step | Epoch | Rollback | Calibration | Test | Done


def row(event: Event) -> dict[str, Any]:
    """An event as a JSON object: its kind, its fields, and all figures of its evaluations."""
    found = {field.name: getattr(event, field.name) for field in fields(event)}
    return {"event": type(event).__name__.lower()} | {
        name: value.figures() if isinstance(value, Evaluation) else value for name, value in found.items()
    }
