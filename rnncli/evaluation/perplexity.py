"""Perplexity and related figures, with the counts they are based on."""

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
class TokenCounts:
    """Counts of a text, which do not depend on the model.

    tokens: predicted positions, including `<end>` and unknown words.
    ends: whether lines end in `<end>`, which is then predicted and counted.
    oov: tokens outside the vocabulary, read as `<unk>`; a literal `<unk>` is not counted.
    vocabulary: number of words in the vocabulary.
    characters: of the text, with one for each line end.
    nll_spelling: -ln P, in nats, of spelling all unknown words with a character model (`rnncli.text.spelling`); None
    if unknown words exist and the vocabulary has no words to train the character model on.
    """

    tokens: int
    ends: bool
    oov: int
    vocabulary: int
    characters: int
    nll_spelling: float | None


@dataclass(frozen=True)
class Evaluation(TokenCounts):
    """The result of a model on a text.

    Figures of models with different vocabularies are comparable only open-vocabulary (unknown words spelled by a
    character model: `..._with_spelling`) and over the same tokens of the same text. If an unknown word costs only its
    `<unk>`, a smaller vocabulary gives a lower perplexity.

    nll: nats, over all tokens. nll_oov: nats, of the `<unk>` of unknown words.
    """

    nll: float
    nll_oov: float

    @property
    def cross_entropy(self) -> float:
        """Nats per token."""
        return self.nll / self.tokens

    @property
    def perplexity(self) -> float:
        return perplexity(self.cross_entropy)

    @property
    def perplexity_excluding_oov(self) -> float:
        """Over the tokens in the vocabulary; unknown words are read, but not counted. NaN without any known token."""
        known = self.tokens - self.oov
        return perplexity((self.nll - self.nll_oov) / known) if known else math.nan

    @property
    def perplexity_with_spelling(self) -> float | None:
        """Open-vocabulary: over all tokens, unknown words spelled by a character model; None without `nll_spelling`."""
        return None if self.nll_spelling is None else perplexity((self.nll + self.nll_spelling) / self.tokens)

    @property
    def bits_per_word(self) -> float:
        """Bits per token."""
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
        """Why no figure is comparable between vocabularies; None if the figures with spelling are."""
        if self.nll_spelling is not None:
            return None
        return (
            f"the {self.oov:,} unknown words cannot be spelled, as the vocabulary has no words to train a character "
            "model on; do not compare this perplexity with that of another vocabulary"
        )

    def figures(self) -> dict[str, Any]:
        """All figures by name, as in JSON output."""
        return {name: getattr(self, name) for name in FIGURES}


def perplexity(nats: float) -> float:
    """exp(nats per token); infinity instead of an overflow."""
    return math.exp(nats) if nats < 709 else math.inf
