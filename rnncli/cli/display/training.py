"""How training looks: a bar on a terminal, plain lines elsewhere, JSON rows for programs, or nothing."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import click

from rnncli.cli.options import tell
from rnncli.evaluation.perplexity import Evaluation
from rnncli.runs.events import Done, Epoch, Event, Rollback, Step, row
from rnncli.system import json_text

if TYPE_CHECKING:
    from rnncli.training.trainer import Trainer

SECONDS_BETWEEN_LINES = 3.0
SECONDS_BETWEEN_LOOKS = 0.1


class Display(Protocol):
    def show(self, event: Event) -> None: ...

    def close(self) -> None: ...


def display(trainer: Trainer, as_json: bool, quiet: bool) -> Display:
    """The display that fits where the output goes."""
    if as_json:
        return Rows()
    if quiet:
        return Nothing()
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        return Bar(trainer)
    return Lines(trainer)


def epoch_line(epoch: Epoch) -> str:
    """One epoch in words: `epoch 3: perplexity train 187.20 over 929,589 tokens, 41,012 unknown; valid 171.05 over
    73,760 tokens, 3,370 unknown (best); 10,412 words/s`.

    A loss that has no perplexity stands for it: `epoch 3: sampled loss 3.214; perplexity valid 171.05 over ...`.
    """
    told = [f"perplexity train {_counted(epoch.train)}" if epoch.train else f"sampled loss {epoch.loss:.3f}"]
    if epoch.valid is not None:
        best = " (best)" if epoch.best else ""
        told.append(f"{'' if epoch.train else 'perplexity '}valid {_counted(epoch.valid)}{best}")
    if epoch.words_per_second is not None:
        told.append(f"{epoch.words_per_second:,.0f} words/s")
    return f"epoch {epoch.epoch}: {'; '.join(told)}"


def _counted(evaluation: Evaluation) -> str:
    return f"{evaluation.perplexity:.2f} over {evaluation.tokens:,} tokens, {evaluation.oov:,} unknown"


def step_loss(step: Step) -> str:
    """The loss of a step in words: its perplexity, if it has one."""
    if math.isnan(step.perplexity):
        return f"sampled loss {step.loss:.3f}"
    return f"perplexity {step.perplexity:.1f} over {step.words:,} tokens"


def rollback_line(event: Rollback) -> str:
    """One in words: `diverged at step 1,151: the loss is nan; back to step 1,000, learning rate 0.0005`."""
    return (
        f"diverged at step {event.diverged_at:,}: {event.reason}; back to step {event.step:,}, "
        f"learning rate {event.learning_rate:g}"
    )


def measured(what: str, done: int, total: int | None) -> str:
    """How far a text is measured, in words."""
    return f"{what}: {done:,} of {total:,} words"


class Rate:
    """Words a second over the last while, smoothed."""

    def __init__(self) -> None:
        self.words_per_second = 0.0

    def add(self, step: Step) -> None:
        weight = 0.05 if self.words_per_second else 1.0
        self.words_per_second += weight * (step.words_per_second - self.words_per_second)


class Pace:
    """At most a line every few seconds; the last epoch's line waits for its turn, a step's does not."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write, self._last, self._waiting = write, time.monotonic(), ""

    def epoch(self, line: str) -> None:
        self._waiting = line

    def turn(self, line: Callable[[], str] | None = None) -> None:
        """Write what waits, else the line that is given, if it is time for one."""
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_LINES or not (self._waiting or line):
            return
        self._write(self._waiting or (line() if line else ""))
        self._last, self._waiting = now, ""


class Bar:
    """A bar over all epochs, with loss, perplexity, words/s and time left; a line for an epoch that took a while."""

    def __init__(self, trainer: Trainer) -> None:
        from tqdm import tqdm

        self._trainer, self._rate = trainer, Rate()
        self._pace = Pace(lambda line: self._bar.write(line, file=sys.stderr))
        self._bar: Any = tqdm(
            total=trainer.words_planned,
            initial=trainer.words_done,
            file=sys.stderr,
            dynamic_ncols=True,
            bar_format="{percentage:3.0f}%|{bar}| {desc} [{elapsed}<{remaining}]",
            mininterval=0.1,
            leave=False,
        )
        trainer.watch, self._told = self._measuring, 0.0

    def _measuring(self, what: str, done: int, total: int | None) -> None:
        if time.monotonic() - self._told >= SECONDS_BETWEEN_LOOKS:
            self._told = time.monotonic()
            self._bar.set_description_str(measured(what, done, total))

    def show(self, event: Event) -> None:
        if isinstance(event, Step):
            self._rate.add(event)
            epochs = self._trainer.config.training.epochs
            self._bar.set_description_str(
                f"epoch {event.epoch}/{epochs}, {step_loss(event)}, {self._rate.words_per_second:,.0f} words/s",
                refresh=False,
            )
            self._bar.update(event.words)
        elif isinstance(event, Epoch):
            self._pace.epoch(epoch_line(event))
        elif isinstance(event, Rollback):
            self._bar.write(rollback_line(event), file=sys.stderr)
            self._bar.update(self._trainer.words_done - self._bar.n)
        self._pace.turn()

    def close(self) -> None:
        self._bar.close()


class Lines:
    """At most a line every few seconds."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer, self._rate, self._pace = trainer, Rate(), Pace(tell)
        trainer.watch = lambda what, done, total: self._pace.turn(lambda: measured(what, done, total))

    def show(self, event: Event) -> None:
        if isinstance(event, Step):
            self._rate.add(event)
            self._pace.turn(lambda: self._line(event))
        elif isinstance(event, Epoch):
            self._pace.epoch(epoch_line(event))
            self._pace.turn()
        elif isinstance(event, Rollback):
            tell(rollback_line(event))

    def _line(self, step: Step) -> str:
        done = self._trainer.words_done / self._trainer.words_planned
        return (
            f"epoch {step.epoch}, step {step.step}, {done:.0%}: {step_loss(step)}, "
            f"{self._rate.words_per_second:,.0f} words/s"
        )

    def close(self) -> None:
        pass


class Rows:
    """The rows of metrics.jsonl on stdout; the command adds the last."""

    def show(self, event: Event) -> None:
        if not isinstance(event, Done):
            click.echo(json_text.dumps(row(event)))
        if isinstance(event, Rollback):
            tell(rollback_line(event))

    def close(self) -> None:
        pass


class Nothing:
    """Silence, but for what goes wrong."""

    def show(self, event: Event) -> None:
        if isinstance(event, Rollback):
            tell(rollback_line(event))

    def close(self) -> None:
        pass
