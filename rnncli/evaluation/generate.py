"""Prediction: the distribution of the next word after a seed, and sampled or beam-searched continuations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rnncli.errors import TextError
from rnncli.model.architecture import State
from rnncli.model.language_model import LanguageModel
from rnncli.system.arrays import Array
from rnncli.system.randomness import stream
from rnncli.text.tokenize import Tokenizer
from rnncli.text.vocabulary import Vocabulary

LN10 = math.log(10)


@dataclass(frozen=True)
class Candidate:
    """A word and its probability under the model."""

    word: str
    probability: float
    log10_probability: float


@dataclass(frozen=True)
class Continuation:
    """Words that follow the seed, up to but without `<end>`.

    `text` starts with the seed; `log10_probability` is that of the words, and of `<end>` if it was reached.
    """

    text: str
    words: list[str]
    log10_probability: float


@dataclass(frozen=True)
class Sampling:
    """How words are drawn: `temperature` 0 takes the likeliest; `top_k` and `top_p` (nucleus sampling, Holtzman et al.
    2020) restrict the draw to the likeliest words; `unknown` False excludes `<unk>`.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    unknown: bool = True


@dataclass(frozen=True)
class Context:
    """A model that has read a seed: `<end>` and then its words."""

    model: LanguageModel
    vocabulary: Vocabulary
    tokenizer: Tokenizer
    words: list[str]
    unknown: list[str]
    """Words of the seed that are outside the vocabulary, read as `<unk>`."""
    log_probabilities: Array
    """ln P of every next word, (V,) float64."""
    state: State

    def candidates(self, top: int, unknown: bool = True) -> list[Candidate]:
        """The likeliest next words, best first; ties in the order of ids, so the more frequent word first."""
        order = np.argsort(-self.log_probabilities, kind="stable")
        if not unknown:
            order = order[order != self.vocabulary.unknown_id]
        return [
            Candidate(self.vocabulary.words[id], math.exp(log_p), log_p / LN10)
            for id, log_p in ((int(id), float(self.log_probabilities[id])) for id in order[:top])
        ]

    def samples(self, number: int, words: int, sampling: Sampling, random_seed: int) -> list[Continuation]:
        """Draw continuations of at most `words` words. The k-th uses random stream k, for any number of samples."""
        rngs = [stream(random_seed, "sample", k) for k in range(number)]
        drawn: list[list[int]] = [[] for _ in range(number)]
        totals, open_ = np.zeros(number), np.ones(number, bool)
        log_p, state = np.tile(self.log_probabilities, (number, 1)), _repeat(self.state, number)
        for _ in range(words):
            ids = np.full(number, self.vocabulary.end_id)
            for k in np.flatnonzero(open_):
                ids[k] = _draw(self._allowed(log_p[k], sampling), sampling, rngs[k])
                totals[k] += log_p[k, ids[k]]
                drawn[k].append(int(ids[k]))
            open_ &= ids != self.vocabulary.end_id
            if not open_.any():
                break
            log_p, state = _next(self.model, ids, state)
        return [self._continuation(ids, total) for ids, total in zip(drawn, totals, strict=True)]

    def beam(self, width: int, words: int, unknown: bool = True) -> list[Continuation]:
        """The likeliest continuations of at most `words` words found by beam search of this width, best first."""
        sampling = Sampling(unknown=unknown)
        kept: list[tuple[float, list[int]]] = [(0.0, [])]
        finished: list[tuple[float, list[int]]] = []
        log_p, state = self.log_probabilities[None, :], self.state
        for _ in range(words):
            scores = np.stack(
                [total + self._allowed(row, sampling) for (total, _), row in zip(kept, log_p, strict=True)]
            )
            best = np.argsort(-scores, axis=None, kind="stable")[:width]
            rows, ids = np.unravel_index(best[np.isfinite(scores.flat[best])], scores.shape)
            grown = [(float(scores[row, id]), [*kept[row][1], int(id)]) for row, id in zip(rows, ids, strict=True)]
            unfinished = ids != self.vocabulary.end_id
            finished += [found for found, more in zip(grown, unfinished, strict=True) if not more]
            kept = [found for found, more in zip(grown, unfinished, strict=True) if more]
            worst = sorted((score for score, _ in finished), reverse=True)[width - 1 : width]
            if not kept or (worst and kept[0][0] <= worst[0]):  # a longer one can only be less likely
                kept = []
                break
            state = tuple(tuple(array[:, rows[unfinished]] for array in layer) for layer in state)
            log_p, state = _next(self.model, ids[unfinished], state)
        found = sorted(finished + kept, key=lambda each: -each[0])[:width]
        return [self._continuation(ids, total) for total, ids in found]

    def _allowed(self, log_p: Array, sampling: Sampling) -> Array:
        if sampling.unknown or self.vocabulary.unknown_id is None:
            return log_p
        log_p = log_p.copy()
        log_p[self.vocabulary.unknown_id] = -np.inf
        return log_p

    def _continuation(self, ids: list[int], log_p: float) -> Continuation:
        words = self.vocabulary.decode(id for id in ids if id != self.vocabulary.end_id)
        return Continuation(self.tokenizer.join([*self.words, *words]), words, float(log_p) / LN10)


def read_seed(model: LanguageModel, vocabulary: Vocabulary, tokenizer: Tokenizer, seed: str) -> Context:
    """Read a seed as the beginning of a sentence; after an empty seed the next word is the first of a sentence.

    Raises TextError for a word outside a vocabulary without `<unk>`, for a literal `<end>`, and for bytes that are not
    UTF-8 (which Python passes as surrogates).
    """
    try:
        seed.encode()
    except UnicodeEncodeError as error:
        raise TextError(
            f"character {error.start + 1} is not UTF-8", location="the seed", remedy="type it in a UTF-8 terminal"
        ) from None
    words = tokenizer.tokens(seed) if seed.strip() else []
    ids = np.concatenate(([vocabulary.end_id], vocabulary.encode(words, "the seed"))).astype(np.intp)
    log_p, state = model.next_word(ids[:, None], model.zero_state(1))
    unknown = [word for word in words if word not in vocabulary]
    return Context(model, vocabulary, tokenizer, words, unknown, log_p[0].astype(np.float64), state)


def _next(model: LanguageModel, ids: Array, state: State) -> tuple[Array, State]:
    log_p, state = model.next_word(ids[None, :], state)
    return log_p.astype(np.float64), state


def _repeat(state: State, columns: int) -> State:
    return tuple(tuple(np.repeat(array, columns, axis=1) for array in layer) for layer in state)


def _draw(log_p: Array, sampling: Sampling, rng: np.random.Generator) -> int:
    """Draw one word id from ln P (V,), which need not be normalised."""
    if sampling.temperature == 0 or sampling.top_k == 1:
        return int(np.argmax(log_p))
    order = np.argsort(-log_p, kind="stable")[: sampling.top_k]
    with np.errstate(over="ignore"):  # a temperature near 0 overflows to -inf, which is never drawn
        p = np.exp((log_p[order] - log_p[order[0]]) / sampling.temperature)
    p /= p.sum()
    if sampling.top_p is not None:
        # the smallest set of the likeliest words with a total probability of at least top_p
        p = p[: int(np.searchsorted(np.cumsum(p), sampling.top_p)) + 1]
        p /= p.sum()
    cumulative = np.cumsum(p)
    return int(order[min(int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")), len(p) - 1)])
