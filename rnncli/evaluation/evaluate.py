"""Evaluation of a model on a text; `rnncli.evaluation.perplexity` defines the figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from rnncli.batches.batch import Batch, Batches
from rnncli.evaluation.perplexity import Evaluation, TokenCounts, perplexity
from rnncli.model.architecture import State
from rnncli.model.language_model import LanguageModel
from rnncli.system.arrays import Array
from rnncli.text.corpus import Corpus
from rnncli.text.files import MEASURING, Watch
from rnncli.text.spelling import Spelling
from rnncli.text.spool import expect_whole
from rnncli.text.vocabulary import END, UNKNOWN, Vocabulary

SPELLED = 10_000  # unknown words spelled at a time

__all__ = ["Evaluation", "TokenCounts", "count", "evaluate", "nll_of_unknown", "perplexity"]


def count(corpus: Corpus, ends: bool, vocabulary: Vocabulary) -> TokenCounts:
    """Counts of a text; `ends`: whether each of its lines ends in `<end>`."""
    tokens, oov = corpus.tokens, len(corpus.oov_positions)
    return TokenCounts(tokens, ends, oov, len(vocabulary), corpus.characters, _nll_spelling(corpus, vocabulary))


def _nll_spelling(corpus: Corpus, vocabulary: Vocabulary) -> float | None:
    """-ln P, in nats, of spelling all unknown words of a text; None if the vocabulary has no words to learn it from."""
    if not corpus.outside:
        return 0.0
    if set(vocabulary.words) <= {END, UNKNOWN}:
        return None
    spelling, nats = Spelling(vocabulary.words), 0.0
    pairs = iter(corpus.outside.items())
    while some := list(islice(pairs, SPELLED)):  # they may exceed the memory
        words, times = zip(*some, strict=True)
        nats += float(spelling.nats(words) @ np.array(times, np.float64))
    return nats


def evaluate(
    model: LanguageModel,
    batches: Batches,
    corpus: Corpus,
    counts: TokenCounts,
    stop: Callable[[], object] = lambda: None,
    watch: Watch | None = None,
) -> Evaluation | None:
    """Sum -ln P over all positions of the text, in one pass and in float64.

    The result does not depend on the window length or on the number of sentences in a batch.
    counts: of this text, from `count`; the same for every model with this vocabulary. `stop` is called before each
    window; if it returns a true value, the result is None. `watch` is called with the number of words done.
    """
    nll, nll_oov, done = 0.0, 0.0, 0
    state: State = ()
    for batch in batches.epoch(0):
        if stop():
            return None
        losses, state = model.score(batch, model.entering(batch, state))
        nll += float(losses.sum(dtype=np.float64))
        nll_oov += nll_of_unknown(losses, batch, corpus)
        done += batch.words
        if watch is not None:
            watch(MEASURING, done, corpus.tokens)
    return Evaluation(**asdict(counts), nll=nll, nll_oov=nll_oov)


def nll_of_unknown(losses: Array, batch: Batch, corpus: Corpus) -> float:
    """Sum of the losses, in nats, of the unknown words of a batch; `losses`: of its positions without padding."""
    positions = batch.positions.reshape(-1) if batch.mask is None else batch.positions[batch.mask]
    return float(losses[_among(positions, corpus.oov_positions)].sum(dtype=np.float64))


def _among(positions: npt.NDArray[np.intp], chosen: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
    """Mask of the positions that are in `chosen`, which is sorted and may be memory-mapped."""
    expect_whole(chosen)
    # The same dtype: otherwise searchsorted copies all of `chosen`.
    positions = positions.astype(chosen.dtype, copy=False)
    at = np.searchsorted(chosen, positions)
    found = at < len(chosen)
    found[found] = chosen[at[found]] == positions[found]
    return found


def loss_from_zero_state(model: LanguageModel, batch: Batch) -> float:
    """Mean loss of one batch, in nats per word, from a state of zeros."""
    losses, _ = model.score(batch, model.zero_state(batch.inputs.shape[1]))
    return float(losses.mean(dtype=np.float64))
