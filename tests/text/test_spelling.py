import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.plain_spelling import BEGIN, END, OUTCOMES, PlainSpelling

from rnncli.text import spelling
from rnncli.text.spelling import Spelling

WORDS = ["banana", "ban", "an", "a", "nab", "bandana", "über", "漢字", "\U0001f34c"]


def plain_nats(words, spelled):
    model = PlainSpelling(words)
    probabilities = [model.probability(word) for word in spelled]
    return [math.log(p.denominator) - math.log(p.numerator) for p in probabilities]


def test_against_fractions():
    spelled = [
        *WORDS,
        "",
        "b",
        "ananas",
        "bananabanana",
        "xban",
        "banx",
        "ü",
        "\U0010ffff",
        "\0",
        "<unk>",
        "a b",
        "nnn",
    ]
    found = Spelling([*WORDS[:3], "<end>", *WORDS[3:], "<unk>"]).nats(spelled)
    assert found.dtype == np.float64
    assert found == pytest.approx(plain_nats(WORDS, spelled), rel=1e-13)


letters = st.text("abc", max_size=8)


@given(st.lists(letters.filter(bool), min_size=1, max_size=12, unique=True), st.lists(letters, max_size=8))
def test_any_words_against_fractions(words, spelled):
    assert Spelling(words).nats(spelled) == pytest.approx(plain_nats(words, spelled), rel=1e-12)


def test_the_probabilities_of_the_next_character_sum_to_one():
    model = PlainSpelling(WORDS)
    seen = {symbol for counts in model.after.values() for symbol in counts}
    contexts = [*model.after, (BEGIN, "x"), ("x", "a", "n"), ("x",)]
    for context in contexts:
        others = (OUTCOMES - len(seen)) * model.next("any other", context)
        assert sum(model.next(symbol, context) for symbol in seen) + others == 1


def test_the_probabilities_of_all_strings_sum_to_one(monkeypatch):
    """Over an alphabet of two characters: all words up to a length, and all beginnings of longer ones."""
    words, longest, outcomes = ["ab", "ba", "b", "abba"], 7, 3
    monkeypatch.setattr(spelling, "OUTCOMES", outcomes)
    shorter = ["".join(string) for n in range(longest) for string in product("ab", repeat=n)]
    model, total = PlainSpelling(words), np.exp(-Spelling(words).nats(shorter)).sum()
    rest = Fraction(0)
    for string in product("ab", repeat=longest):
        symbols, p = [BEGIN, *string], Fraction(1)
        for i in range(1, len(symbols)):
            p *= model.next(symbols[i], tuple(symbols[max(0, i - 4) : i]), outcomes)
        rest += p
    assert 0 < rest < 0.1
    assert total + float(rest) == pytest.approx(1, abs=1e-12)


def test_a_tiny_vocabulary_by_hand():
    """One word of one character: `a` follows the beginning, the end follows `a`; the unigrams are {a: 1, end: 1}."""
    below = (1 + Fraction(2, OUTCOMES)) / (2 + 2)
    one = (1 + below) / (1 + 1)  # after the beginning: no longer context exists
    after_a = (1 + (1 + below) / 2) / 2  # after `a`, and after the beginning and `a`
    assert Spelling(["a"]).nats(["a"])[0] == pytest.approx(-math.log(one * after_a), rel=1e-14)
    assert PlainSpelling(["a"]).next(END, (BEGIN, "a")) == after_a


def test_likely_words_cost_less():
    model = Spelling(WORDS)
    known, strange, unseen = model.nats(["banana", "aabnnb", "zzzzzz"])
    assert known < strange < unseen
    assert unseen > 5 * math.log(OUTCOMES)


def test_no_word_to_learn_from():
    for words in ([], ["<end>", "<unk>"]):
        with pytest.raises(ValueError, match="no word beside <end> and <unk> to learn spelling from"):
            Spelling(words)


def test_no_word_to_spell():
    assert Spelling(WORDS).nats([]).shape == (0,)


def test_the_first_words_are_learnt_up_to_a_bound(monkeypatch):
    spelled = ["banana", "cocoa", "b"]
    monkeypatch.setattr(spelling, "LEARNT", len("banana") + len("ban") + 2)
    assert Spelling(["banana", "ban", "cocoa"]).nats(spelled) == pytest.approx(plain_nats(["banana", "ban"], spelled))
    monkeypatch.setattr(spelling, "LEARNT", 1)  # at least one word is always used
    assert Spelling(["banana", "ban"]).nats(spelled) == pytest.approx(plain_nats(["banana"], spelled))


def test_words_are_spelled_one_by_one(monkeypatch):
    model = Spelling(WORDS)
    together = model.nats(WORDS)
    monkeypatch.setattr(spelling, "CHUNK", 2)
    assert np.array_equal(model.nats(WORDS), together)
    assert [model.nats([word])[0] for word in WORDS] == together.tolist()
