"""Proof of the gradients: every element of every tensor against a derivative taken numerically.

The derivative goes through the very code that trains, window after window with the state carried, in float64. With
`complex` it is Im f(x + ih) / h with h = 1e-20 (Squire and Trapp 1998): no difference is taken, so nothing cancels.
With `central` it is (f(x + h) - f(x - h)) / 2h, for those who trust only real numbers, at the tolerance that its
rounding allows.

The function is the loss of every window plus a fixed random combination of the last state, so that a gradient which
comes into the last state is proven too. The state that enters a window is held fixed, as truncated backpropagation
through time has it; its own gradient is checked as `state.*`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from rnncli.batches.batch import Batch
from rnncli.batches.sentences import SentenceBatches
from rnncli.batches.stream import StreamBatches
from rnncli.model.architecture import State
from rnncli.model.cells import CELLS
from rnncli.model.engines import ENGINES, Architecture
from rnncli.model.language_model import LanguageModel
from rnncli.model.outputs import AdaptiveSoftmax, SampledSoftmax
from rnncli.model.parameters import Array, Parameters
from rnncli.system.randomness import stream

TOLERANCE = {"complex": 1e-9, "central": 5e-4}
STEP = {"complex": 1e-20, "central": 6e-6}

VOCABULARY_SIZE = 7
COUNTS = (9, 6, 4, 3, 1, 1, 0)  # how often each word is said to stand in the training text
LENGTHS = (5, 0, 2, 3)  # sentences longer than a window, empty, and of unequal lengths: carried states and pads


@dataclass(frozen=True)
class Case:
    """A model and the text that it is checked on."""

    architecture: Architecture
    mode: str  # sentences | stream


@dataclass(frozen=True)
class Check:
    """The verdict on one tensor: the largest errors over its elements and over the models that have it."""

    engine: str
    cell: str
    parameter: str
    max_relative_error: float
    max_absolute_error: float
    passed: bool

    def worse(self, other: Check) -> Check:
        """Both verdicts in one."""
        return Check(
            self.engine,
            self.cell,
            self.parameter,
            float(np.maximum(self.max_relative_error, other.max_relative_error)),  # a NaN stays
            float(np.maximum(self.max_absolute_error, other.max_absolute_error)),
            self.passed and other.passed,
        )


def small(cell: str, layers: int, embedded: bool, mode: str, output: str = "full", options: Any = None) -> Case:
    """A model small enough to perturb each of its numbers; the output layer's options are cut down with it."""
    embedding_size = 3 if embedded else None
    options = REDUCED.get(output, lambda as_they_are: as_they_are)(options)
    return Case(Architecture(VOCABULARY_SIZE, cell, layers, 4, embedding_size, output, options), mode)


def _two_clusters_at_most(options: AdaptiveSoftmax.Options) -> AdaptiveSoftmax.Options:
    """As many clusters as the cutoffs make, up to two; two where there are none given."""
    cutoffs = (3, 5) if options.cutoffs is None else (3, 5)[: len(options.cutoffs)]
    return replace(options, cutoffs=cutoffs)


def _five_samples_at_most(options: SampledSoftmax.Options) -> SampledSoftmax.Options:
    return replace(options, samples=min(options.samples, 5))


# What becomes of the options of an output layer in a model of so few words.
REDUCED: dict[str, Callable[[Any], Any]] = {"adaptive": _two_clusters_at_most, "sampled": _five_samples_at_most}


def standard_cases() -> list[Case]:
    """Every cell, 1 and 2 layers, one-hot and embedded, sentences with pads and a stream with its state carried; and
    every output layer.
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
    ]


def run(cases: list[Case], method: str = "complex", random_seed: int = 0) -> Iterator[Check]:
    """Check every case in both engines; one verdict for each (engine, cell, parameter), in that order."""
    verdicts: dict[tuple[str, str, str], Check] = {}
    for engine in ENGINES:
        for cell in dict.fromkeys(case.architecture.cell for case in cases):
            for case in cases:
                if case.architecture.cell != cell:
                    continue
                for check in check_case(case, engine, method, random_seed):
                    key = (engine, cell, check.parameter)
                    verdicts[key] = verdicts[key].worse(check) if key in verdicts else check
            yield from (check for key, check in verdicts.items() if key[:2] == (engine, cell))


def check_case(case: Case, engine: str, method: str = "complex", random_seed: int = 0) -> list[Check]:
    """The verdicts on every parameter and on the starting states of one model in one engine."""
    model = random_model(case.architecture, engine, random_seed)
    windows = list(window_loop(model, batches_of(case, random_seed)))
    pulls = [_random_state(state, random_seed, n) for n, (_, state) in enumerate(windows)]
    analytic = model.parameters.zeros_like()
    from_states = []
    for (batch, state), pull in zip(windows, pulls, strict=True):
        gradients, dstate0 = model.backward(model.forward(batch, state).cache, pull)
        analytic.vector += gradients.vector
        from_states.append(dstate0)

    dtype = np.complex128 if method == "complex" else np.float64
    probe = LanguageModel(model.engine, model.parameters.astype(dtype))

    def total() -> Any:
        return sum(_value(probe, *window, pull) for window, pull in zip(windows, pulls, strict=True))

    verdicts = []
    for name, tensor in probe.parameters.items():
        numeric = _derivative(total, tensor, method)
        verdicts.append(_verdict(engine, case, name, analytic[name], numeric, method))
    names = case.architecture.state_names()
    for (batch, state), pull, dstate0 in zip(windows, pulls, from_states, strict=True):
        perturbed = tuple(tuple(array.astype(dtype) for array in layer) for layer in state)
        arrays = [array for layer in perturbed for array in layer]
        gradients_of_state = [array for layer in dstate0 for array in layer]
        for name, tensor, gradient in zip(names, arrays, gradients_of_state, strict=True):
            value = _value_of(probe, batch, perturbed, pull)
            verdicts.append(
                _verdict(engine, case, f"state.{name}", gradient, _derivative(value, tensor, method), method)
            )
    return verdicts


def random_model(architecture: Architecture, engine: str, random_seed: int) -> LanguageModel:
    """A float64 model whose every parameter, biases too, is drawn from +-0.7: no gradient vanishes by a zero."""
    parameters = Parameters(architecture.shapes(), np.float64)
    parameters.vector[:] = stream(random_seed, "gradcheck parameters").uniform(-0.7, 0.7, parameters.vector.size)
    return LanguageModel(ENGINES[engine](architecture, np.array(COUNTS)), parameters)


def batches_of(case: Case, random_seed: int) -> list[Batch]:
    """An epoch of windows over a random text, cut by the code that cuts the training text."""
    rng = stream(random_seed, "gradcheck text")
    V = case.architecture.vocabulary_size
    if case.mode == "stream":
        # 11 words in 2 columns of windows of 2: the state is carried twice, and the last row has a pad.
        return list(StreamBatches(rng.integers(0, V, 11), end_id=0, batch_size=2, bptt=2).epoch(0))
    ends = np.cumsum(np.add(LENGTHS, 1))  # each sentence with its <end>, id 0
    ids = rng.integers(1, V, ends[-1])
    ids[ends - 1] = 0
    starts = np.concatenate(([0], ends))
    return list(SentenceBatches(ids, starts, end_id=0, batch_size=len(LENGTHS), bptt=3, seed=random_seed).epoch(0))


def window_loop(model: LanguageModel, batches: list[Batch]) -> Iterator[tuple[Batch, State]]:
    """Each window with the state that training gives it: zero at a fresh one, else the last one's."""
    state: State = ()
    for batch in batches:
        state = model.entering(batch, state)
        yield batch, state
        state = model.forward(batch, state).state


def _random_state(like: State, random_seed: int, window: int) -> State:
    rng = stream(random_seed, "gradcheck state", window)
    return tuple(tuple(rng.uniform(-0.5, 0.5, array.shape) for array in layer) for layer in like)


def _value(model: LanguageModel, batch: Batch, state: State, pull: State) -> Any:
    """The loss of a window plus <pull, last state>."""
    passed = model.forward(batch, state)
    layers = zip(passed.state, pull, strict=True)
    return passed.loss + sum((a * r).sum() for last, pulls in layers for a, r in zip(last, pulls, strict=True))


def _value_of(model: LanguageModel, batch: Batch, state: State, pull: State) -> Callable[[], Any]:
    return lambda: _value(model, batch, state, pull)


def _derivative(value: Callable[[], Any], x: Array, method: str) -> Array:
    """D value / d x, one element after another; x is changed in place and put back."""
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
    """|a - n| / max(|a|, |n|, 1e-5 of the tensor's largest), element by element; 0/0 is 0."""
    largest = np.maximum(np.abs(a), np.abs(n))
    floor = np.maximum(largest, 1e-5 * largest.max())
    with np.errstate(invalid="ignore"):  # infinity is an error, and comes out as NaN
        error: Array = np.divide(np.abs(a - n), floor, out=np.zeros_like(floor), where=floor != 0)
    return error


def _verdict(engine: str, case: Case, name: str, analytic: Array, numeric: Array, method: str) -> Check:
    relative = float(relative_error(analytic, numeric).max())
    absolute = float(np.abs(analytic - numeric).max())
    # A NaN is no pass: it compares false.
    return Check(engine, case.architecture.cell, name, relative, absolute, relative <= TOLERANCE[method])
