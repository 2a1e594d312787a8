"""The perplexity of a text, counted as `rnncli.evaluation.perplexity` says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from rnncli.batches.batch import Batch, Batches
from rnncli.evaluation.perplexity import Counts, Evaluation, perplexity
from rnncli.model.architecture import State
from rnncli.model.language_model import LanguageModel
from rnncli.model.parameters import Array
from rnncli.text.corpus import Corpus
from rnncli.text.files import MEASURING, Watch
from rnncli.text.spelling import Spelling
from rnncli.text.vocabulary import END, UNKNOWN, Vocabulary

SPELLED = 10_000  # unknown words, at a time

__all__ = ["Counts", "Evaluation", "count", "evaluate", "nll_of_unknown", "perplexity"]


def count(corpus: Corpus, ends: bool, vocabulary: Vocabulary) -> Counts:
    """What the figures of a text are counted over; `ends`: whether each of its lines ends in `<end>`."""
    tokens, oov = corpus.tokens, len(corpus.oov_positions)
    return Counts(tokens, ends, oov, len(vocabulary), corpus.characters, _nll_spelling(corpus, vocabulary))


def _nll_spelling(corpus: Corpus, vocabulary: Vocabulary) -> float | None:
    """What the spelling of the unknown words of a text costs, nats; None where there is nothing to learn it from."""
    if not corpus.outside:
        return 0.0
    if set(vocabulary.words) <= {END, UNKNOWN}:
        return None
    spelling, nats = Spelling(vocabulary.words), 0.0
    pairs = iter(corpus.outside.items())
    while some := list(islice(pairs, SPELLED)):  # there may be more words than memory is for
        words, times = zip(*some, strict=True)
        nats += float(spelling.nats(words) @ np.array(times, np.float64))
    return nats


def evaluate(
    model: LanguageModel,
    batches: Batches,
    corpus: Corpus,
    counts: Counts,
    stop: Callable[[], object] = lambda: None,
    watch: Watch | None = None,
) -> Evaluation | None:
    """Read the whole text once and sum -ln P of each of its positions, in float64.

    The result does not depend on how the text is cut into windows, nor on how many sentences run side by side.
    counts: of this text, from `count`; they are the same for every model with this vocabulary.
    `stop` is asked between windows; None where it says something true. `watch` is told how many words are done.
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
    """What the unknown words of a batch have of the losses of its real positions, nats."""
    positions = batch.positions.reshape(-1) if batch.mask is None else batch.positions[batch.mask]
    return float(losses[_among(positions, corpus.oov_positions)].sum(dtype=np.float64))


def _among(positions: npt.NDArray[np.intp], chosen: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
    """Which of these positions are among the chosen ones, which are sorted and may stand on a disk."""
    # Of one type, or the chosen ones would all be copied.
    positions = positions.astype(chosen.dtype, copy=False)
    at = np.searchsorted(chosen, positions)
    found = at < len(chosen)
    found[found] = chosen[at[found]] == positions[found]
    return found


def loss_afresh(model: LanguageModel, batch: Batch) -> float:
    """The mean loss of one batch, in nats a word, read from a state of zeros."""
    losses, _ = model.score(batch, model.zero_state(batch.inputs.shape[1]))
    return float(losses.mean(dtype=np.float64))
