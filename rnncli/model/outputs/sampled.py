"""Sampled softmax (Bengio and Senecal 2008, Jean et al. 2015): in training, Z from a sample of the vocabulary.

Each step draws `samples` words from a proposal distribution q, with replacement, shared by all positions. With
c_s the number of times that word s was drawn,

    Z = exp(z_target) + sum over sampled s, not the target, of c_s / (samples q_s) exp(z_s)

is an unbiased estimate of the Z of the full softmax (the log-q correction: ln of that factor is added to the logit of
each sample), and the loss is ln Z - z_target. Evaluation and prediction use the full softmax over the same parameters,
which have the names and shapes of `full`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnncli.model.noise import Noise
from rnncli.model.outputs.full import FullSoftmax, exponentiate_
from rnncli.model.parameters import Section
from rnncli.schema.fields import setting
from rnncli.system.arrays import Array, Tensors


class SampledSoftmax(FullSoftmax):
    """Same result as `StepwiseSampled`; a test of the engines compares them."""

    exact = False

    @dataclass(frozen=True)
    class Options:
        """`proposal`: the distribution to draw words from; `unigram` is their frequency in the training text."""

        samples: int = setting(1000, minimum=1, maximum=1_000_000)
        proposal: str = setting("log_uniform", choices=("log_uniform", "unigram"))

    def __init__(self, options: Options | None = None, counts: Array | None = None) -> None:
        super().__init__()
        self.proposal = Proposal(options or self.Options(), counts)

    def forward(self, p: Tensors, hidden: Array, targets: Array, noise: Noise | None = None) -> tuple[Array, Any]:
        if noise is None:
            raise TypeError("the sampled softmax draws words: forward needs noise; score does not")
        words, correction = self.proposal.draw(len(p["by"]), noise.stream("sampled words"))
        W, b = p["Wya"][words], p["by"][words] + correction.astype(hidden.real.dtype)
        place = np.minimum(np.searchsorted(words, targets), len(words) - 1)
        hit = words[place] == targets  # the target was also drawn: count it once
        target_logits = np.einsum("nh,nh->n", hidden, p["Wya"][targets]) + p["by"][targets]

        def fill(logits: Array, rows: Any) -> Array:
            """Write the logits of the samples, then that of the target."""
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

    def backward_(self, p: Tensors, g: Section, scale: float, cache: Any) -> Array:
        hidden, targets, words, W, exponentials, Z = cache
        weight = scale / Z
        of_samples, of_targets = exponentials[:, :-1], (exponentials[:, -1] - Z) * weight
        ids = np.concatenate((words, targets))
        dW, db = of_samples.T @ (hidden * weight[:, None]), weight @ of_samples
        g.write_rows_("Wya", ids, np.concatenate((dW, of_targets[:, None] * hidden)))
        g.write_rows_("by", ids, np.concatenate((db, of_targets)))
        dhidden: Array = of_samples @ W
        dhidden *= weight[:, None]
        dhidden += of_targets[:, None] * p["Wya"][targets]
        return dhidden


class Proposal:
    """The proposal distribution q, (V,), by the rank of words or by their counts."""

    def __init__(self, options: SampledSoftmax.Options, counts: Array | None) -> None:
        self._options, self._counts = options, counts
        self._q: Array = np.empty(0)
        self._cumulative: Array = np.empty(0)

    def q(self, vocabulary_size: int) -> Array:
        """The probability of each word. Raises ValueError for `unigram` without counts."""
        if self._options.proposal == "log_uniform":
            rank = np.arange(vocabulary_size)
            log_uniform: Array = np.log((rank + 2) / (rank + 1)) / np.log(vocabulary_size + 1)
            return log_uniform
        if self._counts is None:
            raise ValueError("the unigram proposal needs the counts of the words")
        counts = np.maximum(self._counts, 1)  # so that a word that is not in the text can also be drawn
        unigram: Array = counts / counts.sum()
        return unigram

    def draw(self, vocabulary_size: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """The distinct words drawn, sorted, and ln(c_s / (samples q_s)) of each; both (S,)."""
        if len(self._q) != vocabulary_size:
            self._q = self.q(vocabulary_size)
            self._cumulative = np.cumsum(self._q)
        samples = self._options.samples
        drawn = np.searchsorted(self._cumulative, rng.random(samples) * self._cumulative[-1], side="right")
        words, times = np.unique(np.minimum(drawn, vocabulary_size - 1), return_counts=True)
        return words, np.log(times / (samples * self._q[words]))

    def distinct(self, vocabulary_size: int) -> int:
        """Expected number of distinct words that a step draws, rounded up."""
        q = self.q(vocabulary_size)
        with np.errstate(divide="ignore"):  # a vocabulary of one word
            return math.ceil(float(-np.expm1(self._options.samples * np.log1p(-q)).sum()))
