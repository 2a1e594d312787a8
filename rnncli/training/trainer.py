"""The training loop: a generator of steps, which keeps the run folder as it goes."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from rnncli.batches.batch import Batch
from rnncli.config import build, corpora
from rnncli.config.config import Config
from rnncli.errors import RunError
from rnncli.evaluation.evaluate import Counts, Evaluation, count, evaluate, loss_afresh, nll_of_unknown, perplexity
from rnncli.model.architecture import State
from rnncli.model.language_model import LanguageModel
from rnncli.optim.clip import clip_by_global_norm_
from rnncli.runs import checkpoint
from rnncli.runs.events import Done, Epoch, Event, Rollback, Step, row
from rnncli.runs.folder import RunFolder
from rnncli.runs.metrics import Metrics
from rnncli.runs.progress import Progress, done, finished
from rnncli.system.profile import Profile, StepProfile
from rnncli.text.corpus import Texts
from rnncli.text.files import Watch
from rnncli.training import divergence
from rnncli.training.retention import Keeper

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
        self._count = partial(count, ends=corpora.reading(config.data).ends, vocabulary=texts.vocabulary)
        self.valid_counts = self._count(texts.valid) if texts.valid else None
        self.batches = build.training_batches(config, texts.train, end_id, random_seed)
        self.valid_batches = build.evaluation_batches(config, texts.valid, end_id) if texts.valid else None
        parameters = build.architecture(config, V).initialise(random_seed, config.training.dtype)
        self.model = build.model(config, parameters, texts.vocabulary, random_seed)
        self.optimizer = build.optimizer(config, parameters)
        self.schedule = build.schedule(config)
        self.progress = Progress()
        self.state: State = ()
        self._keeper = Keeper(folder, config)
        self._jump = config.guard.jump if build.exact(config) else None  # that of a sample has rare, large ones
        self.rates: list[float] = []  # words/s of each step of this process
        self._epoch_words, self._epoch_seconds = 0, 0.0  # of the epoch under way, in this process

    @cached_property
    def train_counts(self) -> Counts:
        """Of the training text; the spelling of very many unknown words takes a second or two."""
        return self._count(self.texts.train)

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

    def train(self, stop: Stop = lambda: None) -> Iterator[Event]:
        """Train to the end, or until `stop` gives a reason; a checkpoint is saved then.

        `stop` is asked after every step, and often while validating: a validation that is broken off is done when the
        run is resumed. A run that diverges goes back to its guard; raises NumericalError where it has done so as often
        as it may. What is not finite reaches no checkpoint.
        """
        self._metrics = Metrics(self.folder.metrics, self.progress)
        try:
            while not (yield from self._to_the_end(stop)):
                pass
        finally:
            self._metrics.close()

    def _to_the_end(self, stop: Stop) -> Generator[Event, None, bool]:
        """Train until the run ends or diverges; whether it has ended."""
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
        p, every = self.progress, self.config.run.checkpoint_every
        saved_at = time.monotonic()
        reason = finished(p, self.config)
        while reason is None:
            for step in self.steps():
                yield step
                if p.step % self.config.guard.every == 0:
                    self._keeper.guard(self.contents())
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
        rates = self.rates[FIRST_TIMED_STEP:] or self.rates
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
            rate = batch.words / seconds
            self.rates.append(rate)
            self._epoch_words, self._epoch_seconds = self._epoch_words + batch.words, self._epoch_seconds + seconds
            told = self._perplexity(loss)
            yield Step(p.step, p.epoch + 1, loss, told, norm, learning_rate, batch.words, rate, seconds)
            started = time.perf_counter()  # what was done with this step is no part of the next
            self.profile.begin()

    def _take(self, batch: Batch) -> tuple[float, float, float]:
        """Take one optimizer step: the loss before it, the gradient norm before clipping, the learning rate. Raises
        Diverged, with nothing changed.
        """
        p, model, o = self.progress, self.model, self.config.optimizer
        passed = model.forward(batch, model.entering(batch, self.state))
        loss, uniform = float(passed.loss), math.log(len(self.texts.vocabulary))
        limit = divergence.limit(p, self._jump, uniform)
        odd = limit < loss < math.inf and self._sound(limit)
        if odd:  # the batch, and not the parameters: the step is taken
            passed = model.forward(batch, model.entering(batch, self.state))  # in the buffers that it was in
        gradients, _ = model.backward(passed.cache)
        self.profile.enter("clip and update")
        norm = clip_by_global_norm_(gradients.vector, o.clip_norm, gradients.touched())
        if what := divergence.fault(loss, norm, p, None if odd else self._jump, uniform):
            sentence = divergence.worst_sentence(batch, passed.losses, self.texts.vocabulary)
            raise divergence.Diverged(what, loss, norm, divergence.worst_tensor(gradients), sentence, batch.words)
        learning_rate = self._learning_rate * self.schedule.factor(p.step, self.words_done / self.words_planned)
        self.optimizer.step_(model.parameters.vector, gradients.vector, learning_rate, p.step + 1, gradients.touched())
        self.state = passed.state
        if len(self.texts.train.oov_positions):
            p.epoch_nll_oov += nll_of_unknown(passed.losses, batch, self.texts.train)
        divergence.follow(p, loss, loss <= limit)
        self.profile.count(lambda: model.flops(passed.cache))
        return loss, norm, learning_rate

    def _sound(self, limit: float) -> bool:
        """Whether a batch of some steps ago, whose loss was not far above its level, has none now, either."""
        p = self.progress
        probe = self.batches.epoch(p.probe_epoch, p.probe_index)
        return divergence.settled(p) and loss_afresh(self.model, next(probe)) <= limit

    @property
    def _learning_rate(self) -> float:
        """Before the schedule: as it is set, lowered once for each time that the run has diverged."""
        return self.config.optimizer.learning_rate * self.config.guard.learning_rate_factor**self.progress.rollbacks

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
                raise divergence.Diverged(
                    f"the validation loss is {valid.cross_entropy:g}", valid.cross_entropy, p.gradient_norm
                )
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
        seconds = self._epoch_seconds
        rate = self._epoch_words / seconds if seconds else None
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
        _, stored, _ = checkpoint.read_first(self.folder.preferred(), resume=False)
        model = LanguageModel(self.model.engine, stored.parameters)  # in the same buffers
        text, counts = self.texts.test, self._count(self.texts.test)
        batches = build.evaluation_batches(self.config, text, self.texts.vocabulary.end_id)
        return evaluate(model, batches, text, counts, stop, self.watch)

    def _roll_back(self, diverged: divergence.Diverged) -> Rollback:
        """Go back to the last guard, or the beginning, with a lower learning rate. Raises NumericalError where that
        was done as often as it may be.
        """
        p, at = self.progress, self.progress.step + (diverged.words > 0)
        if p.rollbacks >= self.config.guard.rollbacks:
            raise divergence.given_up(diverged, at, self.folder, self.config, p, self._learning_rate)
        behind = self._keeper.behind(p, at)
        self._restore(behind) if behind else self._begin()
        before, p = p, self.progress
        p.rollbacks, p.diverged_at, p.back_to = before.rollbacks + 1, at, p.step
        return divergence.rollback(diverged, p, self._learning_rate, self._perplexity(diverged.loss))

    def save(self) -> None:
        """Write a checkpoint of this step, if there is none yet, and remove those that need not be kept."""
        self._keeper.save(self.contents(), self._metrics)

    def contents(self) -> checkpoint.Contents:
        """What a checkpoint holds of this run; its arrays are those that training goes on with."""
        return checkpoint.Contents(
            config=self.config,
            vocabulary=self.texts.vocabulary,
            random_seed=self.random_seed,
            progress=self.progress,
            data=checkpoint.hashes(self.texts),
            parameters=self.model.parameters,
            moments=self.optimizer.moments,
            state=self.model.engine.architecture.flatten_state(self.state) if self.state else {},
        )

    def resume(self, path: Path) -> None:
        """Go on where the checkpoint at `path`, which was verified, stands. Raises RunError if it cannot be used."""
        self._restore(path)
        self._keeper.resumed(path, self.progress)

    def _restore(self, path: Path) -> None:
        stored = checkpoint.read(path, out=self.contents())
        self.progress = p = stored.progress
        self.state = self.model.engine.architecture.unflatten_state(list(stored.state.values()))
        columns = next(iter(stored.state.values())).shape[1]
        if not self.batches.has_place(p.epoch, p.index, p.epoch_words, columns):
            raise RunError(f"{path}: not a checkpoint that this rnncli can use: its place in the text is none")

    def _begin(self) -> None:
        """The run at its beginning, as a new one has it."""
        begun = self.model.engine.architecture.initialise(self.random_seed, self.config.training.dtype)
        self.model.parameters.vector[:] = begun.vector
        for moment in self.optimizer.moments.values():
            moment[:] = 0
        self.progress, self.state = Progress(), ()
