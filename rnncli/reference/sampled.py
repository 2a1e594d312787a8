"""The sampled softmax (Bengio and Senecal 2008, Jean et al. 2015), draw by draw.

n words are drawn with replacement from a proposal distribution q. With z = Wya a + by and the target t,

    Z = exp(z[t]) + sum over the draws s, except those of t, of exp(z[s]) / (n q[s])
    loss = ln Z - z[t]

A word that was drawn twice occurs in the sum twice. The expectation of Z is the Z of the full softmax.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from rnncli.reference.functional import log_softmax
from rnncli.reference.sequence import Gradients, Parameters
from rnncli.system.arrays import Array


def log_uniform_proposal(n_y: int) -> list[float]:
    """q[w] = (ln(w + 2) - ln(w + 1)) / ln(n_y + 1): close to Zipf's law for words sorted by falling frequency."""
    return [float((np.log(word + 2) - np.log(word + 1)) / np.log(n_y + 1)) for word in range(n_y)]


def unigram_proposal(counts: Sequence[int]) -> list[float]:
    """q[w] proportional to the count of each word in the training text; a count of 0 is taken as 1."""
    counts = [max(1, count) for count in counts]
    total = sum(counts)
    return [count / total for count in counts]


def draw_words(q: Sequence[float], n: int, rng: np.random.Generator) -> list[int]:
    """Draw n words from q with replacement: each is the first whose cumulative probability exceeds a random number."""
    cumulative = list(accumulate(q))
    numbers = [rng.random() * cumulative[-1] for _ in range(n)]
    last = len(q) - 1  # if rounding made a number equal to the last sum
    return [next((word for word, reached in enumerate(cumulative) if number < reached), last) for number in numbers]


def sampled_output_forward(
    a: Array, target: int, drawn: Sequence[int], q: Sequence[float], parameters: Parameters
) -> tuple[Any, Any]:
    """The loss ln Z - z[target] at one position, and the cache.

    a (n_a, 1); drawn: the words drawn, with repetitions; q (n_y,); Wya (n_y, n_a), by (n_y, 1).

    Computed as -ln of a softmax over the target and the draws with logits z[s] - ln(n q[s]), which cannot overflow.
    """
    z = parameters["Wya"] @ a + parameters["by"]
    words, logits = [target], [z[target, 0]]
    for s in drawn:
        if s != target:
            words.append(s)
            logits.append(z[s, 0] - np.log(len(drawn) * q[s]))
    log_y = log_softmax(np.array(logits))
    return -log_y[0], (a, words, np.exp(log_y), parameters)


def sampled_output_backward(cache: Any) -> Gradients:
    """Gradients of the loss at one position; that of the logits is y - 1 for the target and y for each draw.

    Returns dWya (n_y, n_a), dby (n_y, 1) and da (n_a, 1).
    """
    a, words, y, parameters = cache
    dWya, dby, da = np.zeros_like(parameters["Wya"]), np.zeros_like(parameters["by"]), np.zeros_like(a)
    for place, word in enumerate(words):
        dz = y[place] - (1 if place == 0 else 0)
        dWya[word] += dz * a[:, 0]
        dby[word] += dz
        da[:, 0] += dz * parameters["Wya"][word]
    return {"dWya": dWya, "dby": dby, "da": da}
