"""The training loop: a generator of steps, which keeps the run folder as it goes."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np

from rnncli import build, snapshot
from rnncli.config import Config
from rnncli.engines.architecture import State
from rnncli.errors import NumericalError
from rnncli.evaluate import Counts, Evaluation, count, evaluate, nll_of_unknown, perplexity
from rnncli.events import Done, Epoch, Event, Step, row
from rnncli.model import LanguageModel
from rnncli.optim import clip_by_global_norm_
from rnncli.profile import Profile, StepProfile
from rnncli.run import Metrics, RunFolder
from rnncli.snapshot import Progress, done, finished
from rnncli.text.batches import Batch
from rnncli.text.corpus import Corpus, Texts
from rnncli.text.files import Watch

Stop = Callable[[], str | None]
"""Says why training is to stop now, or None."""

FIRST_TIMED_STEP = 5  # the first few steps of a process warm caches and are left out of words/s


class Trainer:
    """One run: a model, its optimizer, its texts and its folder."""

    def __init__(self, config: Config, texts: Texts, random_seed: int, folder: RunFolder) -> None:
        self.config, self.texts, self.random_seed, self.folder = config, texts, random_seed, folder
        self.profile = Profile()
        self.watch: Watch | None = None  # is told how far a text is measured
        V, end_id = len(texts.vocabulary), texts.vocabulary.end_id
        self.valid_counts = _count(config, texts, texts.valid) if texts.valid else None
        self.batches = build.training_batches(config, texts.train, end_id, random_seed)
        self.valid_batches = build.evaluation_batches(config, texts.valid, end_id) if texts.valid else None
        parameters = build.architecture(config, V).initialise(random_seed, config.training.dtype)
        self.model = build.model(config, parameters, texts.vocabulary, random_seed)
        self.optimizer = build.optimizer(config, parameters)
        self.schedule = build.schedule(config)
        self.progress = Progress()
        self.state: State = ()
        self._saved: tuple[int, int] | None = None  # step and completed epochs of the last checkpoint
        self._rates: list[float] = []  # words/s of each step of this process
        self._epoch_words, self._epoch_seconds = 0, 0.0  # of the epoch under way, in this process

    @cached_property
    def train_counts(self) -> Counts:
        """Of the training text; the spelling of very many unknown words takes a second or two."""
        return _count(self.config, self.texts, self.texts.train)

    def profiled(self) -> Profile:
        """From now on, book where the time of a step goes; the first steps are left out, as they are of words/s."""
        self.profile = self.model.engine.profile = StepProfile(FIRST_TIMED_STEP)
        return self.profile

    @property
    def words_done(self) -> int:
        """Words of all epochs so far."""
        return self.progress.epoch * self.batches.words + self.progress.epoch_words

    @property
    def words_planned(self) -> int:
        return self.config.training.epochs * self.batches.words

    @property
    def steps_taken(self) -> int:
        """Optimizer steps of this process."""
        return len(self._rates)

    def train(self, stop: Stop = lambda: None) -> Iterator[Event]:
        """Train to the end, or until `stop` gives a reason; a checkpoint is saved then.

        `stop` is asked after every step, and often while validating: a validation that is broken off is done when the
        run is resumed. Raises NumericalError where a loss, gradient or parameter is not finite; what is not finite
        reaches no checkpoint.
        """
        metrics = Metrics(self.folder.metrics, self.progress.step, self.progress.epoch)
        try:
            for event in self._events(stop):
                if not isinstance(event, Done):
                    metrics.append(row(event))
                yield event
        finally:
            metrics.close()

    def _events(self, stop: Stop) -> Iterator[Event]:
        p, every = self.progress, self.config.run.checkpoint_every
        saved_at = time.monotonic()
        reason = finished(p, self.config)
        while reason is None:
            for step in self.steps():
                yield step
                reason = stop()
                due = every.unit == "step" and p.step % every.count == 0
                if due or (every.unit == "second" and time.monotonic() - saved_at >= every.count):
                    self.save()
                    saved_at = time.monotonic()
                if reason:
                    break
            else:
                epoch = self._end_epoch(stop)
                if epoch is None:  # stopped while validating: the epoch has not ended yet
                    reason = stop()
                    continue
                yield epoch
                if epoch.best or (every.unit == "epoch" and p.epoch % every.count == 0):
                    self.save()
                reason = finished(p, self.config) or stop()
        self.save()
        test = self._test(stop) if finished(p, self.config) else None
        rates = self._rates[FIRST_TIMED_STEP:] or self._rates
        yield done(p, self.config, reason, self.random_seed, statistics.median(rates) if rates else None, test)

    def steps(self) -> Iterator[Step]:
        """The steps that are left of the epoch under way."""
        p, started = self.progress, time.perf_counter()
        self.profile.begin()
        for batch in self.batches.epoch(p.epoch, p.index):
            with np.errstate(all="ignore"):  # what overflows is told in one message
                loss, norm, learning_rate = self._take(batch)
            p.step, p.index = p.step + 1, p.index + 1
            p.epoch_loss += loss * batch.words
            p.epoch_words += batch.words
            p.gradient_norm, p.learning_rate = norm, learning_rate
            seconds = time.perf_counter() - started
            self.profile.end()
            self._rates.append(batch.words / seconds)
            self._epoch_words, self._epoch_seconds = self._epoch_words + batch.words, self._epoch_seconds + seconds
            yield Step(
                p.step,
                p.epoch + 1,
                loss,
                self._perplexity(loss),
                norm,
                learning_rate,
                batch.words,
                self._rates[-1],
                seconds,
            )
            started = time.perf_counter()  # what was done with this step is no part of the next
            self.profile.begin()

    def _take(self, batch: Batch) -> tuple[float, float, float]:
        """Take one optimizer step: the loss before it, the gradient norm before clipping, the learning rate."""
        p, model, o = self.progress, self.model, self.config.optimizer
        passed = model.forward(batch, model.entering(batch, self.state))
        gradients, _ = model.backward(passed.cache)
        self.profile.enter("clip and update")
        loss, norm = float(passed.loss), clip_by_global_norm_(gradients.vector, o.clip_norm, gradients.touched())
        if not (perplexity(loss) < np.inf and np.isfinite(norm)):
            raise self._diverged(f"the loss is {loss:g}, the gradient norm {norm:g}")
        learning_rate = o.learning_rate * self.schedule.factor(p.step, self.words_done / self.words_planned)
        vector = model.parameters.vector
        self.optimizer.step_(vector, gradients.vector, learning_rate, p.step + 1, gradients.touched())
        self.state = passed.state
        if len(self.texts.train.oov_positions):
            p.epoch_nll_oov += nll_of_unknown(passed.losses, batch, self.texts.train)
        self.profile.count(lambda: model.flops(passed.cache))
        return loss, norm, learning_rate

    def _perplexity(self, loss: float) -> float:
        """Of a training loss; NaN where it has none."""
        return perplexity(loss) if build.exact(self.config) else math.nan

    def _end_epoch(self, stop: Stop) -> Epoch | None:
        """Validate, and count the epoch; None, with nothing changed, where `stop` broke the validation off."""
        p, valid, best = self.progress, None, False
        if self.valid_batches and self.texts.valid and self.valid_counts:
            with np.errstate(all="ignore"):
                valid = evaluate(self.model, self.valid_batches, self.texts.valid, self.valid_counts, stop, self.watch)
            if valid is None:
                return None
            if not valid.perplexity < np.inf:
                raise self._diverged(f"the validation loss is {valid.cross_entropy:g}")
            p.valid_loss, p.valid = valid.cross_entropy, valid
            best = p.best_loss is None or p.valid_loss < p.best_loss
            if best:
                p.best_loss, p.best, p.best_step, p.epochs_without_gain = p.valid_loss, valid, p.step, 0
            else:
                p.epochs_without_gain += 1
        p.train_loss, words = p.epoch_loss / p.epoch_words, p.epoch_words
        if build.exact(self.config):
            p.train = Evaluation(**asdict(self.train_counts), nll=p.epoch_loss, nll_oov=p.epoch_nll_oov)
        p.epoch, p.index, p.epoch_loss, p.epoch_words, p.epoch_nll_oov = p.epoch + 1, 0, 0.0, 0, 0.0
        seconds, rate = self._epoch_seconds, None
        if seconds:
            rate = self._epoch_words / seconds
        self._epoch_words, self._epoch_seconds = 0, 0.0
        return Epoch(
            step=p.step,
            epoch=p.epoch,
            loss=p.train_loss,
            perplexity=self._perplexity(p.train_loss),
            gradient_norm=p.gradient_norm,
            learning_rate=p.learning_rate,
            words=words,
            words_per_second=rate,
            seconds=seconds,
            valid_perplexity=valid.perplexity if valid else None,
            best=best,
            train=p.train,
            valid=valid,
        )

    def _test(self, stop: Stop) -> Evaluation | None:
        if self.texts.test is None:
            return None
        self.model.forget_gradients()  # the parameters of the best checkpoint take their place
        _, stored, _ = snapshot.read_first(self.folder.preferred(), resume=False)
        model = LanguageModel(self.model.engine, stored.parameters)  # in the same buffers
        text, counts = self.texts.test, _count(self.config, self.texts, self.texts.test)
        batches = build.evaluation_batches(self.config, text, self.texts.vocabulary.end_id)
        return evaluate(model, batches, text, counts, stop, self.watch)

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
            vector = self.model.parameters.vector
            if not (np.isfinite(vector.min()) and np.isfinite(vector.max())):  # NaN is both
                raise self._diverged("a parameter is not finite")
            snapshot.write(self.folder.checkpoint_at(self.progress.step), self.contents())
            self._saved = at
            self.folder.prune(self.config.run.keep, self.progress.best_step, self.progress.step)

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
        self.optimizer.moments.update(stored.moments)
        self.state = self.model.engine.architecture.unflatten_state(list(stored.state.values()))
        self._saved = (stored.progress.step, stored.progress.epoch)


def _count(config: Config, texts: Texts, text: Corpus) -> Counts:
    return count(text, build.reading(config.data).ends, texts.vocabulary)
