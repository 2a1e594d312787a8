"""What is measured after training is complete: the temperature of the softmax, then the test text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rnncli.runs.events import Calibration, Test
from rnncli.runs.progress import finished
from rnncli.training.calibration import calibrate
from rnncli.training.final_test import final_test

if TYPE_CHECKING:
    from rnncli.training.trainer import Trainer


def ending(trainer: Trainer, stop: Callable[[], object]) -> Iterator[Calibration | Test | None]:
    """The measurements that the config asks for, in order; None in place of one that `stop` interrupted, the last."""
    if not finished(trainer.progress, trainer.config):
        return
    if trainer.config.training.calibrate:
        fitted = calibrate(trainer, stop)
        yield fitted
        if fitted is None:
            return
    if trainer.texts.test is not None:
        yield final_test(trainer, stop)
