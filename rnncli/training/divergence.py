"""Divergence: detection before a step is taken, and the report of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rnncli.batches.batch import Batch, Batches
from rnncli.config.config import Config
from rnncli.errors import NumericalError
from rnncli.evaluation.evaluate import loss_from_zero_state
from rnncli.model.language_model import LanguageModel
from rnncli.model.parameters import Gradients
from rnncli.runs.events import Rollback
from rnncli.runs.folder import RunFolder
from rnncli.runs.progress import Position, Progress, RunningLoss
from rnncli.system.arrays import Array
from rnncli.text.vocabulary import Vocabulary
from rnncli.training.step import Attempt

RUNNING = 100  # steps, roughly, over which the running mean of the loss is taken
SETTLED = 20  # steps before the mean is used
REMEMBERED_EVERY = SETTLED // 2  # steps
TIMES, DEVIATIONS = 2.0, 10.0  # multiples of the running mean, and of the mean distance from it
WORDS_SHOWN = 40


@dataclass
class Diverged(Exception):  # noqa: N818 - internal: the trainer catches it, users never see it
    """A step that must not be taken, or a validation or a checkpoint that must not count."""

    what: str
    """The fault: "the loss is nan"."""
    loss: float
    gradient_norm: float
    tensor: str | None = None
    """The first tensor that is not finite, or whose gradient is not; else that of the largest gradient."""
    sentence: str | None = None
    """The sentence of the batch with the highest loss."""
    words: int = 0
    """Words of the batch; 0 if the fault is not that of a step."""


def limit(running: RunningLoss, jump: float | None, uniform: float) -> float:
    """The loss above which a step is far above the running mean: more than `jump` nats per word above the mean,
    more than twice the mean, and more than ten times the mean distance above the mean.

    The mean is capped at `uniform`, the loss of a uniform guess, ln V, so that it cannot rise with a run that diverges
    slowly; it also starts there. Without `jump` there is no limit.
    """
    if jump is None:
        return math.inf
    level = _level(running, uniform)
    return max(level + jump, TIMES * level, level + DEVIATIONS * running.loss_spread)


def _level(running: RunningLoss, uniform: float) -> float:
    return min(running.loss_level, uniform) if settled(running) else uniform


def settled(running: RunningLoss) -> bool:
    """Whether enough losses are counted to use their running mean."""
    return running.loss_steps >= SETTLED


def fault(loss: float, gradient_norm: float, progress: Progress, jump: float | None, uniform: float) -> str | None:
    """The fault of a step, or None: a loss or gradient that is not finite, a loss far above its running mean."""
    if (found := not_finite(loss, gradient_norm)) is not None:
        return found
    if loss > limit(progress.running, jump, uniform):
        return f"the loss is {loss:.3g}, far above its running level of {_level(progress.running, uniform):.3g}"
    return None


def not_finite(loss: float, gradient_norm: float) -> str | None:
    """The fault if the loss or the gradient is not finite, or None."""
    if not math.isfinite(loss):
        return f"the loss is {loss:g}"
    return None if math.isfinite(gradient_norm) else f"the gradient norm is {gradient_norm:g}"


def update_running_loss_(running: RunningLoss, loss: float, calm: bool, position: Position) -> None:
    """Add the loss of a step to the running mean. calm: the loss is not far above it. position: before the step.

    Every few steps a calm batch is recorded, to probe the parameters when a loss is far above the mean. The most recent
    one is not used: a step that damages the parameters fits them to its own batch.
    """
    share = 1 / min(running.loss_steps + 1, RUNNING)
    distance = abs(loss - running.loss_level)
    running.loss_level += share * (loss - running.loss_level)
    if running.loss_steps:  # the first loss has no mean to be far from
        running.loss_spread += share * (distance - running.loss_spread)
    if calm and running.loss_steps % REMEMBERED_EVERY == 0:
        running.probe_epoch, running.probe_index = running.calm_epoch, running.calm_index
        running.calm_epoch, running.calm_index = position.epoch, position.index
    running.loss_steps += 1


class DivergenceCheck:
    """Checks each step of a run before it is taken.

    batches: of the training text. jump: in nats per word, None if any finite loss passes.
    """

    def __init__(self, model: LanguageModel, batches: Batches, vocabulary: Vocabulary, jump: float | None) -> None:
        self._model, self._batches, self._vocabulary, self._jump = model, batches, vocabulary, jump
        self._uniform = math.log(len(vocabulary))

    def limit(self, running: RunningLoss) -> float:
        """The loss above which a step is far above the running mean."""
        return limit(running, self._jump, self._uniform)

    def step(self, progress: Progress, attempt: Attempt) -> None:
        """Raise Diverged if a step must not be taken.

        A loss far above the running mean may come from an unusual batch. The step is taken if an earlier batch, whose
        loss was below the limit, still has such a loss.
        """
        jump, loss, batch = self._jump, attempt.loss, attempt.batch
        if self.limit(progress.running) < loss < math.inf and self._parameters_are_sound(progress.running):
            jump = None
        if what := fault(loss, attempt.norm, progress, jump, self._uniform):
            sentence = worst_sentence(batch, attempt.losses, self._vocabulary)
            raise Diverged(what, loss, attempt.norm, worst_tensor(attempt.gradients), sentence, batch.words)

    def _parameters_are_sound(self, running: RunningLoss) -> bool:
        """Whether an earlier batch, whose loss was below the limit, is still below it."""
        probe = self._batches.epoch(running.probe_epoch, running.probe_index)
        return settled(running) and loss_from_zero_state(self._model, next(probe)) <= self.limit(running)


def worst_tensor(gradients: Gradients) -> str | None:
    """The first tensor whose gradient is not finite, else the one with the largest norm."""
    longest, length = None, -1.0
    for name, gradient in gradients.items():
        norm = float(np.linalg.norm(gradient.astype(np.float64, copy=False)))
        if not math.isfinite(norm):
            return name
        if norm > length:
            longest, length = name, norm
    return longest


def rollback(diverged: Diverged, progress: Progress, learning_rate: float, perplexity: float) -> Rollback:
    """The event of a rollback to this progress; the run continues with this learning rate.

    perplexity: of the loss, NaN if the loss is not -ln P.
    """
    return Rollback(
        step=progress.position.step,
        epoch=progress.position.epoch + 1,
        loss=diverged.loss,
        perplexity=perplexity,
        gradient_norm=diverged.gradient_norm,
        learning_rate=learning_rate,
        words=diverged.words,
        words_per_second=None,
        seconds=0.0,
        rollbacks=progress.recovery.rollbacks,
        diverged_at=progress.recovery.diverged_at,
        reason=diverged.what,
        tensor=diverged.tensor,
        sentence=diverged.sentence,
    )


def given_up(
    diverged: Diverged, at: int, folder: RunFolder, config: Config, progress: Progress, learning_rate: float
) -> NumericalError:
    """The error of a run that diverged with no rollbacks left."""
    n, o = progress.recovery.rollbacks, config.optimizer
    right = "; if that loss is right for that sentence, continue with --resume and a higher guard.jump"
    lowered = f", lowered {n} time{'s' if n > 1 else ''} from {o.learning_rate:g}" if n else ""
    lines = [
        f"{folder.path}: diverged at step {at}: {diverged.what}",
        f"  gradient norm {diverged.gradient_norm:g}, learning rate {learning_rate:g}{lowered}",
        f"  the tensor to inspect first: {diverged.tensor}" if diverged.tensor else "",
        f"  the sentence of that batch with the highest loss: {diverged.sentence}" if diverged.sentence else "",
        "  its checkpoints are intact" if folder.checkpoints() else "",
        "lower optimizer.learning_rate or optimizer.clip_norm, and train again with --fresh"
        + (right if diverged.sentence and math.isfinite(diverged.loss + diverged.gradient_norm) else ""),
    ]
    return NumericalError("\n".join(filter(None, lines)))


def worst_sentence(batch: Batch, losses: Array, vocabulary: Vocabulary) -> str:
    """The words, as the model reads them, of the column with the highest mean loss, or the first that is not finite.

    losses: (N,), of the real positions in row-major order of (T, B).
    """
    real = np.ones(batch.targets.shape, bool) if batch.mask is None else batch.mask
    table = np.zeros(real.shape)
    table[real] = losses
    means = table.sum(0) / real.sum(0)
    column = int(np.argmax(np.where(np.isfinite(means), means, np.inf)))
    words = [vocabulary.words[k] for k in batch.targets[real[:, column], column]]
    return " ".join(words[:WORDS_SHOWN]) + (" ..." if len(words) > WORDS_SHOWN else "")
