"""The training loop: epochs, validation, rollback and saving around the steps of a learner."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from rnncli.config import build, corpora
from rnncli.config.config import Config
from rnncli.errors import RunError
from rnncli.evaluation.evaluate import (
    Evaluation,
    TokenCounts,
    count,
    evaluate,
    nll_of_unknown,
    perplexity,
)
from rnncli.model.language_model import LanguageModel
from rnncli.optim import Moment
from rnncli.runs import checkpoint
from rnncli.runs.events import Done, Epoch, Event, Rollback, Step, Test, row
from rnncli.runs.folder import RunFolder
from rnncli.runs.metrics import Metrics
from rnncli.runs.progress import Progress, averaged_steps, done, finished
from rnncli.system.profile import Profile, StepProfile
from rnncli.text.corpus import Texts
from rnncli.text.files import Watch
from rnncli.training import divergence
from rnncli.training.divergence import DivergenceCheck
from rnncli.training.ending import ending
from rnncli.training.retention import Keeper
from rnncli.training.speed import FIRST_TIMED_STEP, Speed
from rnncli.training.step import Attempt, Learner

Stop = Callable[[], str | None]
"""The reason why training is to stop now, or None."""


class Trainer:
    """One run: a learner, its texts and its folder; handles epochs, validation, rollback and saving."""

    def __init__(self, config: Config, texts: Texts, random_seed: int, folder: RunFolder) -> None:
        self.config, self.texts, self.random_seed, self.folder = config, texts, random_seed, folder
        V, end_id = len(texts.vocabulary), texts.vocabulary.end_id
        self._count = partial(count, ends=corpora.text_format(config.data).ends, vocabulary=texts.vocabulary)
        self.valid_counts = self._count(texts.valid) if texts.valid else None
        self.batches = build.training_batches(config, texts.train, end_id, random_seed)
        self.valid_batches = build.evaluation_batches(config, texts.valid, end_id) if texts.valid else None
        parameters = build.architecture(config.model, V).initialise(random_seed, config.training.dtype)
        self.model = build.model(config, parameters, texts.vocabulary)
        self.learner = Learner.of(config, self.model, random_seed)
        self.optimizer = self.learner.optimizer
        self.schedule = build.schedule(config)
        self.progress = Progress()
        self.source: dict[str, Any] | None = None  # of a warm start
        self.keeper = Keeper(folder, config)
        self._exact = build.exact(config)
        jump = config.guard.jump if self._exact else None  # a sampled loss has rare, large jumps
        self._check = DivergenceCheck(self.model, self.batches, texts.vocabulary, jump)
        self.watch: Watch | None = None
        self.speed = Speed()

    @cached_property
    def train_counts(self) -> TokenCounts:
        """Counts of the training text; computed on first use, as very many unknown words take a second or two."""
        return self._count(self.texts.train)

    @property
    def profile(self) -> Profile:
        return self.model.profile

    def profiled(self) -> Profile:
        """Start to measure the time of each part of a step, without the first few steps, as for words/s."""
        self.model.profile = StepProfile(FIRST_TIMED_STEP)
        return self.model.profile

    @property
    def words_done(self) -> int:
        """Words of all epochs so far."""
        return self.progress.position.epoch * self.batches.words + self.progress.position.epoch_words

    @property
    def words_planned(self) -> int:
        return self.config.training.epochs * self.batches.words

    def train(self, stop: Stop = lambda: None, watch: Watch | None = None) -> Iterator[Event]:
        """Train to the end, or until `stop` gives a reason; a checkpoint is saved then.

        `stop` is asked after every step, and often while a text is measured: an interrupted validation or test is
        repeated when the run is resumed. `watch` is called while a text is measured. A run that diverges is rolled
        back to its guard; raises NumericalError when `guard.rollbacks` is used up. No checkpoint contains a number
        that is not finite.
        """
        self._metrics, self.watch = Metrics(self.folder.metrics, self.progress), watch
        try:
            while not (yield from self._to_the_end(stop)):
                pass
        finally:
            self._metrics.close()

    def _to_the_end(self, stop: Stop) -> Generator[Event, None, bool]:
        """Train until the run ends or diverges; return whether it has ended."""
        try:
            for event in self._events(stop):
                if not isinstance(event, Done):
                    self._metrics.append(row(event))
                yield event
            return True
        except divergence.Diverged as diverged:
            rollback = self._roll_back(diverged)
            self._metrics.append(row(rollback))
            yield rollback
            return False

    def _events(self, stop: Stop) -> Iterator[Event]:
        every = self.config.run.checkpoint_every
        saved_at = time.monotonic()
        reason = finished(self.progress, self.config)
        while reason is None:
            for step in self.steps():
                yield step
                if step.step % self.config.guard.every == 0:
                    self.keeper.guard_(self.contents())
                reason = stop()
                due = every.unit == "step" and step.step % every.count == 0
                if due or (every.unit == "second" and time.monotonic() - saved_at >= every.count):
                    self.save()
                    saved_at = time.monotonic()
                if reason:
                    break
            else:
                valid = self._validate(stop)
                if valid is None and self.valid_batches:  # stopped while validating: the epoch has not ended yet
                    reason = stop()
                    continue
                epoch = self._end_epoch_(valid)
                yield epoch
                if epoch.best or (every.unit == "epoch" and epoch.epoch % every.count == 0):
                    self.save()
                reason = finished(self.progress, self.config) or stop()
        self.save()
        test = None
        for measured in ending(self, stop):
            if measured is None:
                reason = stop() or reason
                break
            yield measured
            self._metrics.sync()
            test = measured.test if isinstance(measured, Test) else None
        yield done(self.progress, self.config, reason, self.random_seed, self.speed.median, test)

    def steps(self) -> Iterator[Step]:
        """The remaining steps of the epoch in progress."""
        p, started = self.progress.position, time.perf_counter()
        self.profile.begin()
        for batch in self.batches.epoch(p.epoch, p.index):
            read, planned = self.words_done, self.words_planned
            at = Moment(read / planned, (read + batch.words) / planned, p.epoch, self.progress.measured.stalls)
            learning_rate = self._learning_rate * self.schedule.factor(at)
            check = partial(self._check.step, self.progress)
            averaged = averaged_steps(self.progress, self.config)
            taken = self.learner.step_(batch, p.step + 1, learning_rate, check, averaged=averaged)
            self._advance_(taken, learning_rate)
            seconds = time.perf_counter() - started
            self.profile.end()
            rate = self.speed.add(batch.words, seconds)
            figures = (taken.loss, self._perplexity(taken.loss), taken.norm, learning_rate, batch.words, rate, seconds)
            yield Step(p.step, p.epoch + 1, *figures)
            started = time.perf_counter()  # exclude the time that the caller spent on this step
            self.profile.begin()

    def _advance_(self, taken: Attempt, learning_rate: float) -> None:
        """Add a step to the progress."""
        p, running, batch = self.progress.position, self.progress.running, taken.batch
        if len(self.texts.train.oov_positions):
            p.epoch_nll_oov += nll_of_unknown(taken.losses, batch, self.texts.train)
        calm = taken.loss <= self._check.limit(running)
        divergence.update_running_loss_(running, taken.loss, calm, p)
        p.step, p.index = p.step + 1, p.index + 1
        p.epoch_loss += taken.loss * taken.words
        p.epoch_words += taken.words
        p.gradient_norm, p.learning_rate = taken.norm, learning_rate

    @property
    def _learning_rate(self) -> float:
        """The learning rate before the schedule: that of the config, lowered once for each rollback."""
        rollbacks = self.progress.recovery.rollbacks
        return self.config.optimizer.learning_rate * self.config.guard.learning_rate_factor**rollbacks

    @property
    def measured_model(self) -> LanguageModel:
        """The model that is measured: that of the average, if the parameters are averaged."""
        if not averaged_steps(self.progress, self.config):
            return self.model
        [vector] = self.learner.averages.values()
        return self.model.with_parameters(self.model.architecture.parameters(vector.dtype, vector))

    def _perplexity(self, loss: float) -> float:
        """The perplexity of a training loss; NaN if the loss is not -ln P."""
        return perplexity(loss) if self._exact else math.nan

    def _validate(self, stop: Stop) -> Evaluation | None:
        """Measure the validation text, if there is one; None if `stop` interrupted it. Raises Diverged."""
        if not (self.valid_batches and self.texts.valid and self.valid_counts):
            return None
        with np.errstate(all="ignore"):
            model, batches = self.measured_model, self.valid_batches
            valid = evaluate(model, batches, self.texts.valid, self.valid_counts, stop, self.watch)
        # Without `guard.jump` every finite loss passes, even one whose perplexity is not a float.
        unlimited = self.config.guard.jump is None
        if valid is not None and not (valid.cross_entropy if unlimited else valid.perplexity) < np.inf:
            what, norm = f"the validation loss is {valid.cross_entropy:g}", self.progress.position.gradient_norm
            raise divergence.Diverged(what, valid.cross_entropy, norm)
        return valid

    def _end_epoch_(self, valid: Evaluation | None) -> Epoch:
        """Record the epoch and its validation, and begin the next."""
        p, m = self.progress.position, self.progress.measured
        best = valid is not None and m.count_validation_(
            valid, p.step, self.schedule.patience, self.learner.averaging.patience
        )
        m.train_loss, words = p.epoch_loss / p.epoch_words, p.epoch_words
        if self._exact:
            m.train = Evaluation(**asdict(self.train_counts), nll=p.epoch_loss, nll_oov=p.epoch_nll_oov)
        p.begin_epoch_()
        rate, seconds = self.speed.end_epoch_()
        perplexity = self._perplexity(m.train_loss)
        figures = (m.train_loss, perplexity, p.gradient_norm, p.learning_rate, words, rate, seconds)
        return Epoch(p.step, p.epoch, *figures, valid.perplexity if valid else None, best, m.train, valid)

    def _roll_back(self, diverged: divergence.Diverged) -> Rollback:
        """Go back to the last guard, or the beginning, with a lower learning rate.

        Raises NumericalError when `guard.rollbacks` is used up.
        """
        before, at = self.progress, self.progress.position.step + (diverged.words > 0)
        if before.recovery.rollbacks >= self.config.guard.rollbacks:
            raise divergence.given_up(diverged, at, self.folder, self.config, before, self._learning_rate)
        target = self.keeper.rollback_target(before, at)
        self.keeper.discard_later_steps()
        self._restore(target) if target else self._begin()
        recovery = self.progress.recovery
        recovery.rollbacks, recovery.diverged_at = before.recovery.rollbacks + 1, at
        recovery.back_to = self.progress.position.step
        return divergence.rollback(diverged, self.progress, self._learning_rate, self._perplexity(diverged.loss))

    def save(self) -> None:
        """Write a checkpoint of this step unless it exists, and remove those that are no longer needed."""
        self.keeper.save(self.contents(), self._metrics)

    def contents(self) -> checkpoint.Checkpoint:
        """The contents of a checkpoint of this run; the arrays are shared with training, not copied."""
        state = self.learner.state
        return checkpoint.Checkpoint(
            config=self.config,
            vocabulary=self.texts.vocabulary,
            random_seed=self.random_seed,
            progress=self.progress,
            data=checkpoint.hashes(self.texts),
            source=self.source,
            parameters=self.model.parameters,
            moments=self.optimizer.moments | self.learner.averages,
            state=self.model.architecture.flatten_state(state) if state else {},
        )

    def resume(self, path: Path) -> None:
        """Continue from the verified checkpoint at `path`. Raises RunError if it cannot be used."""
        self._restore(path)
        self.keeper.resumed(path, self.progress)

    def _restore(self, path: Path) -> None:
        stored = checkpoint.read(path, out=self.contents())
        self.progress, self.source, p = stored.progress, stored.source, stored.progress.position
        self.learner.state = self.model.architecture.unflatten_state(list(stored.state.values()))
        columns = next(iter(stored.state.values())).shape[1]
        if not self.batches.has_place(p.epoch, p.index, p.epoch_words, columns):
            problem = "not a checkpoint that this rnncli can use: its position does not exist in this text"
            raise RunError(problem, location=str(path))

    def _begin(self) -> None:
        """Reset the run to its beginning."""
        begun = self.model.architecture.initialise(self.random_seed, self.config.training.dtype)
        self.model.parameters.vector[:] = begun.vector
        for moment in self.contents().moments.values():
            moment[:] = 0
        self.progress, self.learner.state = Progress(), ()
