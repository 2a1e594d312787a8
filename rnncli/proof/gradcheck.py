"""Gradient check: every element of every tensor against a numerical derivative.

The derivative uses the training code itself, window after window with the state carried, in float64. With `complex` it
is Im f(x + ih) / h with h = 1e-20 (Squire and Trapp 1998): without a difference, no digits cancel. With `central` it is
(f(x + h) - f(x - h)) / 2h, in real numbers only, at a tolerance that allows for rounding.

The function is the loss of every window plus a fixed random combination of the last state, so that the gradient that
enters at the last state is checked too. The state that enters a window is held fixed, as in truncated backpropagation
through time; its gradient is checked as `state.*`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from rnncli.batches.batch import Batch
from rnncli.batches.sentences import SentenceBatches
from rnncli.batches.stream import StreamBatches
from rnncli.config import build
from rnncli.config.config import ModelConfig
from rnncli.model.architecture import Architecture, State
from rnncli.model.cells import CELLS
from rnncli.model.engines import ENGINES
from rnncli.model.language_model import LanguageModel
from rnncli.model.noise import Dropout, Noise
from rnncli.model.outputs import OUTPUTS, AdaptiveSoftmax, SampledSoftmax
from rnncli.model.penalties import Penalties
from rnncli.schema.fields import Choice, options_of
from rnncli.system.arrays import Array
from rnncli.system.randomness import stream

TOLERANCE = {"complex": 1e-9, "central": 5e-4}
STEP = {"complex": 1e-20, "central": 6e-6}

VOCABULARY_SIZE = 7
COUNTS = (9, 6, 4, 3, 1, 1, 0)  # counts of the words in an assumed training text
NO_NOISE = Noise(0, 0, 0)
EVERY_KIND = replace(
    NO_NOISE,
    dropout=Dropout(input=0.2, hidden=0.25, output=0.3, word=0.2, recurrent=0.3),
    penalties=Penalties(activation=0.3, temporal=0.2),
)
LENGTHS = (5, 0, 2, 3)  # sentences longer than a window, empty, and of unequal lengths: carried states and pads


@dataclass(frozen=True)
class Case:
    """A model, as the section of a config, and the mode of the text to check it on."""

    config: ModelConfig
    mode: str  # sentences | stream
    noise: Noise = NO_NOISE

    @property
    def architecture(self) -> Architecture:
        return build.architecture(self.config, VOCABULARY_SIZE)


@dataclass(frozen=True)
class GradientCheck:
    """The result for one tensor: the largest errors over its elements and over the models that have it."""

    engine: str
    cell: str
    parameter: str
    max_relative_error: float
    max_absolute_error: float
    passed: bool

    def worse(self, other: GradientCheck) -> GradientCheck:
        """Both results combined."""
        return GradientCheck(
            self.engine,
            self.cell,
            self.parameter,
            float(np.maximum(self.max_relative_error, other.max_relative_error)),  # a NaN stays
            float(np.maximum(self.max_absolute_error, other.max_absolute_error)),
            self.passed and other.passed,
        )


def small(cell: str, layers: int, embedded: bool, mode: str, output: str = "full", options: Any = None) -> Case:
    """A model small enough to perturb each of its numbers; the options of the output layer are reduced to fit."""
    chosen = Choice(output, options_of(OUTPUTS, output)() if options is None else options)
    embedding_size = 3 if embedded else None
    return reduced(ModelConfig(cell, layers, hidden_size=4, embedding_size=embedding_size, output=chosen), mode)


def reduced(m: ModelConfig, mode: str, noise: Noise = NO_NOISE) -> Case:
    """The same model with at most 3 layers of 4 units; its embedding is as large if it was, else of 3 features."""
    embedding_size = None if m.embedding_size is None else 4 if m.embedding_size == m.hidden_size else 3
    options = REDUCED.get(type(m.output.options), lambda unchanged: unchanged)(m.output.options)
    sizes: dict[str, Any] = {"layers": min(m.layers, 3), "hidden_size": 4, "embedding_size": embedding_size}
    return Case(replace(m, **sizes, output=Choice(m.output.name, options)), mode, noise)


def _two_clusters_at_most(options: AdaptiveSoftmax.Options) -> AdaptiveSoftmax.Options:
    """As many clusters as the cutoffs make, up to two; two by default."""
    cutoffs = (3, 5) if options.cutoffs is None else (3, 5)[: len(options.cutoffs)]
    return replace(options, cutoffs=cutoffs)


def _five_samples_at_most(options: SampledSoftmax.Options) -> SampledSoftmax.Options:
    return replace(options, samples=min(options.samples, 5))


# Reduces the options of an output layer to a vocabulary of seven words.
REDUCED: dict[type, Callable[[Any], Any]] = {
    AdaptiveSoftmax.Options: _two_clusters_at_most,
    SampledSoftmax.Options: _five_samples_at_most,
}


def standard_cases() -> list[Case]:
    """Every cell, 1 and 2 layers, one-hot and embedded, sentences with pads and a stream with its state carried; every
    output layer; residual connections in 3 layers, and with tied weights, dropout of every kind and penalties.
    """
    adaptive = ("adaptive", AdaptiveSoftmax.Options(div_value=2))
    log_uniform, unigram = (("sampled", SampledSoftmax.Options(proposal=q)) for q in ("log_uniform", "unigram"))
    return [
        *(small(*parts) for parts in product(CELLS, (1, 2), (False, True), ("sentences", "stream"))),
        small("lstm", 1, True, "sentences", *adaptive),
        small("lstm", 1, True, "stream", *adaptive),
        small("rnn", 1, False, "stream", *adaptive),
        small("lstm", 1, True, "sentences", *log_uniform),
        small("lstm", 1, True, "stream", *unigram),
        small("rnn", 1, False, "stream", *log_uniform),
        replace(residual := small("lstm", 3, False, "sentences"), config=replace(residual.config, residual=True)),
        *(
            replace(
                case,
                config=replace(case.config, tied=True, residual=case.config.layers > 1),
                noise=replace(EVERY_KIND, dropout=replace(EVERY_KIND.dropout, masks=masks)),
            )
            for case, masks in (
                (small("rnn", 2, True, "sentences"), "step"),
                (small("lstm", 2, True, "stream"), "window"),
                (small("gru", 2, True, "sentences", *log_uniform), "window"),
                (small("rnn", 1, True, "stream", *adaptive), "window"),
            )
        ),
    ]


def run(cases: list[Case], method: str = "complex", random_seed: int = 0) -> Iterator[GradientCheck]:
    """Check every case in each engine that supports it; one result per (engine, cell, parameter), in that order."""
    verdicts: dict[tuple[str, str, str], GradientCheck] = {}
    for engine in ENGINES:
        for cell in dict.fromkeys(case.config.cell for case in cases):
            for case in cases:
                if case.config.cell != cell or engine not in build.engines_for(case.architecture):
                    continue
                for check in check_case(case, engine, method, random_seed):
                    key = (engine, cell, check.parameter)
                    verdicts[key] = verdicts[key].worse(check) if key in verdicts else check
            yield from (check for key, check in verdicts.items() if key[:2] == (engine, cell))


def check_case(case: Case, engine: str, method: str = "complex", random_seed: int = 0) -> list[GradientCheck]:
    """The results for every parameter and for the starting states of one model in one engine."""
    found = check_architecture(case.architecture, engine, case.mode, method, random_seed, case.noise)
    # NaN fails: it compares false.
    return [
        GradientCheck(engine, case.config.cell, name, relative, absolute, relative <= TOLERANCE[method])
        for name, relative, absolute in found
    ]


def check_architecture(
    architecture: Architecture,
    engine: str,
    mode: str,
    method: str = "complex",
    random_seed: int = 0,
    noise: Noise = NO_NOISE,
) -> Iterator[tuple[str, float, float]]:
    """For each parameter and starting state: name, largest relative error, largest absolute error."""
    model = random_model(architecture, engine, random_seed)
    windows = list(window_loop(model, batches_of(architecture, mode, random_seed), noise))
    dlasts = [_random_state(state, random_seed, n) for n, (_, state) in enumerate(windows)]
    analytic, from_states = model.parameters.zeros_like(), []
    for (batch, state), dlast in zip(windows, dlasts, strict=True):
        gradients, dfirst = model.backward_(model.forward(batch, state, noise_of(batch, noise)), dlast)
        analytic.vector += gradients.vector
        from_states.append(dfirst)

    dtype = np.complex128 if method == "complex" else np.float64
    probe = model.with_parameters(model.parameters.astype(dtype))

    def total() -> Any:
        return sum(_value(probe, *window, dlast, noise) for window, dlast in zip(windows, dlasts, strict=True))

    for name, tensor in probe.parameters.items():
        yield name, *_errors(analytic[name], _derivative(total, tensor, method))
    names = architecture.state_names()
    for (batch, state), dlast, dfirst in zip(windows, dlasts, from_states, strict=True):
        perturbed = tuple(tuple(array.astype(dtype) for array in layer) for layer in state)
        arrays = [array for layer in perturbed for array in layer]
        gradients_of_state = [array for layer in dfirst for array in layer]
        for name, tensor, gradient in zip(names, arrays, gradients_of_state, strict=True):
            value = partial(_value, probe, batch, perturbed, dlast, noise)
            yield f"state.{name}", *_errors(gradient, _derivative(value, tensor, method))


def random_model(architecture: Architecture, engine: str, random_seed: int) -> LanguageModel:
    """A float64 model with all parameters, including biases, drawn from +-0.7, so that no zero hides a gradient."""
    parameters = architecture.parameters(np.float64)
    parameters.vector[:] = stream(random_seed, "gradcheck parameters").uniform(-0.7, 0.7, parameters.vector.size)
    return build.language_model(engine, architecture, parameters, np.array(COUNTS))


def noise_of(batch: Batch, noise: Noise = NO_NOISE) -> Noise:
    """Noise that is the same in each evaluation of a window."""
    return replace(noise, epoch=batch.epoch, index=batch.index)


def batches_of(architecture: Architecture, mode: str, random_seed: int) -> list[Batch]:
    """An epoch of windows over a random text, made by the batches used in training."""
    rng = stream(random_seed, "gradcheck text")
    V = architecture.vocabulary_size
    if mode == "stream":
        # 11 words in 2 columns, windows of 2: the state is carried twice, and the last row has padding.
        return list(StreamBatches(rng.integers(0, V, 11), end_id=0, batch_size=2, bptt=2).epoch(0))
    ends = np.cumsum(np.add(LENGTHS, 1))  # each sentence with its <end>, id 0
    ids = rng.integers(1, V, ends[-1])
    ids[ends - 1] = 0
    starts = np.concatenate(([0], ends))
    return list(SentenceBatches(ids, starts, end_id=0, batch_size=len(LENGTHS), bptt=3, seed=random_seed).epoch(0))


def window_loop(model: LanguageModel, batches: list[Batch], noise: Noise = NO_NOISE) -> Iterator[tuple[Batch, State]]:
    """Each window with the state that enters it in training: zero if it is fresh, else that of the previous one."""
    state: State = ()
    for batch in batches:
        state = model.entering(batch, state)
        yield batch, state
        state = model.forward(batch, state, noise_of(batch, noise)).state


def _random_state(like: State, random_seed: int, window: int) -> State:
    rng = stream(random_seed, "gradcheck state", window)
    return tuple(tuple(rng.uniform(-0.5, 0.5, array.shape) for array in layer) for layer in like)


def _value(model: LanguageModel, batch: Batch, state: State, dlast: State, noise: Noise) -> Any:
    """The loss and the penalty of a window plus <dlast, last state>."""
    passed = model.forward(batch, state, noise_of(batch, noise))
    layers = zip(passed.state, dlast, strict=True)
    return (
        passed.loss
        + passed.penalty
        + sum((a * r).sum() for last, factors in layers for a, r in zip(last, factors, strict=True))
    )


def _derivative(value: Callable[[], Any], x: Array, method: str) -> Array:
    """The derivative of `value` by each element of x; x is changed in place and restored."""
    h, derivative = STEP[method], np.zeros(x.shape)
    for index in np.ndindex(*x.shape):
        before = x[index]
        if method == "complex":
            x[index] = before + 1j * h
            derivative[index] = value().imag / h
        else:
            x[index] = before + h
            above = value()
            x[index] = before - h
            derivative[index] = (above - value()) / (2 * h)
        x[index] = before
    return derivative


def relative_error(a: Array, n: Array) -> Array:
    """|a - n| / max(|a|, |n|, 1e-5 of the largest element), elementwise; 0/0 is 0."""
    largest = np.maximum(np.abs(a), np.abs(n))
    floor = np.maximum(largest, 1e-5 * largest.max())
    with np.errstate(invalid="ignore"):  # infinity becomes NaN, which fails the check
        error: Array = np.divide(np.abs(a - n), floor, out=np.zeros_like(floor), where=floor != 0)
    return error


def _errors(analytic: Array, numeric: Array) -> tuple[float, float]:
    """The largest relative and absolute error over the elements of a tensor."""
    return float(relative_error(analytic, numeric).max()), float(np.abs(analytic - numeric).max())
