"""The output layers of the oracle: one position at a time, through `rnncli.reference`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from rnncli import reference
from rnncli.model.noise import Noise
from rnncli.model.outputs import AdaptiveSoftmax, FullSoftmax, Output, OutputLayer, SampledSoftmax
from rnncli.model.parameters import Section
from rnncli.reference.functional import log_softmax, one_hot
from rnncli.system.arrays import Array, Tensors


class StepwiseFull:
    """The full softmax: yhat = softmax(Wya a + by), loss -ln yhat[target]."""

    exact = True

    def __init__(self, options: object = None, counts: Array | None = None) -> None:
        pass

    def forward(self, p: Tensors, hidden: Array, targets: Array, noise: Noise | None = None) -> tuple[Array, Any]:
        logits = [p["Wya"] @ a[:, None] + p["by"][:, None] for a in hidden]  # (V, 1) each
        # log_softmax, as the logarithm of softmax is -inf where it underflows to 0.
        nll = np.array([-log_softmax(z)[target, 0] for z, target in zip(logits, targets, strict=True)])
        return nll, (hidden, targets, [reference.softmax(z) for z in logits])

    def backward_(self, p: Tensors, g: Section, scale: float, cache: Any) -> Array:
        hidden, targets, y_hat = cache
        g["Wya"][...], g["by"][...] = 0, 0
        dhidden = []
        for a, target, y in zip(hidden, targets, y_hat, strict=True):
            dz = scale * (y - one_hot(target, len(y), y.dtype)[:, None])  # (V, 1)
            g["Wya"] += dz @ a[None, :]
            g["by"] += dz[:, 0]
            dhidden.append((p["Wya"].T @ dz)[:, 0])
        return np.array(dhidden).reshape(hidden.shape)

    def score(self, p: Tensors, hidden: Array, targets: Array) -> Array:
        return self.forward(p, hidden, targets)[0]

    def log_probabilities(self, p: Tensors, hidden: Array) -> Array:
        return np.array([log_softmax(p["Wya"] @ a[:, None] + p["by"][:, None])[:, 0] for a in hidden])


class StepwiseAdaptive(StepwiseFull):
    """The adaptive softmax with every cluster at every position: loss -ln P(target)."""

    def forward(self, p: Tensors, hidden: Array, targets: Array, noise: Noise | None = None) -> tuple[Array, Any]:
        passed = [reference.adaptive_output_forward(a[:, None], _columns(p)) for a in hidden]
        nll = np.array([-log_y[target, 0] for (log_y, _), target in zip(passed, targets, strict=True)])
        return nll, (hidden, targets, passed)

    def backward_(self, p: Tensors, g: Section, scale: float, cache: Any) -> Array:
        hidden, targets, passed = cache
        words = (one_hot(target, len(log_y))[:, None] for target, (log_y, _) in zip(targets, passed, strict=True))
        caches = (cache for _, cache in passed)
        gradients = (reference.adaptive_output_backward(y, cache) for y, cache in zip(words, caches, strict=True))
        return _sum_(g, scale, gradients, hidden)

    def log_probabilities(self, p: Tensors, hidden: Array) -> Array:
        return np.array([reference.adaptive_output_forward(a[:, None], _columns(p))[0][:, 0] for a in hidden])


class StepwiseSampled(StepwiseFull):
    """The sampled softmax, one draw at a time: loss ln Z - z[target] with an estimated Z."""

    exact = False

    def __init__(self, options: SampledSoftmax.Options | None = None, counts: Array | None = None) -> None:
        self.options = options or SampledSoftmax.Options()
        self.counts = counts

    def forward(self, p: Tensors, hidden: Array, targets: Array, noise: Noise | None = None) -> tuple[Array, Any]:
        if noise is None:
            raise TypeError("the sampled softmax draws words: forward needs noise; score does not")
        q = self._proposal(len(p["by"]))
        drawn = reference.draw_words(q, self.options.samples, noise.stream("sampled words"))
        passed = [
            reference.sampled_output_forward(a[:, None], target, drawn, q, _columns(p))
            for a, target in zip(hidden, targets, strict=True)
        ]
        return np.array([loss for loss, _ in passed]), (hidden, [cache for _, cache in passed])

    def backward_(self, p: Tensors, g: Section, scale: float, cache: Any) -> Array:
        hidden, caches = cache
        return _sum_(g, scale, map(reference.sampled_output_backward, caches), hidden)

    def score(self, p: Tensors, hidden: Array, targets: Array) -> Array:
        return StepwiseFull.forward(self, p, hidden, targets)[0]

    def _proposal(self, vocabulary_size: int) -> list[float]:
        if self.options.proposal == "log_uniform":
            return reference.log_uniform_proposal(vocabulary_size)
        if self.counts is None:
            raise ValueError("the unigram proposal needs the counts of the words")
        return reference.unigram_proposal(self.counts.tolist())


def _columns(p: Tensors) -> Tensors:
    """The parameters in the course's shapes: a bias is a column."""
    return {name: tensor[:, None] if tensor.ndim == 1 else tensor for name, tensor in p.items()}


def _sum_(g: Section, scale: float, gradients: Iterable[Tensors], hidden: Array) -> Array:
    """Write `scale` times the sum of the positions' gradients into g; return those of the hidden states, (N, H)."""
    for tensor in g.values():
        tensor[...] = 0
    dhidden = np.zeros_like(hidden)
    for row, of_position in enumerate(gradients):
        for name, tensor in g.items():
            tensor += scale * of_position[f"d{name}"].reshape(tensor.shape)
        dhidden[row] = scale * of_position["da"][:, 0]
    return dhidden


STEPWISE_OUTPUTS: dict[type[OutputLayer], Callable[[Any, Array | None], Output]] = {
    FullSoftmax: StepwiseFull,
    AdaptiveSoftmax: StepwiseAdaptive,
    SampledSoftmax: StepwiseSampled,
}
