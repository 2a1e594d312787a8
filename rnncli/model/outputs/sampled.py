"""Sampled softmax (Bengio and Senecal 2008, Jean et al. 2015): in training, Z from a sample of the vocabulary.

Each step draws `samples` words from a proposal distribution q, with replacement and for all positions together. With
c_s the number of times that word s was drawn,

    Z = exp(z_target) + sum over sampled s, not the target, of c_s / (samples q_s) exp(z_s)

is an estimate of the full softmax's Z without bias (the log-q correction: ln of that factor is added to the logit of
each sample), and the loss is ln Z - z_target. Perplexity is measured, and words are predicted, with the full softmax
over the same parameters, which have the names and shapes of `full`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncli.model.outputs.base import Tensors
from rnncli.model.outputs.full import FullSoftmax
from rnncli.model.outputs.softmax import exponentiate_, rows_in_a_piece
from rnncli.model.parameters import Array, Shapes, write_rows_
from rnncli.schema.fields import setting


class SampledSoftmax(FullSoftmax):
    """Same result as `by_word.SampledByWord`; a test of the engines holds them together."""

    exact = False

    @dataclass(frozen=True)
    class Options:
        """`proposal`: what words are drawn from; `unigram` is their frequency in the training text."""

        samples: int = setting(1000, minimum=1, maximum=1_000_000)
        proposal: str = setting("log_uniform", choices=("log_uniform", "unigram"))

    def __init__(self, options: Options | None = None, counts: Array | None = None) -> None:
        super().__init__()
        self.proposal = Proposal(options or self.Options(), counts)

    def forward(
        self, p: Tensors, hidden: Array, targets: Array, rng: np.random.Generator | None = None
    ) -> tuple[Array, Any]:
        if rng is None:
            raise TypeError("the sampled softmax draws words: forward needs rng; score does without")
        words, correction = self.proposal.draw(len(p["by"]), rng)
        W, b = p["Wya"][words], p["by"][words] + correction.astype(hidden.real.dtype)
        place = np.minimum(np.searchsorted(words, targets), len(words) - 1)
        hit = words[place] == targets  # the target was drawn too: it counts once
        target_logits = np.einsum("nh,nh->n", hidden, p["Wya"][targets]) + p["by"][targets]

        def fill(logits: Array, rows: Any) -> Array:
            """The logits of the samples, then that of the target."""
            np.matmul(hidden[rows], W.T, out=logits[:, :-1])
            hits = np.flatnonzero(hit[rows])
            logits[hits, place[rows][hits]] = -np.inf
            logits[:, -1] = target_logits[rows]
            return logits

        candidates = fill(self._softmax.buffer(len(hidden), len(words) + 1, hidden.dtype), slice(None))
        Z, shift = exponentiate_(
            candidates, np.append(b, b.dtype.type(0)), lambda rows: fill(np.empty_like(candidates[rows]), rows)
        )
        return np.log(Z) + shift - target_logits, (hidden, targets, words, W, candidates, Z)

    def backward_(self, p: Tensors, g: Tensors, scale: float, cache: Any) -> Array:
        hidden, targets, words, W, exponentials, Z = cache
        weight = scale / Z
        of_samples, of_targets = exponentials[:, :-1], (exponentials[:, -1] - Z) * weight
        ids = np.concatenate((words, targets))
        dW, db = of_samples.T @ (hidden * weight[:, None]), weight @ of_samples
        write_rows_(g, "Wya", ids, np.concatenate((dW, of_targets[:, None] * hidden)))
        write_rows_(g, "by", ids, np.concatenate((db, of_targets)))
        dhidden: Array = of_samples @ W
        dhidden *= weight[:, None]
        dhidden += of_targets[:, None] * p["Wya"][targets]
        return dhidden

    def flops(self, p: Tensors, cache: Any) -> tuple[int, int]:
        hidden, _, _, W, *_ = cache
        products = len(hidden) * W.size  # of the words that were drawn, each once
        return 2 * products, 4 * products

    def held(self, shapes: Shapes, positions: int, scored: int) -> int:
        words, size = shapes["Wya"]
        drawn = self.proposal.distinct(words)
        in_training = positions * (drawn + 1)
        # The rows of what was drawn and of the targets, and their gradients: one after another, in order, added up.
        return max(in_training, min(scored, rows_in_a_piece(words)) * words) + (5 * drawn + 3 * positions) * size


class Proposal:
    """The distribution q that words are drawn from, (V,): known from a word's rank alone, or from the counts."""

    def __init__(self, options: SampledSoftmax.Options, counts: Array | None) -> None:
        self._options, self._counts = options, counts
        self._q: Array = np.empty(0)
        self._cumulative: Array = np.empty(0)

    def q(self, vocabulary_size: int) -> Array:
        """The probability of each word. Raises ValueError for `unigram` where no counts are known."""
        if self._options.proposal == "log_uniform":
            rank = np.arange(vocabulary_size)
            log_uniform: Array = np.log((rank + 2) / (rank + 1)) / np.log(vocabulary_size + 1)
            return log_uniform
        if self._counts is None:
            raise ValueError("the unigram proposal needs the counts of the words")
        counts = np.maximum(self._counts, 1)  # a word that the text does not have can be drawn too
        unigram: Array = counts / counts.sum()
        return unigram

    def draw(self, vocabulary_size: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """The words drawn, each once and in order, and ln(c_s / (samples q_s)) of each; (S,) both."""
        if len(self._q) != vocabulary_size:
            self._q = self.q(vocabulary_size)
            self._cumulative = np.cumsum(self._q)
        samples = self._options.samples
        drawn = np.searchsorted(self._cumulative, rng.random(samples) * self._cumulative[-1], side="right")
        words, times = np.unique(np.minimum(drawn, vocabulary_size - 1), return_counts=True)
        return words, np.log(times / (samples * self._q[words]))

    def distinct(self, vocabulary_size: int) -> int:
        """How many of the words a step draws that are not equal; their mean, rounded up."""
        q = self.q(vocabulary_size)
        with np.errstate(divide="ignore"):  # a vocabulary of one word
            return math.ceil(float(-np.expm1(self._options.samples * np.log1p(-q)).sum()))
