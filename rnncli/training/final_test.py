"""The measurement of `data.test` with the best checkpoint, after training is complete."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rnncli.config import build, corpora
from rnncli.evaluation.evaluate import count, evaluate
from rnncli.runs import find
from rnncli.runs.events import Test

if TYPE_CHECKING:
    from rnncli.training.trainer import Trainer


def final_test(trainer: Trainer, stop: Callable[[], object]) -> Test | None:
    """Measure the test text with the best checkpoint of a run that is finished, else with its last; None if `stop`
    interrupted it.

    Raises RunError if no checkpoint can be read.
    """
    config, text, at = trainer.config, trainer.texts.test, trainer.progress.position
    assert text is not None
    trainer.model.free_gradients()  # the parameters of the best checkpoint take their place
    found, started = find.first_readable(trainer.folder.path), time.perf_counter()
    model = trainer.model.with_parameters(found.checkpoint.parameters)
    model.temperature = found.checkpoint.temperature or 1.0
    batches = build.evaluation_batches(config, text, trainer.texts.vocabulary.end_id)
    counts = count(text, corpora.text_format(config.data).ends, trainer.texts.vocabulary)
    test = evaluate(model, batches, text, counts, stop, trainer.watch)
    if test is None:
        return None
    seconds = time.perf_counter() - started
    return Test(
        step=at.step,
        epoch=at.epoch,
        loss=test.cross_entropy,
        perplexity=test.perplexity,
        gradient_norm=at.gradient_norm,
        learning_rate=at.learning_rate,
        words=test.tokens,
        words_per_second=test.tokens / seconds,
        seconds=seconds,
        measured_step=found.checkpoint.progress.position.step,
        data=text.sha256,
        test=test,
        problems=tuple(found.problems),
    )
