"""Display of training: a bar on a terminal, plain lines elsewhere, JSON rows for programs, or nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import click

from rnncli.cli.display.progress import Bar, Pace, Style, style
from rnncli.cli.options import notify
from rnncli.evaluation.perplexity import Evaluation
from rnncli.runs.events import Done, Epoch, Event, Rollback, Step, row
from rnncli.system import json_text

if TYPE_CHECKING:
    from rnncli.training.trainer import Trainer

SECONDS_BETWEEN_DESCRIPTIONS = 0.1


class Display(Protocol):
    def show(self, event: Event) -> None: ...

    def watch(self, activity: str, done: int, total: int | None) -> None:
        """Show how much of a text is measured, in words."""

    def close(self) -> None: ...


def display(trainer: Trainer, as_json: bool, quiet: bool) -> Display:
    """The display that fits where the output goes; it falls silent if output fails, and training continues."""
    return UntilItFails(_display(trainer, as_json, quiet))


def _display(trainer: Trainer, as_json: bool, quiet: bool) -> Display:
    if as_json:
        return JsonRows()
    match style(quiet):
        case Style.SILENT:
            return Silent()
        case Style.BAR:
            return TrainingBar(trainer)
        case Style.LINES:
            return TrainingLines(trainer)


def epoch_line(epoch: Epoch) -> str:
    """Return `epoch 3: perplexity train 187.20 over 929,589 tokens, 41,012 unknown; valid 171.05 over 73,760 tokens,
    3,370 unknown (best); 10,412 words/s`.

    A sampled loss has no perplexity: `epoch 3: sampled loss 3.214; perplexity valid 171.05 over ...`.
    """
    parts = [f"perplexity train {_counted(epoch.train)}" if epoch.train else f"sampled loss {epoch.loss:.3f}"]
    if epoch.valid is not None:
        best = " (best)" if epoch.best else ""
        parts.append(f"{'' if epoch.train else 'perplexity '}valid {_counted(epoch.valid)}{best}")
    if epoch.words_per_second is not None:
        parts.append(f"{epoch.words_per_second:,.0f} words/s")
    return f"epoch {epoch.epoch}: {'; '.join(parts)}"


def _counted(evaluation: Evaluation) -> str:
    return f"{evaluation.perplexity:.2f} over {evaluation.tokens:,} tokens, {evaluation.oov:,} unknown"


def step_loss(step: Step) -> str:
    """The perplexity of a step; its loss if that is sampled."""
    if math.isnan(step.perplexity):
        return f"sampled loss {step.loss:.3f}"
    return f"perplexity {step.perplexity:.1f} over {step.words:,} tokens"


def rollback_line(event: Rollback) -> str:
    """Return `diverged at step 1,151: the loss is nan; back to step 1,000, learning rate 0.0005`."""
    return (
        f"diverged at step {event.diverged_at:,}: {event.reason}; back to step {event.step:,}, "
        f"learning rate {event.learning_rate:g}"
    )


def measured(activity: str, done: int, total: int | None) -> str:
    """How much of a text is measured."""
    return f"{activity}: {done:,} of {total:,} words"


class Rate:
    """Words per second, smoothed exponentially over the last steps."""

    def __init__(self) -> None:
        self.words_per_second = 0.0

    def add(self, step: Step) -> None:
        weight = 0.05 if self.words_per_second else 1.0
        self.words_per_second += weight * (step.words_per_second - self.words_per_second)


class TrainingBar:
    """A bar over all epochs, with loss, perplexity, words/s and time left; a line for each epoch, when one is due."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer, self._rate, self._described = trainer, Rate(), 0.0
        self._bar = Bar(
            total=trainer.words_planned,
            initial=trainer.words_done,
            bar_format="{percentage:3.0f}%|{bar}| {desc} [{elapsed}<{remaining}]",
            mininterval=0.1,
        )
        self._pace = Pace(self._bar.write)

    def watch(self, activity: str, done: int, total: int | None) -> None:
        if time.monotonic() - self._described >= SECONDS_BETWEEN_DESCRIPTIONS:
            self._described = time.monotonic()
            self._bar.describe(measured(activity, done, total))

    def show(self, event: Event) -> None:
        if isinstance(event, Step):
            self._rate.add(event)
            epoch = f"epoch {event.epoch}/{self._trainer.config.training.epochs}"
            rate = f"{self._rate.words_per_second:,.0f} words/s"
            self._bar.describe(f"{epoch}, {step_loss(event)}, {rate}", refresh=False)
            self._bar.advance_to(self._bar.done + event.words)
        elif isinstance(event, Epoch):
            self._pace.queue(epoch_line(event))
        elif isinstance(event, Rollback):
            self._bar.write(rollback_line(event))
            self._bar.advance_to(self._trainer.words_done)
        self._pace.write()

    def close(self) -> None:
        self._bar.close()


class TrainingLines:
    """A line for a step or an epoch every few seconds."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer, self._rate, self._pace = trainer, Rate(), Pace(notify)

    def watch(self, activity: str, done: int, total: int | None) -> None:
        self._pace.write(lambda: measured(activity, done, total))

    def show(self, event: Event) -> None:
        if isinstance(event, Step):
            self._rate.add(event)
            self._pace.write(lambda: self._line(event))
        elif isinstance(event, Epoch):
            self._pace.queue(epoch_line(event))
            self._pace.write()
        elif isinstance(event, Rollback):
            notify(rollback_line(event))

    def _line(self, step: Step) -> str:
        done = self._trainer.words_done / self._trainer.words_planned
        return (
            f"epoch {step.epoch}, step {step.step}, {done:.0%}: {step_loss(step)}, "
            f"{self._rate.words_per_second:,.0f} words/s"
        )

    def close(self) -> None:
        pass


class Silent:
    """Shows rollbacks only."""

    def watch(self, activity: str, done: int, total: int | None) -> None:
        pass

    def show(self, event: Event) -> None:
        if isinstance(event, Rollback):
            notify(rollback_line(event))

    def close(self) -> None:
        pass


class JsonRows(Silent):
    """The rows of metrics.jsonl on stdout; the command adds the last row itself."""

    def show(self, event: Event) -> None:
        if not isinstance(event, Done):
            click.echo(json_text.dumps(row(event)))
        super().show(event)


class UntilItFails:
    """Another display, silent from the first OSError on: the reader of the output has exited, or its disk is full."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def watch(self, activity: str, done: int, total: int | None) -> None:
        self._try(lambda: self._display.watch(activity, done, total))

    def show(self, event: Event) -> None:
        self._try(lambda: self._display.show(event))

    def _try(self, output: Callable[[], None]) -> None:
        try:
            output()
        except OSError as error:
            self._display = Silent()
            notify(f"output stopped: {error.strerror}; training continues")

    def close(self) -> None:
        self._display.close()
