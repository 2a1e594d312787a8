from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncli.errors import ConfigError, TextError, WriteError
from rnncli.text.tokenize import Tokenizer
from rnncli.text.vocabulary import END, UNKNOWN, Rules, Vocabulary, build, write_words

WHITESPACE = Tokenizer("whitespace", lowercase=False)
TEXT = [*"bbbbaaaccd", UNKNOWN, UNKNOWN]


def build_from(tokens, end_count=1, tokenizer=WHITESPACE, **rules):
    counter = Counter(tokens)
    return build(counter, end_count, Rules(**rules), tokenizer)


def as_pairs(vocabulary):
    return list(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True))


def test_order_is_by_frequency_then_word():
    assert as_pairs(build_from(["c", "a", "é", "B"], end_count=1)) == [(END, 1), ("B", 1), ("a", 1), ("c", 1), ("é", 1)]
    assert as_pairs(build_from(["c", "c", "a"], end_count=0)) == [("c", 2), ("a", 1), (END, 0)]


def test_dropped_words_count_as_unknown():
    # d and one c less: 2 literal <unk> + 1 (d) = 3, which ties with a and comes before it.
    assert as_pairs(build_from(TEXT, min_count=2)) == [("b", 4), (UNKNOWN, 3), ("a", 3), ("c", 2), (END, 1)]


def test_max_size_includes_end_and_unk():
    assert as_pairs(build_from(TEXT, max_size=4)) == [(UNKNOWN, 5), ("b", 4), ("a", 3), (END, 1)]
    assert len(build_from(TEXT, max_size=3)) == 3


@pytest.mark.parametrize(
    ("tokens", "rules", "member"),
    [
        (["a"], {}, False),
        (["a"], {"unknown": False}, False),
        (["a"], {"unknown": True}, True),
        (["a"], {"max_size": 100}, True),
        (["a", "a"], {"min_count": 2}, True),
        (["a", UNKNOWN], {}, True),
        (["a", UNKNOWN], {"unknown": False}, True),
    ],
)
def test_unk_is_included_if_needed(tokens, rules, member):
    vocabulary = build_from(tokens, **rules)
    assert (UNKNOWN in vocabulary) == member
    assert (vocabulary.unknown_id is not None) == member


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1), st.integers(1, 3), st.none() | st.integers(3, 9))
def test_against_a_counter(tokens, min_count, max_size):
    counter = Counter(tokens)
    if max(counter.values()) < min_count:
        with pytest.raises(TextError, match="min_count"):
            build_from(tokens, min_count=min_count)
        return
    vocabulary = build_from(tokens, 5, min_count=min_count, max_size=max_size)
    best = sorted((w for w in counter if counter[w] >= min_count), key=lambda w: (-counter[w], w))
    best = best[: None if max_size is None else max_size - 2]
    encoded = Counter(t if t in best else UNKNOWN for t in tokens) + Counter({END: 5})
    assert set(best) == set(vocabulary.words) - {END, UNKNOWN}
    assert {w: encoded[w] for w in vocabulary.words} == dict(as_pairs(vocabulary))
    assert as_pairs(vocabulary) == sorted(as_pairs(vocabulary), key=lambda pair: (-pair[1], pair[0]))


def test_impossible_rules():
    with pytest.raises(ConfigError, match="max_size is 2"):
        Rules(max_size=2)
    with pytest.raises(ConfigError, match="leave out"):
        Rules(min_count=2, file="words.txt")


def test_file_lists_the_words(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("zebra\n a \n\na\nb")
    vocabulary = build_from(["b", "a", "b"], end_count=1, file=path)
    assert as_pairs(vocabulary) == [("b", 2), (END, 1), ("a", 1), ("zebra", 0)]
    vocabulary = build_from(["b", "c", "d"], end_count=1, file=path)
    assert as_pairs(vocabulary) == [(UNKNOWN, 2), (END, 1), ("b", 1), ("a", 0), ("zebra", 0)]


def test_file_that_lacks_words_needs_unknown(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("b\na\n")
    assert UNKNOWN not in build_from(["b", "a"], file=path, unknown=False)
    # A literal <unk> in the text is in the vocabulary.
    vocabulary = build_from(["b", UNKNOWN], file=path, unknown=False)
    assert as_pairs(vocabulary) == [(END, 1), (UNKNOWN, 1), ("b", 1), ("a", 0)]
    remedy = r"vocabulary\.unknown: false .*; add the missing words to the list, or leave out vocabulary\.unknown$"
    with pytest.raises(
        TextError, match=rf"words\.txt: the word 'c' of the training text is not in the list .*{remedy}"
    ):
        build_from(["b", "c", UNKNOWN], file=path, unknown=False)
    with pytest.raises(TextError, match=rf"the word 'd' .* not in the list \(missing in all: 3\), .*{remedy}"):
        build_from([*"aaaaceeddd"], file=path, unknown=False)
    with pytest.raises(TextError, match="the word 'c' "):  # of equal frequency, the first in `str` order
        build_from([*"adceecd"], file=path, unknown=False)
    path.write_text("b\na\n<unk>\n")
    with pytest.raises(TextError, match="the word 'c' "):
        build_from(["b", "c"], file=path, unknown=False)


def test_file_is_tokenized_like_the_texts(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("The\nthe\n<unk>\n<end>\n")
    vocabulary = build_from(["the"], tokenizer=Tokenizer("words", lowercase=True), file=path)
    assert set(vocabulary.words) == {"the", UNKNOWN, END}


def test_file_is_normalized_like_the_texts(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("cafe\u0301\n")
    vocabulary = build_from(["café"], tokenizer=Tokenizer("words", lowercase=False, normalize="nfc"), file=path)
    assert set(vocabulary.words) == {"café", END}


@pytest.mark.parametrize(
    ("content", "message"),
    [("a\nnew york\n", r"words.txt:2: 'new york' is 2 tokens"), ("\n<unk>\n", "no word"), ("a\n\0", ":2: a NUL byte")],
)
def test_a_file_that_is_not_a_word_list(tmp_path, content, message):
    path = tmp_path / "words.txt"
    path.write_text(content)
    with pytest.raises(TextError, match=message):
        build_from(["a"], file=path)


def test_encode_and_decode():
    vocabulary = Vocabulary(("the", END, UNKNOWN))
    ids = vocabulary.encode(["the", "cat", "<unk>"])
    assert (ids.tolist(), ids.dtype) == ([0, 2, 2], np.intp)
    assert vocabulary.decode(ids) == ["the", "<unk>", "<unk>"]
    assert vocabulary.encode([]).shape == (0,)
    with pytest.raises(TextError, match=r"^seed: a literal <end>"):
        vocabulary.encode(["the", END], "seed")


def test_encode_without_unknown_suggests():
    vocabulary = Vocabulary((END, "mango", "banana", "yellow"))
    with pytest.raises(
        TextError, match=r"^f:3: the word 'bananna' .*nearest known: banana; .*vocabulary.unknown: true"
    ):
        vocabulary.encode(["mango", "bananna"], "f:3")
    with pytest.raises(
        TextError,
        match="no <unk>; no known word is similar; the most frequent ones are mango, banana, yellow; to accept",
    ):
        vocabulary.encode(["xxxxxxxxxx"])


def test_words_that_look_alike_are_near_and_told_apart():
    vocabulary = Vocabulary((END, "eb", "é", "ea", "\u200d"))
    assert vocabulary.nearest("e\u0301", 1) == ["é"]
    assert vocabulary.nearest("é", 1) == []
    with pytest.raises(TextError, match=r"^the word 'e\\u0301' is not .* nearest known: \\xe9; "):
        vocabulary.encode(["e\u0301"])
    with pytest.raises(TextError, match=r"^the word '\\ufe0f' is not .* nearest known: \\u200d; "):
        vocabulary.encode(["\ufe0f"])


def test_long_words_are_shortened():
    long = "\u200b" * 100
    for vocabulary in (Vocabulary((END, f"{long}b")), Vocabulary((END, "\x1b" * 100))):
        with pytest.raises(TextError) as error:
            vocabulary.encode([f"{long}a"])
        assert "the word '" + r"\u200b" * 10 + "…' is not" in str(error.value)
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 350


def test_a_long_word_that_is_not_in_the_list(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("a\n")
    with pytest.raises(TextError, match=r"the word 'b{59}…' of the training text is not in the list"):
        build_from(["a", "b" * 999], file=path, unknown=False)


def test_nearest_leaves_out_end_and_unk():
    assert Vocabulary((END, UNKNOWN, "ended")).nearest("<ended>") == ["ended"]


@pytest.mark.parametrize("words", [("a",), (END, "a", "a"), (END, ""), (END, "a\nb")])
def test_words_that_cannot_be_a_vocabulary(words):
    with pytest.raises(ValueError, match="vocabulary"):
        Vocabulary(words)


def test_words_are_written_in_the_order_of_their_ids(tmp_path):
    path = tmp_path / "vocabulary.txt"
    words = ("\ufeff", " ", "\r", END, "\x85", "\u2028", "é", "\x0b", "\0")
    write_words(Vocabulary(words), path)
    assert path.read_bytes().decode().split("\n") == [*words, ""]
    with pytest.raises(WriteError, match="cannot write"):
        write_words(Vocabulary((END,)), tmp_path)
