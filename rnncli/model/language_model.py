"""A language model: input rows, a stack of cells and an output layer, over one set of parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncli.batches.batch import Batch
from rnncli.model.architecture import Architecture, State
from rnncli.model.engines.base import Input, Stack
from rnncli.model.noise import Noise
from rnncli.model.outputs.base import Output
from rnncli.model.parameters import Gradients, Parameters
from rnncli.model.penalties import Penalties
from rnncli.system.arrays import Array, Tensors
from rnncli.system.profile import Profile


@dataclass(frozen=True)
class Pass:
    """The training pass over a batch, and the cache of its backward pass.

    loss: mean over the real positions, nats per word; a NumPy scalar, complex under a complex step. It is -ln P if the
    output layer is exact. penalty: added to it in the gradients. losses: (words,), of each real position in the order
    of `batch.positions`. state: after the last step, to carry into the next window.

    The rest is the cache for `backward_`: use it once, before the model runs another pass.
    """

    batch: Batch
    words: int
    penalties: Penalties
    loss: Any
    penalty: Any
    losses: Array
    state: State
    x: Any
    stack: Any
    hidden: Array
    output: Any


class LanguageModel:
    """P(next word | words before) over word ids.

    A training pass (`forward`) takes `Noise`; passes that evaluate or predict (`score`, `next_word`) do not.
    """

    def __init__(
        self, architecture: Architecture, input: Input, stack: Stack, output: Output, parameters: Parameters
    ) -> None:
        self.architecture, self.input, self.stack, self.output = architecture, input, stack, output
        self.parameters = parameters
        self.temperature = 1.0  # divides the logits of `score` and `next_word`
        self.profile = Profile()  # is notified when a pass enters a section of a step
        self._gradients: Gradients | None = None

    def with_parameters(self, parameters: Parameters) -> LanguageModel:
        """The same model with other parameters, in the same buffers."""
        return LanguageModel(self.architecture, self.input, self.stack, self.output, parameters)

    @property
    def gradients(self) -> Gradients:
        """The gradients of the last backward pass; allocated by the first one, so that prediction never needs them."""
        if self._gradients is None:
            self._gradients = Gradients(self.parameters)
        return self._gradients

    def free_gradients(self) -> None:
        """Free the memory of the gradients until the next backward pass."""
        self._gradients = None

    def zero_state(self, columns: int) -> State:
        """The state before the first word of a text, for each of `columns` texts."""
        return self.architecture.zero_state(columns, self.parameters.dtype)

    def entering(self, batch: Batch, carried: State) -> State:
        """The state that enters a window: zero if it is fresh, otherwise that of the previous window."""
        return self.zero_state(batch.inputs.shape[1]) if batch.fresh else carried

    def forward(self, batch: Batch, state: State, noise: Noise, words: int | None = None) -> Pass:
        """A training pass; padding contributes nothing.

        words: the divisor of the loss; default: the words of the batch. Set it if the batch is part of a larger one.
        """
        x, hidden, last, stack_cache = self._run(batch.inputs, state, noise)
        self.profile.enter("output")
        real, targets = _real_positions(batch)
        words = batch.words if words is None else words
        T, penalties = len(batch.inputs), noise.penalties
        penalty = penalties.value(hidden, batch.mask, T, words) if penalties else 0.0
        p, entering = self.parameters.section("output"), self._projected(hidden[real])
        losses, output_cache = self.output.forward(p, entering, targets, noise)
        loss = losses.sum(dtype=np.result_type(losses, np.float64)) / words
        return Pass(batch, words, penalties, loss, penalty, losses, last, x, stack_cache, hidden, output_cache)

    def backward_(self, passed: Pass, dlast: State | None = None) -> tuple[Gradients, State]:
        """Gradients of loss and penalty, plus `dlast` as the gradient of the last state.

        Returns the gradients of the parameters (overwritten by the next call) and that of the starting state.
        """
        p, g, batch = self.parameters, self.gradients, passed.batch
        self.profile.enter("output")
        dhidden = self.output.backward_(p.section("output"), g.section("output"), 1 / passed.words, passed.output)
        if self.architecture.projected is not None:
            np.matmul(passed.hidden[_real_positions(batch)[0]].T, dhidden, out=g["projection.P"])
            dhidden = dhidden @ p["projection.P"].T
        if batch.mask is not None:
            full = np.zeros((batch.targets.size, dhidden.shape[1]), dhidden.dtype)
            full[_real_positions(batch)[0]] = dhidden
            dhidden = full
        if passed.penalties:
            passed.penalties.add_gradient_(dhidden, passed.hidden, batch.mask, len(batch.inputs), passed.words)
        self.profile.enter("cells backward")
        if dlast is None:
            dlast = self.zero_state(batch.inputs.shape[1])
        dx, dfirst = self.stack.backward_(p, g, dhidden, dlast, passed.stack)
        self.profile.enter("input")
        self.input.backward_(g, dx, passed.x, batch.inputs)
        g.add_aliases_()
        return g, dfirst

    def score(self, batch: Batch, state: State) -> tuple[Array, State]:
        """-ln P of each real position of the batch in nats, in row-major order of (T, B), and the last state."""
        _, hidden, last, _ = self._run(batch.inputs, state, None)
        real, targets = _real_positions(batch)
        p, entering = self._tempered(hidden[real])
        return self.output.score(p, entering, targets), last

    def next_word(self, ids: Array, state: State) -> tuple[Array, State]:
        """Log-probabilities in nats of every next word after ids (T, B), as (B, V), and the last state."""
        _, hidden, last, _ = self._run(ids, state, None)
        p, entering = self._tempered(hidden[-ids.shape[1] :])
        return self.output.log_probabilities(p, entering), last

    def _projected(self, hidden: Array) -> Array:
        """The rows that enter the output layer, from hidden states (N, H)."""
        return hidden if self.architecture.projected is None else hidden @ self.parameters["projection.P"]

    def _tempered(self, hidden: Array) -> tuple[Tensors, Array]:
        """The tensors of the output layer, and the rows that enter it, that divide its logits by the temperature."""
        p, entering, T = self.parameters.section("output"), self._projected(hidden), self.temperature
        if T == 1:
            return p, entering
        return {name: tensor / T if tensor.ndim == 1 else tensor for name, tensor in p.items()}, entering / T

    def _run(self, ids: Array, state: State, noise: Noise | None) -> tuple[Any, Array, State, Any]:
        """Input and stack: the input, the hidden states as rows (T*B, H), the last state, and the stack's cache."""
        self.profile.enter("input")
        x = self.input.forward(self.parameters, ids, noise)
        self.profile.enter("cells forward")
        return x, *self.stack.forward(self.parameters, x, state, noise)


def _real_positions(batch: Batch) -> tuple[Any, Array]:
    """The index of the real rows among the T*B rows, and their targets (N,)."""
    targets = batch.targets.reshape(-1)
    if batch.mask is None:
        return slice(None), targets
    real = np.flatnonzero(batch.mask.reshape(-1))
    return real, targets[real]
