"""Display of training: a bar on a terminal, plain lines elsewhere, JSON rows for programs, or nothing."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from rnncli.cli.display.perplexities import figure
from rnncli.cli.display.progress import SECONDS_BETWEEN_LINES, Bar, Pace, Style, style
from rnncli.cli.display.streams import optional_stdout
from rnncli.cli.options import notify, print_json
from rnncli.evaluation.perplexity import Evaluation, perplexity
from rnncli.runs.events import Calibration, Done, Epoch, Event, Rollback, Step, row

if TYPE_CHECKING:
    from rnncli.training.trainer import Trainer

SECONDS_BETWEEN_DESCRIPTIONS = 0.1


def display(trainer: Trainer, as_json: bool, quiet: bool) -> Display:
    """The display that fits where the output goes; training continues if stdout cannot be written."""
    optional_stdout(lambda reason: notify(f"output stopped: {reason}; training continues"))
    if as_json:
        return JsonRows()
    match style(quiet):
        case Style.SILENT:
            return Display()
        case Style.BAR:
            return TrainingBar(trainer)
        case Style.LINES:
            return TrainingLines(trainer)


def epoch_line(epoch: Epoch, words_per_second: float | None) -> str:
    """Return `epoch 3: perplexity train 187.20 over 929,589 tokens, 41,012 unknown; valid 171.05 over 73,760 tokens,
    3,370 unknown (best); 10,412 words/s`.

    A sampled loss has no perplexity: `epoch 3: sampled loss 3.214; perplexity valid 171.05 over ...`.
    """
    parts = [f"perplexity train {_counted(epoch.train)}" if epoch.train else f"sampled loss {figure(epoch.loss, 3)}"]
    if epoch.valid is not None:
        best = " (best)" if epoch.best else ""
        parts.append(f"{'' if epoch.train else 'perplexity '}valid {_counted(epoch.valid)}{best}")
    if words_per_second is not None:
        parts.append(f"{words_per_second:,.0f} words/s")
    return f"epoch {epoch.epoch}: {'; '.join(parts)}"


def _counted(evaluation: Evaluation) -> str:
    return f"{figure(evaluation.perplexity, 2)} over {evaluation.tokens:,} tokens, {evaluation.oov:,} unknown"


def rollback_line(event: Rollback) -> str:
    """Return `diverged at step 1,151: the loss is nan; back to step 1,000, learning rate 0.0005`."""
    return (
        f"diverged at step {event.diverged_at:,}: {event.reason}; back to step {event.step:,}, "
        f"learning rate {event.learning_rate:g}"
    )


def calibration_line(event: Calibration) -> str:
    """Return `temperature 1.042: perplexity valid 110.21`."""
    return f"temperature {event.temperature:.3f}: perplexity valid {figure(event.perplexity, 2)}"


def measured(activity: str, done: int, total: int | None) -> str:
    """How much of a text is measured."""
    return f"{activity}: {done:,} of {total:,} words"


class Speed:
    """Words per second of the steps of this process, by the clock: with validating and saving between them."""

    def __init__(self) -> None:
        self._began, self.words, self.seconds = time.monotonic(), 0, 0.0

    def add(self, event: Step | Epoch) -> None:
        self.words += event.words if isinstance(event, Step) else 0
        self.seconds = time.monotonic() - self._began

    @property
    def words_per_second(self) -> float | None:
        return self.words / self.seconds if self.words and self.seconds else None

    def __str__(self) -> str:
        return f"{self.words_per_second or 0:,.0f} words/s"


class RecentLoss:
    """The mean loss of the steps since the last time that it was taken."""

    def __init__(self) -> None:
        self._nats, self._words, self._sampled = 0.0, 0, False

    def add(self, step: Step) -> None:
        self._nats, self._words = self._nats + step.loss * step.words, self._words + step.words
        self._sampled = math.isnan(step.perplexity)

    def take(self) -> str:
        """Return `perplexity 187.2 over 12,340 tokens`; the loss if that is sampled."""
        mean, words, sampled = self._nats / self._words, self._words, self._sampled
        self._nats, self._words = 0.0, 0
        if sampled:
            return f"sampled loss {figure(mean, 3)}"
        return f"perplexity {figure(perplexity(mean), 1)} over {words:,} tokens"


class Display:
    """Shows rollbacks only."""

    def __init__(self) -> None:
        self.speed = Speed()

    def watch(self, activity: str, done: int, total: int | None) -> None:
        """Show how much of a text is measured, in words."""

    def show(self, event: Event) -> None:
        if isinstance(event, Step | Epoch):
            self.speed.add(event)
        elif isinstance(event, Rollback):
            self._write(rollback_line(event))

    def _write(self, line: str) -> None:
        notify(line)

    def close(self) -> None:
        pass


class TrainingBar(Display):
    """A bar over all epochs, with perplexity, words/s and time left; a line for each epoch, when one is due."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__()
        self._trainer, self._recent, self._loss, self._taken, self._described = trainer, RecentLoss(), "", 0.0, 0.0
        self._bar = Bar(
            total=trainer.words_planned,
            initial=trainer.words_done,
            bar_format="{percentage:3.0f}%|{bar}| {desc} [{elapsed}<{remaining}]",
            mininterval=0.1,
        )
        self._pace = Pace(self._write)

    def watch(self, activity: str, done: int, total: int | None) -> None:
        if time.monotonic() - self._described >= SECONDS_BETWEEN_DESCRIPTIONS:
            self._described = time.monotonic()
            self._bar.describe(measured(activity, done, total))

    def show(self, event: Event) -> None:
        super().show(event)
        if isinstance(event, Step):
            self._recent.add(event)
            if not self._loss or time.monotonic() - self._taken >= SECONDS_BETWEEN_LINES:
                self._loss, self._taken = self._recent.take(), time.monotonic()
            epoch = f"epoch {event.epoch}/{self._trainer.config.training.epochs}"
            self._bar.describe(f"{epoch}, {self._loss}, {self.speed}", refresh=False)
            self._bar.advance_to(self._bar.done + event.words)
        elif isinstance(event, Epoch):
            self._pace.queue(epoch_line(event, self.speed.words_per_second))
        elif isinstance(event, Rollback):
            self._bar.advance_to(self._trainer.words_done)
        elif isinstance(event, Calibration):
            self._write(calibration_line(event))
        self._pace.write()

    def _write(self, line: str) -> None:
        self._bar.write(line)

    def close(self) -> None:
        self._bar.close()


class TrainingLines(Display):
    """A line for the steps since the last line, or for an epoch, every few seconds."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__()
        self._trainer, self._recent, self._pace = trainer, RecentLoss(), Pace(self._write)

    def watch(self, activity: str, done: int, total: int | None) -> None:
        self._pace.write(lambda: measured(activity, done, total))

    def show(self, event: Event) -> None:
        super().show(event)
        if isinstance(event, Step):
            self._recent.add(event)
            self._pace.write(lambda: self._line(event))
        elif isinstance(event, Epoch):
            self._pace.queue(epoch_line(event, self.speed.words_per_second))
            self._pace.write()
        elif isinstance(event, Calibration):
            self._write(calibration_line(event))

    def _line(self, step: Step) -> str:
        done, planned = self._trainer.words_done, self._trainer.words_planned
        left = (planned - done) * self.speed.seconds / self.speed.words
        return (
            f"epoch {step.epoch}, step {step.step}, {done / planned:.0%}: {self._recent.take()}, {self.speed}, "
            f"after {_time(self.speed.seconds)}, {_time(left)} left"
        )


def _time(seconds: float) -> str:
    """`0:01:40`."""
    return str(timedelta(seconds=round(min(seconds, 1e9))))


class JsonRows(Display):
    """The rows of metrics.jsonl on stdout; the command adds the last row itself."""

    def show(self, event: Event) -> None:
        if not isinstance(event, Done):
            print_json(row(event), indent=None)
        super().show(event)
