"""One optimizer step: forward, backward, reduce, clip, update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rnncli.batches.batch import Batch
from rnncli.config import build
from rnncli.config.config import Config
from rnncli.model.architecture import State
from rnncli.model.costs import operations
from rnncli.model.language_model import LanguageModel
from rnncli.model.noise import NO_DROPOUT, Dropout, Noise
from rnncli.model.parameters import Gradients
from rnncli.model.penalties import NO_PENALTIES, Penalties
from rnncli.optim import Averaging, Optimizer, average_, clip_by_global_norm_, decay_
from rnncli.optim.averaging import NoAveraging
from rnncli.system.arrays import Array


class Communicator(Protocol):
    """Reduction over the processes that train the same model, each on its part of every batch."""

    def sum_(self, gradients: Gradients, loss: float) -> float:
        """Replace the gradients by their sum over all processes, and return the sum of the losses.

        Calls `Gradients.forget_rows_` if that adds rows.
        """


class Alone:
    """The communicator of a single process."""

    def sum_(self, gradients: Gradients, loss: float) -> float:
        """Nothing to add: the sum over one process."""
        return loss


@dataclass(frozen=True)
class Attempt:
    """A step before its update.

    loss: in nats per word, before the step, over the `words` of the whole batch. losses: of each real position of
    `batch`. norm: of the gradient before clipping.
    """

    batch: Batch
    words: int
    loss: float
    losses: Array
    norm: float
    gradients: Gradients


StepCheck = Callable[[Attempt], None]
"""Raises if a step must not be taken; nothing has changed by then. All processes must decide alike."""


class Learner:
    """Takes optimizer steps; independent of folders, epochs and clocks.

    state: carried from batch to batch. averages: (size,), by the names of `averaging`.
    """

    def __init__(
        self,
        model: LanguageModel,
        optimizer: Optimizer,
        clip_norm: float | None,
        random_seed: int,
        communicator: Communicator | None = None,
        dropout: Dropout = NO_DROPOUT,
        weight_decay: float = 0.0,
        averaging: Averaging | None = None,
        penalties: Penalties = NO_PENALTIES,
    ) -> None:
        self.model, self.optimizer, self.clip_norm, self.random_seed = model, optimizer, clip_norm, random_seed
        self.dropout, self.weight_decay, self.averaging = dropout, weight_decay, averaging or NoAveraging()
        self.penalties = penalties
        vector = model.parameters.vector
        self.averages: dict[str, Array] = {name: np.zeros_like(vector) for name in self.averaging.names}
        self.communicator = communicator or Alone()
        self.state: State = ()

    @classmethod
    def of(cls, config: Config, model: LanguageModel, random_seed: int) -> Learner:
        """The learner of a config, with an optimizer of its own."""
        o, optimizer = config.optimizer, build.optimizer(config, model.parameters)
        averaging = build.averaging(config)
        regularised = config.dropout, o.weight_decay, averaging, config.penalty
        return cls(model, optimizer, o.clip_norm, random_seed, None, *regularised)

    def step_(
        self,
        batch: Batch,
        number: int,
        learning_rate: float,
        check: StepCheck,
        words: int | None = None,
        averaged: int | None = None,
    ) -> Attempt:
        """Take the step `number` (from 1) on a batch.

        check: called before anything changes; its exceptions pass through. words: of the whole batch, if `batch` is a
        part of it. averaged: number of steps in the average before this one; None: it does not enter the average.
        """
        model, profile = self.model, self.model.profile
        noise = Noise(self.random_seed, batch.epoch, batch.index, self.dropout, self.penalties)
        with np.errstate(all="ignore"):  # an overflow is reported by `check`
            passed = model.forward(batch, model.entering(batch, self.state), noise, words)
            gradients, _ = model.backward_(passed)
            profile.enter("clip and update")
            loss = self.communicator.sum_(gradients, float(passed.loss))
            norm = clip_by_global_norm_(gradients.vector, self.clip_norm, gradients.touched())
            attempt = Attempt(batch, passed.words, loss, passed.losses, norm, gradients)
            check(attempt)
            profile.enter("clip and update")  # `check` may have evaluated another batch
            if self.weight_decay:
                decay_(model.parameters, learning_rate * self.weight_decay)
            self.optimizer.step_(model.parameters.vector, gradients.vector, learning_rate, number, gradients.touched())
            if averaged is not None:
                for average in self.averages.values():
                    average_(average, model.parameters.vector, self.averaging.share(averaged + 1))
        self.state = passed.state
        profile.count(lambda: operations(model, passed))
        return attempt
