"""Perplexity, with everything said that it was counted over."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rnncli.engines.architecture import State
from rnncli.model import LanguageModel
from rnncli.text.batches import Batches
from rnncli.text.corpus import Corpus


@dataclass(frozen=True)
class Evaluation:
    """What a model makes of a text. Every predicted position counts, `<end>` and unknown words included."""

    tokens: int
    oov: int
    nll: float  # nats, over all tokens
    nll_oov: float  # nats, over the tokens that are not in the vocabulary
    characters: int  # of the text, one for each line end

    @property
    def cross_entropy(self) -> float:
        """Nats a token."""
        return self.nll / self.tokens

    @property
    def perplexity(self) -> float:
        return perplexity(self.cross_entropy)

    @property
    def perplexity_excluding_oov(self) -> float:
        """Over the tokens that are in the vocabulary; unknown words are read, but not counted. NaN if none is."""
        known = self.tokens - self.oov
        return perplexity((self.nll - self.nll_oov) / known) if known else math.nan

    @property
    def bits_per_word(self) -> float:
        """Bits a token."""
        return self.cross_entropy / math.log(2)

    @property
    def bits_per_character(self) -> float:
        return self.nll / self.characters / math.log(2)


def perplexity(nats: float) -> float:
    """exp(nats a token); infinity rather than an overflow."""
    return math.exp(nats) if nats < 709 else math.inf


def evaluate(
    model: LanguageModel, batches: Batches, corpus: Corpus, stop: Callable[[], object] = lambda: None
) -> Evaluation | None:
    """Read the whole text once and sum -ln P of each of its positions, in float64.

    The result does not depend on how the text is cut into windows, nor on how many sentences run side by side.
    `stop` is asked between windows; None where it says something true.
    """
    nll, nll_oov, tokens = 0.0, 0.0, 0
    outside = np.zeros(len(corpus.ids), bool)
    outside[corpus.oov_positions] = True
    state: State = ()
    for batch in batches.epoch(0):
        if stop():
            return None
        losses, state = model.score(batch, model.entering(batch, state))
        positions = batch.positions if batch.mask is None else batch.positions[batch.mask]
        nll += float(losses.sum(dtype=np.float64))
        nll_oov += float(losses[outside[positions.reshape(-1)]].sum(dtype=np.float64))
        tokens += batch.words
    return Evaluation(tokens, len(corpus.oov_positions), nll, nll_oov, corpus.characters)
