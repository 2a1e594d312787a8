"""The temperature of the softmax, fitted on the validation text after training is complete (Guo et al. 2017).

Logits are divided by it where a model is measured and used.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from rnncli.config.config import Config
from rnncli.errors import RunError
from rnncli.evaluation.evaluate import Evaluation, evaluate
from rnncli.runs import checkpoint, find
from rnncli.runs.events import Calibration
from rnncli.runs.folder import RunFolder

if TYPE_CHECKING:
    from rnncli.training.trainer import Trainer

STEP = 0.1  # in ln T, between the first three temperatures
LIMIT = 1.5  # of |ln T|


def due(config: Config, folder: RunFolder) -> bool:
    """Whether the model of a run that is finished has no temperature yet, and is to have one."""
    if config.training.calibrate:
        for path in folder.preferred():
            with suppress(RunError):
                return checkpoint.read_metadata(path).temperature is None
    return False


def calibrate(trainer: Trainer, stop: Callable[[], object]) -> Calibration | None:
    """Fit the temperature of the best checkpoint of a run that is finished, else of its last, and write it into that
    file; None if `stop` interrupted it.

    Parameters and moments of the trainer are overwritten by those of that checkpoint. Raises RunError if no checkpoint
    can be read, and WriteError.
    """
    batches, text, counts = trainer.valid_batches, trainer.texts.valid, trainer.valid_counts
    assert batches is not None
    assert text is not None
    assert counts is not None
    trainer.model.free_gradients()
    found, started = find.first_readable(trainer.folder.path), time.perf_counter()
    model = trainer.model.with_parameters(found.checkpoint.parameters)
    results: dict[float, Evaluation] = {}

    def measured(ln_t: float) -> bool:
        """Measure the text at this temperature; whether `stop` let it end."""
        model.temperature = math.exp(ln_t)
        result = evaluate(model, batches, text, counts, stop, trainer.watch)
        if result is not None:
            results[ln_t] = result
        return result is not None

    if not all(map(measured, (-STEP, 0.0, STEP))):
        return None
    if not measured(_lowest(*(each.cross_entropy for each in results.values()))):
        return None
    best = min(results, key=lambda x: results[x].cross_entropy)
    temperature, valid = math.exp(best), results[best]
    checkpoint.write(found.path, replace(checkpoint.read(found.path, out=trainer.contents()), temperature=temperature))
    at, seconds = trainer.progress.position, time.perf_counter() - started
    rate = valid.tokens * len(results) / seconds
    figures = valid.cross_entropy, valid.perplexity, at.gradient_norm, at.learning_rate, valid.tokens, rate, seconds
    step = found.checkpoint.progress.position.step
    return Calibration(at.step, at.epoch, *figures, temperature, step, valid, tuple(found.problems))


def _lowest(below: float, middle: float, above: float) -> float:
    """Where the parabola through three losses, STEP apart around 0, is lowest."""
    curvature = below - 2 * middle + above
    if not curvature > 0:
        return -LIMIT if below < above else LIMIT
    return max(-LIMIT, min(LIMIT, STEP * (below - above) / (2 * curvature)))
