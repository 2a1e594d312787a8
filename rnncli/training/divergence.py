"""When training has gone wrong: how it is noticed in the step in which it happens, and what is said of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rnncli.batches.batch import Batch
from rnncli.config.config import Config
from rnncli.errors import NumericalError
from rnncli.evaluation.perplexity import perplexity as perplexity_of
from rnncli.model.parameters import Array, Gradients
from rnncli.runs.events import Rollback
from rnncli.runs.folder import RunFolder
from rnncli.runs.progress import Progress
from rnncli.text.vocabulary import Vocabulary

RUNNING = 100  # steps, about, that the running level of the loss looks back on
SETTLED = 20  # steps before there is one
REMEMBERED_EVERY = SETTLED // 2  # steps
TIMES, DEVIATIONS = 2.0, 10.0  # of the level, and of the mean distance from it
WORDS_SHOWN = 40


@dataclass
class Diverged(Exception):  # noqa: N818 - what is the matter, not what is told
    """A step that must not be taken, or a validation or a checkpoint that must not count."""

    what: str
    """What is wrong: "the loss is nan"."""
    loss: float
    gradient_norm: float
    tensor: str | None = None
    """The first whose gradient, or itself, is not finite, else that of the largest gradient."""
    sentence: str | None = None
    """What of the batch has the highest loss."""
    words: int = 0
    """Of the batch; 0 where it was no step."""


def limit(progress: Progress, jump: float | None, uniform: float) -> float:
    """What loss is far above its running level: more than `jump` nats a word above it, more than twice it, and more
    than ten times the mean distance of losses from it, all three.

    The level is at most `uniform`, the loss of who knows nothing, so that it cannot rise with a run that diverges
    slowly; that is what it begins with, too. Without a jump no loss is far above.
    """
    if jump is None:
        return math.inf
    level = _level(progress, uniform)
    return max(level + jump, TIMES * level, level + DEVIATIONS * progress.loss_spread)


def _level(progress: Progress, uniform: float) -> float:
    return min(progress.loss_level, uniform) if settled(progress) else uniform


def settled(progress: Progress) -> bool:
    """Whether there is a running level of the loss."""
    return progress.loss_steps >= SETTLED


def fault(loss: float, gradient_norm: float, progress: Progress, jump: float | None, uniform: float) -> str | None:
    """What is wrong with a step, or None: a loss or gradient that is not finite, a loss far above its running level."""
    if not perplexity_of(loss) < math.inf:
        return f"the loss is {loss:g}"
    if not math.isfinite(gradient_norm):
        return f"the gradient norm is {gradient_norm:g}"
    if loss > limit(progress, jump, uniform):
        return f"the loss is {loss:.3g}, far above its running level of {_level(progress, uniform):.3g}"
    return None


def follow(progress: Progress, loss: float, calm: bool) -> None:
    """Take the loss of a step into its running level; calm: it is not far above it.

    Now and then a calm batch is remembered, to ask the parameters with when a loss is far above. Not the last one: the
    step that spoils the parameters fits them to its own batch.
    """
    share = 1 / min(progress.loss_steps + 1, RUNNING)
    distance = abs(loss - progress.loss_level)
    progress.loss_level += share * (loss - progress.loss_level)
    if progress.loss_steps:  # the first has nothing that it could be far from
        progress.loss_spread += share * (distance - progress.loss_spread)
    if calm and progress.loss_steps % REMEMBERED_EVERY == 0:
        progress.probe_epoch, progress.probe_index = progress.calm_epoch, progress.calm_index
        progress.calm_epoch, progress.calm_index = progress.epoch, progress.index
    progress.loss_steps += 1


def worst_tensor(gradients: Gradients) -> str | None:
    """The first tensor whose gradient is not finite, else the one with the longest."""
    longest, length = None, -1.0
    for name, gradient in gradients.items():
        norm = float(np.linalg.norm(gradient.astype(np.float64, copy=False)))
        if not math.isfinite(norm):
            return name
        if norm > length:
            longest, length = name, norm
    return longest


def rollback(diverged: Diverged, progress: Progress, learning_rate: float, perplexity: float) -> Rollback:
    """That a run which diverged stands at that progress again, and goes on with that learning rate.

    perplexity: of the loss, NaN where it has none.
    """
    return Rollback(
        step=progress.step,
        epoch=progress.epoch + 1,
        loss=diverged.loss,
        perplexity=perplexity,
        gradient_norm=diverged.gradient_norm,
        learning_rate=learning_rate,
        words=diverged.words,
        words_per_second=None,
        seconds=0.0,
        rollbacks=progress.rollbacks,
        diverged_at=progress.diverged_at,
        reason=diverged.what,
        tensor=diverged.tensor,
        sentence=diverged.sentence,
    )


def given_up(
    diverged: Diverged, at: int, folder: RunFolder, config: Config, progress: Progress, learning_rate: float
) -> NumericalError:
    """What is said when a run that diverged may not go back once more."""
    n, o = progress.rollbacks, config.optimizer
    right = "; if that loss is right for that sentence, go on with --resume and a higher guard.jump"
    lowered = f", lowered {n} time{'s' if n > 1 else ''} from {o.learning_rate:g}" if n else ""
    lines = [
        f"{folder.path}: diverged at step {at}: {diverged.what}",
        f"  gradient norm {diverged.gradient_norm:g}, learning rate {learning_rate:g}{lowered}",
        f"  the first tensor to look at: {diverged.tensor}" if diverged.tensor else "",
        f"  the sentence of that batch with the highest loss: {diverged.sentence}" if diverged.sentence else "",
        "  its checkpoints are whole" if folder.checkpoints() else "",
        "lower optimizer.learning_rate or optimizer.clip_norm, and train again with --fresh"
        + (right if diverged.sentence and math.isfinite(diverged.loss + diverged.gradient_norm) else ""),
    ]
    return NumericalError("\n".join(filter(None, lines)))


def worst_sentence(batch: Batch, losses: Array, vocabulary: Vocabulary) -> str:
    """The words of the column with the highest mean loss, or the first that is not finite, as the model read them.

    losses (N,): of the real positions, in row-major order of (T, B).
    """
    real = np.ones(batch.targets.shape, bool) if batch.mask is None else batch.mask
    table = np.zeros(real.shape)
    table[real] = losses
    means = table.sum(0) / real.sum(0)
    column = int(np.argmax(np.where(np.isfinite(means), means, np.inf)))
    words = [vocabulary.words[k] for k in batch.targets[real[:, column], column]]
    return " ".join(words[:WORDS_SHOWN]) + (" ..." if len(words) > WORDS_SHOWN else "")
