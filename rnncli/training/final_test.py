"""The measurement of `data.test` with the best checkpoint, after training is complete."""

from __future__ import annotations

import time
from collections.abc import Callable

from rnncli.config import build, corpora
from rnncli.config.config import Config
from rnncli.evaluation.evaluate import count, evaluate
from rnncli.model.language_model import LanguageModel
from rnncli.runs import find
from rnncli.runs.events import Test
from rnncli.runs.folder import RunFolder
from rnncli.runs.progress import Position
from rnncli.text.corpus import Texts
from rnncli.text.files import Watch


def final_test(
    config: Config,
    texts: Texts,
    model: LanguageModel,
    folder: RunFolder,
    at: Position,
    stop: Callable[[], object],
    watch: Watch | None,
) -> Test | None:
    """Measure the test text with the best checkpoint of the run, else with its last; None if `stop` interrupted it.

    model: that of the run; its gradients are freed. at: the end of training. Raises RunError if no checkpoint can be
    read.
    """
    text = texts.test
    assert text is not None
    model.free_gradients()  # the parameters of the best checkpoint take their place
    found, started = find.first_readable(folder.path), time.perf_counter()
    model = model.with_parameters(found.checkpoint.parameters)
    model.temperature = found.checkpoint.temperature or 1.0
    batches = build.evaluation_batches(config, text, texts.vocabulary.end_id)
    counts = count(text, corpora.text_format(config.data).ends, texts.vocabulary)
    test = evaluate(model, batches, text, counts, stop, watch)
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
