import gzip
import hashlib
import io
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncli.errors import TextError
from rnncli.text.corpus import Corpus, TextFormat, encode, prepare
from rnncli.text.tokenize import TOKENIZERS, Tokenizer
from rnncli.text.vocabulary import END, UNKNOWN, Rules

FRUIT = Path(__file__).parents[2] / "data" / "fruit.txt"
WHITESPACE = Tokenizer("whitespace", lowercase=False)
SENTENCES = TextFormat(WHITESPACE, "sentences", line_end=True)
LINES = TextFormat(WHITESPACE, "stream", line_end=True)
WRAPPED = TextFormat(WHITESPACE, "stream", line_end=False)

FORMATS = st.builds(
    TextFormat,
    st.builds(Tokenizer, st.sampled_from(sorted(TOKENIZERS)), st.booleans()),
    st.sampled_from(["sentences", "stream"]),
    st.booleans(),
)
WORDS = st.sampled_from(["a", "b", "B", "é", "don't", "1.5", "<unk>", ".", "\u2028", "\r", " ", "  "])
TEXTS = st.lists(st.lists(WORDS).map(" ".join), min_size=1, max_size=12).map("\n".join)


def file(text, name="text"):
    stream = io.BytesIO(text if isinstance(text, bytes) else text.encode())
    stream.name = name
    return stream


def texts_of(*arguments):
    texts = prepare(*arguments)
    return texts.vocabulary, texts.train, texts.valid


def tokens_by_hand(text, text_format):
    """The tokens of each line, `<end>` included: a list of lists."""
    *ended, rest = text.split("\n")
    lines = [line.removesuffix("\r") for line in ([*ended, rest] if rest else ended)]
    after = [END] if text_format.ends else [" "] if text_format.tokenizer.name == "characters" else []
    return [text_format.tokenizer.tokens(line) + after for line in lines]


def lines_of(corpus, vocabulary):
    starts = corpus.line_starts.tolist()
    return [vocabulary.decode(corpus.ids[a:b].tolist()) for a, b in itertools.pairwise(starts)]


def test_fruit():
    vocabulary, corpus, valid = texts_of([FRUIT], SENTENCES, Rules())
    assert valid is None
    assert vocabulary.words[:3] == (END, "color", "is")
    assert (len(vocabulary), corpus.tokens, corpus.lines) == (10, 15, 3)
    assert lines_of(corpus, vocabulary)[0] == ["mango", "is", "yellow", "color", END]
    assert corpus.characters == len(FRUIT.read_text())
    assert corpus.sha256 == hashlib.sha256(FRUIT.read_bytes()).hexdigest()
    assert corpus.ids.dtype == np.uint8


@given(TEXTS, FORMATS)
def test_ids_are_the_tokens(text, text_format):
    expected = tokens_by_hand(text, text_format)
    # The space after a line of characters is not a word of the text.
    if not any(line[: -1 if text_format.after_line else None] for line in expected):
        with pytest.raises(TextError, match=r"^text: no word in the text"):
            prepare([file(text)], text_format, Rules())
        return
    words = [word for line in expected for word in line]
    if set(words) <= {END, UNKNOWN}:
        return
    vocabulary, corpus, _ = texts_of([file(text)], text_format, Rules())
    assert lines_of(corpus, vocabulary) == expected
    count = Counter(words)
    count[END] += 0
    assert list(vocabulary.words) == sorted(count, key=lambda word: (-count[word], word))
    assert vocabulary.counts.tolist() == [count[word] for word in vocabulary.words]
    assert corpus.tokens == len(words)
    assert corpus.oov_positions.tolist() == []
    again = encode([file(text)], text_format, vocabulary)
    assert again.ids.tolist() == corpus.ids.tolist()
    assert again.sha256 == corpus.sha256


@given(st.binary(max_size=80) | TEXTS.map(str.encode), FORMATS, st.none() | st.sampled_from([0.1, 0.3, 0.5]))
def test_any_bytes_are_a_corpus_or_a_text_error(content, text_format, valid):
    try:
        vocabulary, train, validation = texts_of([file(content)], text_format, Rules(unknown=True), valid)
    except TextError:
        return
    total = train.characters + (validation.characters if validation else 0)
    text = content.decode().removeprefix("\ufeff")
    assert total == len(text.replace("\r\n", "\n").removesuffix("\r")) + (not text.endswith("\n"))
    assert train.ids.max() < len(vocabulary)


def test_modes():
    text = "a b\n\nc\n"
    for text_format, tokens in ((SENTENCES, "a b E E c E"), (LINES, "a b E E c E"), (WRAPPED, "a b c")):
        vocabulary, corpus, _ = texts_of([file(text)], text_format, Rules())
        assert vocabulary.decode(corpus.ids) == tokens.replace("E", END).split()
        assert (corpus.lines, corpus.characters) == (3, 7)
        assert vocabulary.counts[vocabulary.end_id] == tokens.count("E")
    letters = TextFormat(Tokenizer("characters", lowercase=False), "stream", line_end=False)
    vocabulary, corpus, _ = texts_of([file(text)], letters, Rules())
    assert "".join(vocabulary.decode(corpus.ids)) == "a b  c "
    with pytest.raises(ValueError, match="choose sentences or stream"):
        TextFormat(WHITESPACE, "lines", line_end=True)


def test_unknown_words_differ_from_literal_unk():
    vocabulary, train, valid = texts_of([file("a a <unk> b\n")], SENTENCES, Rules(min_count=2), [file("<unk> b c a\n")])
    assert lines_of(train, vocabulary) == [["a", "a", UNKNOWN, UNKNOWN, END]]
    assert train.oov_positions.tolist() == [3]
    assert valid.oov_positions.tolist() == [1, 2]
    assert lines_of(valid, vocabulary) == [[UNKNOWN, UNKNOWN, UNKNOWN, "a", END]]


def test_several_files_are_one_text(tmp_path):
    text = "a b\nc\nb b\n"
    (tmp_path / "1.txt").write_text("a b\nc\n")
    (tmp_path / "2.txt.gz").write_bytes(gzip.compress(b"b b\n"))
    vocabulary, corpus, _ = texts_of([tmp_path / "1.txt", str(tmp_path / "2.txt.gz")], SENTENCES, Rules())
    one_vocabulary, one, _ = texts_of([file(text)], SENTENCES, Rules())
    assert vocabulary == one_vocabulary
    assert corpus.ids.tolist() == one.ids.tolist()
    assert corpus.sha256 == one.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_vocabulary_file(tmp_path):
    (tmp_path / "words.txt").write_text("a\nb\nz\n")
    vocabulary, corpus, _ = texts_of([file("b b a c\n")], SENTENCES, Rules(file=tmp_path / "words.txt"))
    assert vocabulary.words == ("b", END, UNKNOWN, "a", "z")
    assert corpus.oov_positions.tolist() == [3]


def test_ids_take_the_smallest_type():
    for words, dtype in ((255, np.uint8), (256, np.uint16), (70_000, np.uint32)):
        text = " ".join(map(str, range(words)))
        vocabulary, corpus, _ = texts_of([file(text)], SENTENCES, Rules())
        assert corpus.ids.dtype == dtype
        assert vocabulary.decode(corpus.ids) == [*text.split(), END]


@pytest.mark.parametrize(
    ("fraction", "lines", "valid_lines"), [(0.1, 30, 3), (0.29, 100, 29), (0.1, 19, 1), (0.5, 3, 1)]
)
def test_fraction_takes_the_last_lines(fraction, lines, valid_lines):
    text = "".join(f"w{i // 2}\n" for i in range(lines))
    vocabulary, train, valid = texts_of([file(text, "t")], SENTENCES, Rules(unknown=True), fraction)
    assert (train.lines, valid.lines) == (lines - valid_lines, valid_lines)
    assert set(vocabulary.words) == {f"w{i // 2}" for i in range(lines - valid_lines)} | {END, UNKNOWN}
    assert vocabulary.counts[vocabulary.end_id] == lines - valid_lines
    assert lines_of(valid, vocabulary) == [
        [word if word in vocabulary else UNKNOWN, END] for word in text.split()[-valid_lines:]
    ]
    assert (train.tokens, valid.tokens) == (2 * (lines - valid_lines), 2 * valid_lines)
    assert train.characters + valid.characters == len(text)


def test_a_literal_unk_only_in_the_held_out_lines_is_not_in_the_vocabulary():
    with pytest.raises(TextError, match=r"^text:2: the word '<unk>' is not in the vocabulary"):
        prepare([file("a\n<unk>\n")], SENTENCES, Rules(), 0.5)


@pytest.mark.parametrize(
    ("text", "fraction", "message"),
    [
        ("a\nb\nc\n", 0.1, "^text: data.valid: 0.1 of 3 lines leaves no line to validate on; "),
        ("a\n", 1.0, "leaves no line to train on"),
        ("a\nb\n\n\n", 0.5, "^text:3: no word to validate on from here"),
        ("\n\na\nb\n", 0.5, "^text:1: no word to train on from here"),
    ],
)
def test_fraction_that_leaves_no_line_or_word(text, fraction, message):
    with pytest.raises(TextError, match=message):
        prepare([file(text)], SENTENCES, Rules(unknown=True), fraction)


def test_the_error_for_an_unknown_word_names_its_place():
    message = r"^valid.txt:3: the word 'bannana' .* no <unk>; the nearest known: banana; .*vocabulary.min_count: 2"
    with pytest.raises(TextError, match=message):
        prepare([FRUIT], SENTENCES, Rules(), [file("mango is\n\nbannana is\n", "valid.txt")])
    vocabulary, _, _ = texts_of([FRUIT], SENTENCES, Rules())
    with pytest.raises(TextError, match=r"^b:2: the word 'kiwi'"):
        encode([file("mango\n", "a"), file("is\npink kiwi\n", "b")], SENTENCES, vocabulary)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_literal_end_is_refused(name):
    text_format = TextFormat(Tokenizer(name, lowercase=True), "stream", line_end=True)
    text = "a <unk>\n" * 9000 + "b <END> c\n"
    with pytest.raises(TextError, match=r"^t:9001: a literal <end> in the text; .*remove it"):
        prepare([file(text, "t")], text_format, Rules())


@pytest.mark.parametrize("text", ["", "\n\n", " \t\n"])
def test_no_word_in_one_of_the_texts(text):
    with pytest.raises(TextError, match=r"^empty\.txt: no word in the text; "):
        prepare([FRUIT, file(text, "empty.txt")], SENTENCES, Rules())


def test_longer_than_a_block():
    text = "".join(f"{'x' * (i % 7)} y{i % 91}\n" for i in range(20_000))
    vocabulary, corpus, _ = texts_of([file(text)], SENTENCES, Rules())
    assert isinstance(corpus, Corpus)
    assert [word for line in lines_of(corpus, vocabulary) for word in line] == text.replace("\n", " <end> ").split()
    assert corpus.characters == len(text)
