"""A language model: parameters, and an engine that runs them over batches of words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rnncli.batches.batch import Batch
from rnncli.model.architecture import State
from rnncli.model.engines import Engine
from rnncli.model.parameters import Array, Gradients, Parameters
from rnncli.system.randomness import stream


@dataclass(frozen=True)
class Pass:
    """One forward pass over a batch."""

    loss: Any
    """Mean loss over the batch's real positions, nats a word; a NumPy scalar (complex under a complex step).

    It is -ln P where the output layer is `exact`.
    """
    losses: Array
    """Of each real position, in the order of `batch.positions`: (words,)."""
    state: State
    """The state after the last step, to carry into the next window."""
    cache: Any
    """What `LanguageModel.backward` needs; to be used once, before the model reads or scores anything else."""


class LanguageModel:
    """P(next word | words before) over word ids."""

    def __init__(self, engine: Engine, parameters: Parameters, random_seed: int = 0) -> None:
        """`random_seed` is what an output layer that samples words in training draws from."""
        self.engine = engine
        self.parameters = parameters
        self.random_seed = random_seed

    @cached_property
    def gradients(self) -> Gradients:
        """Where `backward` writes; made at its first call, so that a model that only predicts goes without."""
        return Gradients(self.parameters)

    def forget_gradients(self) -> None:
        """Give their memory back, until the next `backward`."""
        self.__dict__.pop("gradients", None)

    def zero_state(self, columns: int) -> State:
        """The state before the first word of a text, for each of `columns` texts."""
        return self.engine.architecture.zero_state(columns, self.parameters.dtype)

    def entering(self, batch: Batch, carried: State) -> State:
        """The state that enters a window: zero at the beginning of a text, else that of the window before."""
        return self.zero_state(batch.inputs.shape[1]) if batch.fresh else carried

    def forward(self, batch: Batch, state: State) -> Pass:
        """Mean loss over the real positions of a batch; pads take part in nothing."""
        hidden, last, stack_cache = self.engine.forward(self.parameters, batch.inputs, state)
        self.engine.profile.enter("output")
        real, targets = _real_positions(batch)
        output, p = self.engine.output, self.parameters.section("output")
        rng = None if output.exact else stream(self.random_seed, "sampled words", batch.epoch, batch.index)
        nll, output_cache = output.forward(p, hidden[real], targets, rng)
        loss = nll.sum(dtype=np.result_type(nll, np.float64)) / batch.words
        return Pass(loss, nll, last, (batch, hidden.shape, real, stack_cache, output_cache))

    def backward(self, cache: Any, dstate: State | None = None) -> tuple[Gradients, State]:
        """Gradients of the loss plus whatever has `dstate` as its gradient in the last state.

        Returns the gradients (one buffer, overwritten by the next call) and the gradient of the starting state.
        """
        self.engine.profile.enter("output")
        batch, shape, real, stack_cache, output_cache = cache
        p, g = self.parameters.section("output"), self.gradients.section("output")
        dhidden = self.engine.output.backward_(p, g, 1 / batch.words, output_cache)
        if batch.mask is not None:
            full = np.zeros(shape, dhidden.dtype)
            full[real] = dhidden
            dhidden = full
        if dstate is None:
            dstate = self.zero_state(batch.inputs.shape[1])
        dstate0 = self.engine.backward_(self.parameters, self.gradients, dhidden, dstate, stack_cache)
        return self.gradients, dstate0

    def flops(self, cache: Any) -> dict[str, int]:
        """Floating-point operations of the matrix products of a step with this cache, by section of a profile.

        Of the input none: a product with one-hot vectors is a gather of rows.
        """
        batch, _, _, _, output_cache = cache
        forward, backward = self.engine.architecture.flops(batch.inputs.size)
        output = self.engine.output.flops(self.parameters.section("output"), output_cache)
        return {"cells forward": forward, "cells backward": backward, "output": sum(output)}

    def score(self, batch: Batch, state: State) -> tuple[Array, State]:
        """-ln P of each real position of the batch in nats, in row-major order of (T, B), and the last state."""
        hidden, last, _ = self.engine.forward(self.parameters, batch.inputs, state)
        real, targets = _real_positions(batch)
        return self.engine.output.score(self.parameters.section("output"), hidden[real], targets), last

    def next_word(self, ids: Array, state: State) -> tuple[Array, State]:
        """The log-probability in nats of every next word after reading ids (T, B), (B, V), and the state."""
        hidden, last, _ = self.engine.forward(self.parameters, ids, state)
        return self.engine.output.log_probabilities(self.parameters.section("output"), hidden[-ids.shape[1] :]), last


def _real_positions(batch: Batch) -> tuple[Any, Array]:
    """Which of the T*B rows are real, as an index, and their targets (N,)."""
    targets = batch.targets.reshape(-1)
    if batch.mask is None:
        return slice(None), targets
    real = np.flatnonzero(batch.mask.reshape(-1))
    return real, targets[real]
