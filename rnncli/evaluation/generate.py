"""Prediction: the distribution of the next word after a seed, and sampled or beam-searched continuations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rnncli.errors import TextError
from rnncli.evaluation import ranges
from rnncli.model.architecture import State
from rnncli.model.language_model import LanguageModel
from rnncli.system.arrays import Array
from rnncli.system.randomness import stream
from rnncli.text.encode import TextFormat, line_of
from rnncli.text.vocabulary import END, Vocabulary

LN10 = math.log(10)
SEED = "the seed"  # in messages


@dataclass(frozen=True)
class Candidate:
    """A word and its probability under the model."""

    word: str
    probability: float
    log10_probability: float


@dataclass(frozen=True)
class Continuation:
    """Words that follow the seed, up to but without the `<end>` that ends them.

    text: the seed and the words, a new line after each `<end>`. words: with the `<end>` of each line that was
    continued. log10_probability: that of the words, and of `<end>` if it was reached. ended: whether it was; otherwise
    the words are as many as were asked for.
    """

    text: str
    words: list[str]
    log10_probability: float
    ended: bool


@dataclass(frozen=True)
class Sampling:
    """How words are drawn: `temperature` 0 takes the likeliest; `top_k` and `top_p` (nucleus sampling, Holtzman et al.
    2020) restrict the draw to the likeliest words; `unknown` False excludes `<unk>`.

    Raises ValueError for a number out of range, TypeError for what is no such number.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    unknown: bool = True

    def __post_init__(self) -> None:
        ranges.check("temperature", self.temperature, ranges.TEMPERATURE)
        if self.top_k is not None:
            ranges.check("top_k", self.top_k, ranges.TOP_K)
        if self.top_p is not None:
            ranges.check("top_p", self.top_p, ranges.TOP_P)


@dataclass(frozen=True)
class Context:
    """A model that has read a seed: `<end>` and then its words.

    Where no line of the text ends in `<end>`, it is no word: its probability is 0, and those of the others sum to 1.
    The methods raise ValueError for a number out of range, and TypeError for what is no such number.
    """

    model: LanguageModel
    vocabulary: Vocabulary
    text_format: TextFormat
    words: list[str]
    """The words of the seed, with an `<end>` for each line end."""
    unknown: list[str]
    """Words of the seed that are outside the vocabulary, read as `<unk>`."""
    log_probabilities: Array
    """ln P of every next word, (V,) float64."""
    state: State

    def candidates(self, top: int, unknown: bool = True) -> list[Candidate]:
        """The likeliest next words, best first; ties in the order of ids, so the more frequent word first."""
        ranges.check("top", top, ranges.TOP)
        order = np.argsort(-self.log_probabilities, kind="stable")
        if not unknown:
            order = order[order != self.vocabulary.unknown_id]
        if not self.text_format.ends:
            order = order[order != self.vocabulary.end_id]
        return [
            Candidate(self.vocabulary.words[id], math.exp(log_p), log_p / LN10)
            for id, log_p in ((int(id), float(self.log_probabilities[id])) for id in order[:top])
        ]

    def samples(
        self, number: int, words: int, sampling: Sampling, random_seed: int, across_lines: bool = False
    ) -> list[Continuation]:
        """Draw continuations of at most `words` words. The k-th uses random stream k, for any number of samples.

        across_lines: draw exactly `words` words, each `<end>` included, instead of stopping at the end of a line.
        """
        ranges.check("number", number, ranges.SAMPLES)
        ranges.check("words", words, ranges.WORDS)
        ranges.check("random_seed", random_seed, ranges.RANDOM_SEED)
        if not isinstance(sampling, Sampling):
            raise TypeError(f"sampling must be a Sampling, not {sampling!r}")
        self._check_lines(across_lines)
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
            open_ &= across_lines | (ids != self.vocabulary.end_id)
            if not open_.any():
                break
            log_p, state = self._next(ids, state)
        return [self._continuation(ids, total, across_lines) for ids, total in zip(drawn, totals, strict=True)]

    def beam(self, width: int, words: int, unknown: bool = True, across_lines: bool = False) -> list[Continuation]:
        """The likeliest continuations of at most `words` words found by beam search of this width, best first.

        across_lines: as in `samples`.
        """
        ranges.check("width", width, ranges.BEAM)
        ranges.check("words", words, ranges.WORDS)
        self._check_lines(across_lines)
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
            unfinished = across_lines | (ids != self.vocabulary.end_id)
            finished += [found for found, more in zip(grown, unfinished, strict=True) if not more]
            kept = [found for found, more in zip(grown, unfinished, strict=True) if more]
            worst = sorted((score for score, _ in finished), reverse=True)[width - 1 : width]
            if not kept or (worst and kept[0][0] <= worst[0]):  # a longer one can only be less likely
                kept = []
                break
            state = tuple(tuple(array[:, rows[unfinished]] for array in layer) for layer in state)
            log_p, state = self._next(ids[unfinished], state)
        found = sorted(finished + kept, key=lambda each: -each[0])[:width]
        return [self._continuation(ids, total, across_lines) for total, ids in found]

    def _check_lines(self, across_lines: bool) -> None:
        if across_lines and not self.text_format.continues:
            raise ValueError("across_lines needs a text of mode stream with line_end: true: no other has a next line")

    def _next(self, ids: Array, state: State) -> tuple[Array, State]:
        log_p, state = self.model.next_word(ids[None, :], state)
        return _of_words(log_p, self.text_format, self.vocabulary), state

    def _allowed(self, log_p: Array, sampling: Sampling) -> Array:
        if sampling.unknown or self.vocabulary.unknown_id is None:
            return log_p
        log_p = log_p.copy()
        log_p[self.vocabulary.unknown_id] = -np.inf
        return log_p

    def _continuation(self, ids: list[int], log_p: float, across_lines: bool) -> Continuation:
        ended = not across_lines and ids[-1] == self.vocabulary.end_id
        words = self.vocabulary.decode(ids[:-1] if ended else ids)
        lines: list[list[str]] = [[]]
        for word in [*self.words, *words]:
            lines.append([]) if word == END else lines[-1].append(word)
        text = "\n".join(self.text_format.tokenizer.join(line) for line in lines)
        return Continuation(text, words, float(log_p) / LN10, ended)


def read_seed(
    model: LanguageModel, vocabulary: Vocabulary, text_format: TextFormat, seed: str, name: str = SEED
) -> Context:
    r"""Read a seed as the beginning of a text; after an empty seed the next word is the first one.

    The seed is read as a file is. In mode `sentences` it is one line, whose end is optional; in a stream whose lines
    end in `<end>`, a seed that ends in `\n` asks for the first word of the next line. name: of the seed, in messages.

    Raises TextError for more than one sentence, for a word outside a vocabulary without `<unk>`, for a literal `<end>`,
    for a NUL, and for bytes that are not UTF-8 (which Python passes as surrogates).
    """
    lines = text_format.lines(seed, name)
    if text_format.mode == "sentences":
        lines = _one_sentence(lines, name)
    words, ids = [], []
    for i, line in enumerate(lines):
        words += [END, *line]
        ids += [vocabulary.end_id, *vocabulary.encode(line, line_of(name, i, len(lines)))]
    log_p, state = model.next_word(np.array(ids, np.intp)[:, None], model.zero_state(1))
    unknown = [word for word in words if word not in vocabulary]
    log_p = _of_words(log_p, text_format, vocabulary)[0]
    return Context(model, vocabulary, text_format, words[1:], unknown, log_p, state)


def _one_sentence(lines: list[list[str]], name: str) -> list[list[str]]:
    """These lines without the empty one after a line end. Raises TextError if they are more than one line."""
    if len(lines) > 1 and not lines[-1]:
        lines = lines[:-1]
    if len(lines) > 1:
        raise TextError(
            f"{len(lines)} lines, but to this model (data.mode: sentences) a seed is the beginning of one line",
            location=name,
            remedy="give one line; for several seeds, one per line, use predict --file",
        )
    return lines


def _of_words(log_p: Array, text_format: TextFormat, vocabulary: Vocabulary) -> Array:
    """The model's ln P (B, V) as float64 with sum 1: of `<end>` it is -inf if no line of the text ends in one."""
    log_p = log_p.astype(np.float64)
    if not text_format.ends:
        log_p[:, vocabulary.end_id] = -np.inf
    largest = log_p.max(axis=1, keepdims=True)
    log_p -= largest + np.log(np.exp(log_p - largest).sum(axis=1, keepdims=True))
    return log_p


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
