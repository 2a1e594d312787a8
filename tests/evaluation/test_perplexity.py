import math
from dataclasses import replace

import pytest

from rnncli.evaluation.perplexity import FIGURES, Evaluation, perplexity

FOUND = Evaluation(
    tokens=8,
    ends=True,
    oov=2,
    vocabulary=50,
    characters=32,
    nll_spelling=16 * math.log(2),
    nll=8 * math.log(4),
    nll_oov=2 * math.log(4),
)


def test_figures():
    assert FOUND.cross_entropy == pytest.approx(math.log(4))
    assert FOUND.perplexity == pytest.approx(4)
    assert FOUND.perplexity_excluding_oov == pytest.approx(4)
    assert FOUND.perplexity_with_spelling == pytest.approx(16)  # two more bits for each of the eight
    assert FOUND.bits_per_word == pytest.approx(2)
    assert FOUND.bits_per_word_with_spelling == pytest.approx(4)
    assert FOUND.bits_per_character == pytest.approx(0.5)
    assert FOUND.bits_per_character_with_spelling == pytest.approx(1)
    assert FOUND.incomparable is None
    assert FOUND.figures().keys() == set(FIGURES)
    assert FOUND.figures()["perplexity_with_spelling"] == FOUND.perplexity_with_spelling


def test_a_text_of_unknown_words_only():
    cheap = replace(FOUND, nll_oov=math.log(4))
    assert cheap.perplexity_excluding_oov == pytest.approx(4 ** (7 / 6))  # six words share the rest of the loss
    assert math.isnan(replace(FOUND, oov=8).perplexity_excluding_oov)
    assert math.isnan(replace(FOUND, oov=FOUND.tokens).perplexity_excluding_oov)


def test_a_vocabulary_without_words_to_train_spelling_on():
    found = replace(FOUND, nll_spelling=None)
    assert found.perplexity == FOUND.perplexity
    assert found.perplexity_with_spelling is None
    assert found.bits_per_word_with_spelling is None
    assert found.bits_per_character_with_spelling is None
    assert "the 2 unknown words cannot be spelled" in found.incomparable
    assert "do not compare this perplexity" in found.incomparable


def test_perplexity():
    assert (perplexity(0.0), perplexity(1e9), perplexity(math.inf)) == (1.0, math.inf, math.inf)
    assert math.isnan(perplexity(math.nan)) or perplexity(math.nan) == math.inf
    huge = replace(FOUND, nll_spelling=1e6)
    assert huge.perplexity_with_spelling == math.inf
    assert huge.bits_per_word_with_spelling == pytest.approx((1e6 / 8 + math.log(4)) / math.log(2))
