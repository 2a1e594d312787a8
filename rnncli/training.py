"""The training loop: a generator of steps, which keeps the run folder as it goes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rnncli import build, snapshot
from rnncli.config import Config
from rnncli.engines.architecture import State
from rnncli.errors import NumericalError
from rnncli.evaluate import Evaluation, evaluate, perplexity
from rnncli.optim import clip_by_global_norm_
from rnncli.run import Metrics, RunFolder
from rnncli.snapshot import Progress, finished
from rnncli.text.batches import Batch

FIRST_TIMED_STEP = 5  # the first few steps of a process warm caches and are left out of words/s


@dataclass(frozen=True)
class Step:
    """One optimizer step. `epoch` is the one under way, from 1; `loss` in nats a word; `seconds` with its data."""

    step: int
    epoch: int
    loss: float
    perplexity: float
    gradient_norm: float
    learning_rate: float
    words: int
    words_per_second: float
    seconds: float


@dataclass(frozen=True)
class Epoch:
    """The end of an epoch. `best`: its validation loss is the lowest so far."""

    step: int
    epoch: int
    train_perplexity: float
    valid_perplexity: float | None
    best: bool
    seconds: float  # of its validation


@dataclass(frozen=True)
class Done:
    """The end of training: why, and the figures of the last line of `train --json`."""

    reason: str  # epochs | patience | or what `stop` said
    epochs: int
    steps: int
    words_per_second: float | None
    train_perplexity: float | None
    valid_perplexity: float | None
    best_valid_perplexity: float | None
    test_perplexity: float | None  # of data.test, by the best checkpoint, once nothing is left to train
    random_seed: int


Event = Step | Epoch | Done


class Trainer:
    """One run: a model, its optimizer, its texts and its folder."""

    def __init__(self, config: Config, texts: build.Texts, random_seed: int, folder: RunFolder) -> None:
        self.config, self.texts, self.random_seed, self.folder = config, texts, random_seed, folder
        V, end_id = len(texts.vocabulary), texts.vocabulary.end_id
        self.batches = build.training_batches(config, texts.train, end_id, random_seed)
        self.valid_batches = build.evaluation_batches(config, texts.valid, end_id) if texts.valid else None
        parameters = build.architecture(config, V).initialise(random_seed, config.training.dtype)
        self.model = build.model(config, parameters, V)
        self.optimizer = build.optimizer(config, parameters)
        self.schedule = build.schedule(config)
        self.progress = Progress()
        self.state: State = ()
        self._saved: tuple[int, int] | None = None  # step and completed epochs of the last checkpoint
        self._rates: list[float] = []

    @property
    def words_done(self) -> int:
        """Words of all epochs so far."""
        return self.progress.epoch * self.batches.words + self.progress.epoch_words

    @property
    def words_planned(self) -> int:
        return self.config.training.epochs * self.batches.words

    def train(self, stop: Callable[[], str | None] = lambda: None) -> Iterator[Event]:
        """Train to the end, or until `stop`, asked after every step, gives a reason; a checkpoint is saved then.

        Raises NumericalError at a loss or gradient that is not finite, before it reaches the parameters.
        """
        metrics = Metrics(self.folder.metrics, self.progress.step, self.progress.epoch)
        try:
            for event in self._events(stop):
                if not isinstance(event, Done):
                    metrics.append({"event": type(event).__name__.lower()} | asdict(event))
                yield event
        finally:
            metrics.close()

    def _events(self, stop: Callable[[], str | None]) -> Iterator[Event]:
        p, every = self.progress, self.config.run.checkpoint_every
        saved_at = time.monotonic()
        reason, first_step = finished(p, self.config), p.step
        while reason is None:
            for step in self._steps():
                yield step
                reason = stop()
                due = every.unit == "step" and p.step % every.count == 0
                if due or (every.unit == "second" and time.monotonic() - saved_at >= every.count):
                    self.save()
                    saved_at = time.monotonic()
                if reason:
                    break
            else:
                epoch = self._end_epoch()
                yield epoch
                if epoch.best or (every.unit == "epoch" and p.epoch % every.count == 0):
                    self.save()
                # Where only the end of an epoch was left, a step is still to come.
                reason = finished(p, self.config) or (stop() if p.step > first_step else None)
        self.save()
        yield self._done(reason)

    def _steps(self) -> Iterator[Step]:
        """The steps that are left of the epoch under way."""
        p, started = self.progress, time.perf_counter()
        for batch in self.batches.epoch(p.epoch, p.index):
            with np.errstate(all="ignore"):  # what overflows is told in one message
                loss, norm, learning_rate = self._take(batch)
            p.step, p.index = p.step + 1, p.index + 1
            p.epoch_loss += loss * batch.words
            p.epoch_words += batch.words
            seconds = time.perf_counter() - started
            self._rates.append(batch.words / seconds)
            yield Step(
                p.step, p.epoch + 1, loss, perplexity(loss), norm, learning_rate, batch.words, self._rates[-1], seconds
            )
            started = time.perf_counter()  # what was done with this step is no part of the next

    def _take(self, batch: Batch) -> tuple[float, float, float]:
        """Take one optimizer step: the loss before it, the gradient norm before clipping, the learning rate."""
        p, model, o = self.progress, self.model, self.config.optimizer
        passed = model.forward(batch, model.entering(batch, self.state))
        gradients, _ = model.backward(passed.cache)
        loss, norm = float(passed.loss), clip_by_global_norm_(gradients.vector, o.clip_norm)
        if not (perplexity(loss) < np.inf and np.isfinite(norm)):
            raise self._diverged(f"the loss is {loss:g}, the gradient norm {norm:g}")
        learning_rate = o.learning_rate * self.schedule.factor(p.step, self.words_done / self.words_planned)
        self.optimizer.step_(model.parameters.vector, gradients.vector, learning_rate, p.step + 1)
        self.state = passed.state
        return loss, norm, learning_rate

    def _end_epoch(self) -> Epoch:
        p, started = self.progress, time.perf_counter()
        p.train_loss = p.epoch_loss / p.epoch_words
        p.epoch, p.index, p.epoch_loss, p.epoch_words = p.epoch + 1, 0, 0.0, 0
        evaluation, best = self._validate(), False
        if evaluation:
            p.valid_loss = evaluation.cross_entropy
            if not evaluation.perplexity < np.inf:
                raise self._diverged(f"the validation loss is {p.valid_loss:g}")
            best = p.best_loss is None or p.valid_loss < p.best_loss
            if best:
                p.best_loss, p.best_step, p.epochs_without_gain = p.valid_loss, p.step, 0
            else:
                p.epochs_without_gain += 1
        return Epoch(
            p.step,
            p.epoch,
            perplexity(p.train_loss),
            evaluation.perplexity if evaluation else None,
            best,
            time.perf_counter() - started,
        )

    def _validate(self) -> Evaluation | None:
        if self.valid_batches is None or self.texts.valid is None:
            return None
        with np.errstate(all="ignore"):
            return evaluate(self.model, self.valid_batches, self.texts.valid)

    def _done(self, reason: str) -> Done:
        p = self.progress
        rates = self._rates[FIRST_TIMED_STEP:] or self._rates
        train_loss = p.epoch_loss / p.epoch_words if p.train_loss is None and p.epoch_words else p.train_loss
        train, valid, best = (
            None if loss is None else perplexity(loss) for loss in (train_loss, p.valid_loss, p.best_loss)
        )
        rate = statistics.median(rates) if rates else None
        test = self._test() if finished(p, self.config) else None
        return Done(reason, p.epoch, p.step, rate, train, valid, best, test, self.random_seed)

    def _test(self) -> float | None:
        best = self.folder.best()
        if self.texts.test is None or best is None:
            return None
        parameters, vocabulary = snapshot.read(best, resume=False).parameters, self.texts.vocabulary
        model = build.model(self.config, parameters, len(vocabulary))
        batches = build.evaluation_batches(self.config, self.texts.test, vocabulary.end_id)
        return evaluate(model, batches, self.texts.test).perplexity

    def _diverged(self, what: str) -> NumericalError:
        bad = [name for name, gradient in self.model.gradients.items() if not np.isfinite(gradient).all()]
        where = f" (first in {bad[0]})" if bad else ""
        kept = "; the last checkpoint is as it was" if self.folder.checkpoints() else ""
        return NumericalError(
            f"{self.folder.path}: diverged at step {self.progress.step + 1}: {what}{where}{kept}. Lower "
            f"optimizer.learning_rate ({self.config.optimizer.learning_rate:g}) or optimizer.clip_norm, and train "
            "again with --fresh"
        )

    def save(self) -> None:
        """Write a checkpoint of this step, if there is none yet, and remove those that need not be kept."""
        at = (self.progress.step, self.progress.epoch)  # the end of an epoch changes what is stored, without a step
        if self._saved != at:
            if not np.isfinite(self.model.parameters.vector).all():
                raise self._diverged("a parameter is not finite")
            snapshot.write(self.folder.checkpoint_at(self.progress.step), self.contents())
            self._saved = at
            self.folder.prune(self.config.run.keep, self.progress.best_step)

    def contents(self) -> snapshot.Contents:
        """What a checkpoint holds of this run; its arrays are those that training goes on with."""
        return snapshot.Contents(
            self.config,
            self.texts.vocabulary,
            self.random_seed,
            self.progress,
            snapshot.hashes(self.texts),
            self.model.parameters,
            self.optimizer.moments,
            self.model.engine.architecture.flatten_state(self.state),
        )

    def resume(self, path: Path) -> None:
        """Go on where the checkpoint at `path` stands. Raises RunError if it cannot be used."""
        stored = snapshot.read(path)
        self.progress = stored.progress
        self.model.parameters.vector[:] = stored.parameters.vector
        for name, moment in self.optimizer.moments.items():
            moment[:] = stored.moments[name]
        self.state = self.model.engine.architecture.unflatten_state(list(stored.state.values()))
        self._saved = (stored.progress.step, stored.progress.epoch)
