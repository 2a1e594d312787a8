"""How training looks: a bar on a terminal, plain lines elsewhere, JSON rows for programs, or nothing."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

import click

from rnncli.cli.options import tell

if TYPE_CHECKING:
    from rnncli.training import Epoch, Event, Step, Trainer

SECONDS_BETWEEN_LINES = 3.0


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


def epoch_line(epoch: Epoch, words_per_second: float) -> str:
    """One epoch in words: `epoch 3: perplexity train 187.20, valid 171.05 (best), 10,412 words/s`."""
    valid = "" if epoch.valid_perplexity is None else f", valid {epoch.valid_perplexity:.2f}"
    best = " (best)" if epoch.best else ""
    train = f"perplexity train {epoch.train_perplexity:.2f}"
    return f"epoch {epoch.epoch}: {train}{valid}{best}, {words_per_second:,.0f} words/s"


class Rate:
    """Words a second over the last while, smoothed."""

    def __init__(self) -> None:
        self.words_per_second = 0.0

    def add(self, step: Step) -> None:
        weight = 0.05 if self.words_per_second else 1.0
        self.words_per_second += weight * (step.words_per_second - self.words_per_second)


class Throttle:
    """Lets a line through if the last one was a few seconds ago; an epoch's, if the last epoch's was."""

    def __init__(self) -> None:
        self._last_line = self._last_epoch = time.monotonic()

    def step(self) -> bool:
        now = time.monotonic()
        if now - self._last_line < SECONDS_BETWEEN_LINES:
            return False
        self._last_line = now
        return True

    def epoch(self) -> bool:
        now = time.monotonic()
        if now - self._last_epoch < SECONDS_BETWEEN_LINES:
            return False
        self._last_line = self._last_epoch = now
        return True


class Bar:
    """A bar over all epochs, with loss, perplexity, words/s and time left; a line for an epoch that took a while."""

    def __init__(self, trainer: Trainer) -> None:
        from tqdm import tqdm

        self._trainer, self._rate, self._throttle = trainer, Rate(), Throttle()
        self._bar: Any = tqdm(
            total=trainer.words_planned,
            initial=trainer.words_done,
            file=sys.stderr,
            dynamic_ncols=True,
            bar_format="{percentage:3.0f}%|{bar}| {desc} [{elapsed}<{remaining}]",
            mininterval=0.1,
            leave=False,
        )

    def show(self, event: Event) -> None:
        from rnncli.training import Epoch, Step

        if isinstance(event, Step):
            self._rate.add(event)
            epochs = self._trainer.config.training.epochs
            self._bar.set_description_str(
                f"epoch {event.epoch}/{epochs}, loss {event.loss:.3f}, perplexity {event.perplexity:.1f}, "
                f"{self._rate.words_per_second:,.0f} words/s",
                refresh=False,
            )
            self._bar.update(event.words)
        elif isinstance(event, Epoch) and self._throttle.epoch():
            self._bar.write(epoch_line(event, self._rate.words_per_second), file=sys.stderr)

    def close(self) -> None:
        self._bar.close()


class Lines:
    """At most a line every few seconds."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer, self._rate, self._throttle = trainer, Rate(), Throttle()

    def show(self, event: Event) -> None:
        from rnncli.training import Epoch, Step

        if isinstance(event, Step):
            self._rate.add(event)
            if self._throttle.step():
                done = self._trainer.words_done / self._trainer.words_planned
                tell(
                    f"epoch {event.epoch}, step {event.step}, {done:.0%}: loss {event.loss:.3f}, "
                    f"perplexity {event.perplexity:.1f}, {self._rate.words_per_second:,.0f} words/s"
                )
        elif isinstance(event, Epoch) and self._throttle.epoch():
            tell(epoch_line(event, self._rate.words_per_second))

    def close(self) -> None:
        pass


class Rows:
    """The rows of metrics.jsonl on stdout; the command adds the last."""

    def show(self, event: Event) -> None:
        from rnncli.run import to_json
        from rnncli.training import Done

        if not isinstance(event, Done):
            click.echo(to_json({"event": type(event).__name__.lower()} | asdict(event)))

    def close(self) -> None:
        pass


class Nothing:
    """Silence."""

    def show(self, event: Event) -> None:
        pass

    def close(self) -> None:
        pass
