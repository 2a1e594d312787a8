"""The output layers of the oracle: one position at a time, through `rnncli.reference`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from rnncli import reference
from rnncli.model.outputs import Output, SampledSoftmax
from rnncli.model.parameters import Array, Shapes
from rnncli.reference.functional import log_softmax, one_hot

Tensors = dict[str, Array]


class WordByWord:
    """The full softmax: yhat = softmax(Wya a + by), loss -ln yhat[target]."""

    exact = True

    def __init__(self, options: object = None, counts: Array | None = None) -> None:
        pass

    def forward(
        self, p: Tensors, hidden: Array, targets: Array, rng: np.random.Generator | None = None
    ) -> tuple[Array, Any]:
        logits = [p["Wya"] @ a[:, None] + p["by"][:, None] for a in hidden]  # (V, 1) each
        # The logarithm of a softmax would be -inf where that underflows to 0.
        nll = np.array([-log_softmax(z)[target, 0] for z, target in zip(logits, targets, strict=True)])
        return nll, (hidden, targets, [reference.softmax(z) for z in logits])

    def backward_(self, p: Tensors, g: Tensors, scale: float, cache: Any) -> Array:
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

    def flops(self, p: Tensors, cache: Any) -> tuple[int, int]:
        """With every matrix at every position."""
        products = len(cache[0]) * sum(tensor.size for tensor in p.values() if tensor.ndim == 2)
        return 2 * products, 4 * products

    def held(self, shapes: Shapes, positions: int, scored: int) -> int:
        """About: logits, probabilities and their like of every word at every position; of one all gradients."""
        words = sum(math.prod(shape) for shape in shapes.values() if len(shape) == 1)
        return 2 * max(positions, scored) * words + 2 * sum(map(math.prod, shapes.values()))


class AdaptiveByWord(WordByWord):
    """The adaptive softmax, every cluster at every position: loss -ln P(target)."""

    def forward(
        self, p: Tensors, hidden: Array, targets: Array, rng: np.random.Generator | None = None
    ) -> tuple[Array, Any]:
        passed = [reference.adaptive_output_forward(a[:, None], _columns(p)) for a in hidden]
        nll = np.array([-log_y[target, 0] for (log_y, _), target in zip(passed, targets, strict=True)])
        return nll, (hidden, targets, passed)

    def backward_(self, p: Tensors, g: Tensors, scale: float, cache: Any) -> Array:
        hidden, targets, passed = cache
        words = (one_hot(target, len(log_y))[:, None] for target, (log_y, _) in zip(targets, passed, strict=True))
        caches = (cache for _, cache in passed)
        gradients = (reference.adaptive_output_backward(y, cache) for y, cache in zip(words, caches, strict=True))
        return _add_up_(g, scale, gradients, hidden)

    def log_probabilities(self, p: Tensors, hidden: Array) -> Array:
        return np.array([reference.adaptive_output_forward(a[:, None], _columns(p))[0][:, 0] for a in hidden])

    def held(self, shapes: Shapes, positions: int, scored: int) -> int:
        return super().held(shapes, 2 * positions, 2 * scored)  # of the clusters, and of the whole


class SampledByWord(WordByWord):
    """The sampled softmax, draw by draw: loss ln Z - z[target] with an estimated Z."""

    exact = False

    def __init__(self, options: SampledSoftmax.Options | None = None, counts: Array | None = None) -> None:
        self.options = options or SampledSoftmax.Options()
        self.counts = counts

    def forward(
        self, p: Tensors, hidden: Array, targets: Array, rng: np.random.Generator | None = None
    ) -> tuple[Array, Any]:
        if rng is None:
            raise TypeError("the sampled softmax draws words: forward needs rng; score does without")
        q = self._proposal(len(p["by"]))
        drawn = reference.draw_words(q, self.options.samples, rng)
        passed = [
            reference.sampled_output_forward(a[:, None], target, drawn, q, _columns(p))
            for a, target in zip(hidden, targets, strict=True)
        ]
        return np.array([loss for loss, _ in passed]), (hidden, [cache for _, cache in passed])

    def backward_(self, p: Tensors, g: Tensors, scale: float, cache: Any) -> Array:
        hidden, caches = cache
        return _add_up_(g, scale, map(reference.sampled_output_backward, caches), hidden)

    def score(self, p: Tensors, hidden: Array, targets: Array) -> Array:
        return WordByWord.forward(self, p, hidden, targets)[0]

    def flops(self, p: Tensors, cache: Any) -> tuple[int, int]:
        return super().flops(p, cache)[0], 0  # backward goes word by word

    def _proposal(self, vocabulary_size: int) -> list[float]:
        if self.options.proposal == "log_uniform":
            return reference.log_uniform_proposal(vocabulary_size)
        if self.counts is None:
            raise ValueError("the unigram proposal needs the counts of the words")
        return reference.unigram_proposal(self.counts.tolist())


def _columns(p: Tensors) -> Tensors:
    """The parameters as the course has them: a bias is a column."""
    return {name: tensor[:, None] if tensor.ndim == 1 else tensor for name, tensor in p.items()}


def _add_up_(g: Tensors, scale: float, gradients: Iterable[Tensors], hidden: Array) -> Array:
    """Write `scale` times the sum of the positions' gradients into g; return those of the hidden states, (N, H)."""
    for tensor in g.values():
        tensor[...] = 0
    dhidden = np.zeros_like(hidden)
    for row, of_position in enumerate(gradients):
        for name, tensor in g.items():
            tensor += scale * of_position[f"d{name}"].reshape(tensor.shape)
        dhidden[row] = scale * of_position["da"][:, 0]
    return dhidden


OUTPUTS: dict[str, Callable[[Any, Array | None], Output]] = {
    "full": WordByWord,
    "adaptive": AdaptiveByWord,
    "sampled": SampledByWord,
}
