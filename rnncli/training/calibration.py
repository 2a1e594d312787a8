"""The temperature of the softmax, fitted on the validation text after training is complete (Guo et al. 2017).

Logits are divided by it where a model is measured and used.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

from rnncli.batches.batch import Batches
from rnncli.config.config import Config
from rnncli.evaluation.evaluate import Evaluation, TokenCounts, evaluate
from rnncli.model.language_model import LanguageModel
from rnncli.runs import checkpoint, find
from rnncli.runs.events import Calibration
from rnncli.runs.folder import RunFolder
from rnncli.runs.progress import Position
from rnncli.text.corpus import Corpus
from rnncli.text.files import Watch

STEP = 0.1  # in ln T, between the first three temperatures
LIMIT = 0.7  # of |ln T|


def due(config: Config, folder: RunFolder) -> bool:
    """Whether the model of a run that is finished has no temperature yet, and is to have one."""
    return config.training.calibrate and checkpoint.read_metadata(folder.preferred()[0]).temperature is None


def calibrate(
    model: LanguageModel,
    batches: Batches,
    text: Corpus,
    counts: TokenCounts,
    folder: RunFolder,
    at: Position,
    stop: Callable[[], object],
    watch: Watch | None,
) -> Calibration | None:
    """Fit the temperature of the best checkpoint of the run, else of its last, and write it into that file; None if
    `stop` interrupted it.

    model: that of the run; its gradients are freed. batches, text, counts: of the validation text. at: the end of
    training. Raises RunError if no checkpoint can be read, and WriteError.
    """
    model.free_gradients()
    found, started = find.first_readable(folder.path), time.perf_counter()
    model = model.with_parameters(found.checkpoint.parameters)
    results: dict[float, Evaluation] = {}

    def loss(ln_t: float) -> float | None:
        """Nats per word at this temperature; None if interrupted."""
        if ln_t not in results:
            model.temperature = math.exp(ln_t)
            result = evaluate(model, batches, text, counts, stop, watch)
            if result is None:
                return None
            results[ln_t] = result
        return results[ln_t].cross_entropy

    losses = [loss(x) for x in (-STEP, 0.0, STEP)]
    if None in losses or loss(_lowest(*losses)) is None:  # type: ignore[arg-type]  # no None among them
        return None
    best = min(results, key=lambda x: results[x].cross_entropy)
    temperature, valid = math.exp(best), results[best]
    checkpoint.write(found.path, replace(checkpoint.read(found.path), temperature=temperature))
    seconds = time.perf_counter() - started
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
