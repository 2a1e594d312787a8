"""Perplexity and the figures beside it, with everything said that they were counted over."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

FIGURES = (
    *("tokens", "ends", "oov", "vocabulary", "cross_entropy", "perplexity", "perplexity_excluding_oov"),
    *("perplexity_with_spelling", "bits_per_word", "bits_per_word_with_spelling"),
    *("bits_per_character", "bits_per_character_with_spelling"),
)


@dataclass(frozen=True)
class Counts:
    """What the figures of a text are counted over, whatever the model: every predicted position.

    tokens: predicted positions, `<end>` and unknown words included.
    ends: whether lines end in `<end>`, which is then predicted and counted.
    oov: the tokens outside the vocabulary, read as `<unk>`; a literal `<unk>` is none.
    vocabulary: how many words it has.
    characters: of the text, one for each line end.
    nll_spelling: nats, what the spelling of the unknown words costs in all (`rnncli.text.spelling`); None where there
    are unknown words, and no word that their spelling could be learnt from.
    """

    tokens: int
    ends: bool
    oov: int
    vocabulary: int
    characters: int
    nll_spelling: float | None


@dataclass(frozen=True)
class Evaluation(Counts):
    """What a model makes of a text.

    Only the figures with spelling may be compared with those of another vocabulary, and only those counted over the
    same tokens of the same text: where unknown words cost nothing but their `<unk>`, the smaller a vocabulary, the
    lower the perplexity.

    nll: nats, over all tokens. nll_oov: nats, of the `<unk>` of the unknown words.
    """

    nll: float
    nll_oov: float

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
    def perplexity_with_spelling(self) -> float | None:
        """Over all tokens, the spelling of the unknown words paid; None where that cannot be had."""
        return None if self.nll_spelling is None else perplexity((self.nll + self.nll_spelling) / self.tokens)

    @property
    def bits_per_word(self) -> float:
        """Bits a token."""
        return self.cross_entropy / math.log(2)

    @property
    def bits_per_word_with_spelling(self) -> float | None:
        return None if self.nll_spelling is None else (self.nll + self.nll_spelling) / self.tokens / math.log(2)

    @property
    def bits_per_character(self) -> float:
        return self.nll / self.characters / math.log(2)

    @property
    def bits_per_character_with_spelling(self) -> float | None:
        return None if self.nll_spelling is None else (self.nll + self.nll_spelling) / self.characters / math.log(2)

    @property
    def incomparable(self) -> str | None:
        """Why none of the figures may be compared with those of another vocabulary; None where some may."""
        if self.nll_spelling is not None:
            return None
        return (
            f"the spelling of the {self.oov:,} unknown words cannot be paid for, as the vocabulary has no word to "
            "learn it from; do not compare this perplexity with that of another vocabulary"
        )

    def figures(self) -> dict[str, Any]:
        """Every figure by its name: what JSON has of an evaluation."""
        return {name: getattr(self, name) for name in FIGURES}


def perplexity(nats: float) -> float:
    """exp(nats a token); infinity rather than an overflow."""
    return math.exp(nats) if nats < 709 else math.inf
