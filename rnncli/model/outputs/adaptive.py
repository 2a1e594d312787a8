"""The adaptive softmax (Grave et al. 2017): frequent words in a short head, rarer ones in clusters with fewer features.

Word ids are sorted by falling frequency. Cutoffs c1 < c2 < ... split the vocabulary into a head, the words below c1,
and K clusters, one from each cutoff to the next. The head is a softmax over its words and one entry for each cluster;
cluster k is a softmax over its words, of the hidden state projected to d_k = H / div_value^k features:

    P(w | h) = head(w | h)                               for w in the head
    P(w | h) = head(cluster k | h) tail_k(w | P_k h)     for w in cluster k

Parameters: Wya (c1 + K, H) and by of the head; P1 (d_1, H), W1 (words, d_1) and b1 of the first cluster, and so on.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass

import numpy as np

from rnncli.errors import ConfigError
from rnncli.model.initialise import glorot_
from rnncli.model.noise import Noise
from rnncli.model.outputs.full import Cache as SoftmaxCache
from rnncli.model.outputs.full import Softmax, in_pieces, log_softmax
from rnncli.model.parameters import Section
from rnncli.schema.fields import setting
from rnncli.system.arrays import Array, Shapes, Tensors

LARGE = 13_334  # words; the head of a larger vocabulary is not longer

Cache = tuple[Array, SoftmaxCache, list[tuple[Array, SoftmaxCache]]]


class AdaptiveSoftmax:
    """Same result as `StepwiseAdaptive`; a test of the engines compares them."""

    exact = True

    @dataclass(frozen=True)
    class Options:
        """`cutoffs` None: those of `default_cutoffs`. `div_value`: ratio of features from one cluster to the next.
        `head`: share of the vocabulary in the head, if there are no cutoffs.
        """

        cutoffs: tuple[int, ...] | None = setting(None, minimum=1, rising=True)
        div_value: float = setting(4.0, minimum=1, maximum=1000)
        head: float = setting(0.075, minimum=0.001, maximum=0.5)

    def __init__(self, options: Options | None = None, counts: Array | None = None) -> None:
        self._counts = counts
        self._head = Softmax()
        self._tails: list[Softmax] = []

    @staticmethod
    def shapes(hidden_size: int, vocabulary_size: int, options: Options | None = None) -> Shapes:
        options = options or AdaptiveSoftmax.Options()
        edges = _edges(options, vocabulary_size)
        clusters = len(edges) - 1
        shapes: Shapes = {"Wya": (edges[0] + clusters, hidden_size), "by": (edges[0] + clusters,)}
        features = float(hidden_size)
        for k in range(1, clusters + 1):
            features /= options.div_value
            size, words = max(1, int(features)), edges[k] - edges[k - 1]
            shapes |= {f"P{k}": (size, hidden_size), f"W{k}": (words, size), f"b{k}": (words,)}
        return shapes

    @staticmethod
    def word_rows(shapes: Shapes) -> dict[str, range]:
        clusters = (len(shapes) - 2) // 3
        start = shapes["by"][0] - clusters
        rows = {"Wya": range(start), "by": range(start)}
        for k in range(1, clusters + 1):
            stop = start + shapes[f"b{k}"][0]
            rows |= {f"W{k}": range(start, stop), f"b{k}": range(start, stop)}
            start = stop
        return rows

    @staticmethod
    def initialise_(p: Tensors, rng: np.random.Generator) -> None:
        for tensor in p.values():
            if tensor.ndim == 2:
                glorot_(tensor, tensor.shape[1], tensor.shape[0], rng)
            else:
                tensor[...] = 0

    def forward(self, p: Tensors, hidden: Array, targets: Array, noise: Noise | None = None) -> tuple[Array, Cache]:
        starts = cluster_starts(p)
        cluster = np.searchsorted(starts, targets, side="right")  # 0: the head
        head_targets = np.where(cluster == 0, targets, starts[0] + cluster - 1) if len(starts) else targets
        nll, head = self._head.forward(p["Wya"], p["by"], hidden, head_targets)
        self._tails += [Softmax() for _ in starts[len(self._tails) :]]
        tails = []
        for k, start in enumerate(starts, 1):
            rows = np.flatnonzero(cluster == k)
            x = hidden[rows] @ p[f"P{k}"].T
            tail_nll, cache = self._tails[k - 1].forward(p[f"W{k}"], p[f"b{k}"], x, targets[rows] - start)
            nll[rows] += tail_nll
            tails.append((rows, cache))
        return nll, (hidden, head, tails)

    def backward_(self, p: Tensors, g: Section, scale: float, cache: Cache) -> Array:
        hidden, head, tails = cache
        dhidden = self._head.backward_(p["Wya"], g["Wya"], g["by"], scale, head)
        for k, (rows, tail) in enumerate(tails, 1):
            dx = self._tails[k - 1].backward_(p[f"W{k}"], g[f"W{k}"], g[f"b{k}"], scale, tail)
            np.matmul(dx.T, hidden[rows], out=g[f"P{k}"])
            dhidden[rows] += dx @ p[f"P{k}"]
        return dhidden

    def share(self, start: int, stop: int) -> float:
        """The share of the training text that consists of the words `start` to `stop` - 1; 1 if unknown."""
        return 1.0 if self._counts is None else float(self._counts[start:stop].sum() / self._counts.sum())

    def score(self, p: Tensors, hidden: Array, targets: Array) -> Array:
        widest = max(len(b) for b in p.values() if b.ndim == 1)
        return in_pieces(lambda rows: self.forward(p, hidden[rows], targets[rows])[0], len(hidden), widest)

    def log_probabilities(self, p: Tensors, hidden: Array) -> Array:
        starts = cluster_starts(p)
        head = log_softmax(p["Wya"], p["by"], hidden)
        words = len(p["by"]) - len(starts)
        parts = [head[:, :words]]
        for k in range(1, len(starts) + 1):
            tail = log_softmax(p[f"W{k}"], p[f"b{k}"], hidden @ p[f"P{k}"].T)
            parts.append(head[:, [words + k - 1]] + tail)
        return np.concatenate(parts, axis=1)


def default_cutoffs(vocabulary_size: int, head: float = AdaptiveSoftmax.Options.head) -> tuple[int, ...]:
    """Default cutoffs of a vocabulary; none below 1,000 words.

    The head has this share of the vocabulary, or of LARGE words if it is larger. Each further cutoff is five times the
    previous one. The last cluster has at least half of the vocabulary.
    """
    if vocabulary_size < 1000:
        return ()
    cutoffs = [max(1, min(vocabulary_size, LARGE) * round(head * 10_000) // 10_000)]
    while 5 * cutoffs[-1] < vocabulary_size // 2:
        cutoffs.append(5 * cutoffs[-1])
    if len(cutoffs) == 1 and cutoffs[0] < vocabulary_size // 2:
        cutoffs.append(vocabulary_size // 2)
    return tuple(cutoffs)


def _edges(options: AdaptiveSoftmax.Options, vocabulary_size: int) -> list[int]:
    """The end of the head and of each cluster. Raises ConfigError for cutoffs that do not fit the vocabulary."""
    cutoffs = default_cutoffs(vocabulary_size, options.head) if options.cutoffs is None else options.cutoffs
    edges = [*cutoffs, vocabulary_size]
    if sorted(set(edges)) != edges:
        raise ConfigError(
            f"{reprlib.repr(edges[:-1])} must rise, and stay below the {vocabulary_size} words of the vocabulary",
            location="model.output.cutoffs",
            remedy="remove them to use cutoffs that fit it",
        )
    return edges


def cluster_starts(p: Tensors) -> Array:
    """The first word of each cluster, from the shapes of the parameters."""
    words = [len(p[f"W{k}"]) for k in range(1, sum(name.startswith("P") for name in p) + 1)]
    return len(p["Wya"]) - len(words) + np.cumsum([0, *words], dtype=np.intp)[:-1]
