"""The size of the blocks, the number of threads and the place of temporary data do not change how a text is read."""

import gc
import hashlib
import io
import math
import os
import time
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.text_facts import all_of, facts

from rnncli.errors import TextError
from rnncli.text import encode as encode_module
from rnncli.text.corpus import TextFormat, encode, prepare
from rnncli.text.encode import LINE_END, read_text
from rnncli.text.lines import validate
from rnncli.text.tokenize import END, TOKENIZERS, Tokenizer
from rnncli.text.vocabulary import Rules

FORMATS = st.builds(
    TextFormat,
    st.builds(Tokenizer, st.sampled_from(sorted(TOKENIZERS)), st.booleans()),
    st.sampled_from(["sentences", "stream"]),
    st.booleans(),
)
SENTENCES = TextFormat(Tokenizer("whitespace", lowercase=False), "sentences", line_end=True)
WORDS = ["a", "b", "B", "é", "don't", "1.5", "<unk>", ".", "\u2028", "\r", " ", "  ", "longer", "漢", "İ", "ΣΑΣ"]
LINES = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)
TEXTS = st.lists(LINES, min_size=1, max_size=12).map("\n".join)
RULES = st.sampled_from([Rules(), Rules(unknown=True), Rules(min_count=2), Rules(max_size=4)])


@contextmanager
def sizes(chunk=1 << 18, longest=1 << 20, piece=1 << 20, in_memory=1 << 25, blocks=8, threads=1):
    with ExitStack() as stack:
        for where, values in (
            ("lines", {"CHUNK": chunk, "LONGEST_HELD": longest}),
            ("spool", {"PIECE": piece, "LARGEST_IN_MEMORY": in_memory}),
            ("encode", {"BLOCKS": blocks}),
            ("word_index", {"COUNTED": piece}),
        ):
            stack.enter_context(mock.patch.multiple(f"rnncli.text.{where}", **values))
        stack.enter_context(mock.patch.dict(os.environ, OPENBLAS_NUM_THREADS=str(threads)))
        yield


SIZES = st.fixed_dictionaries(
    {
        "chunk": st.integers(1, 40),
        "longest": st.integers(12, 40),
        "piece": st.integers(1, 9),
        "in_memory": st.sampled_from([0, 20, 1 << 25]),
        "blocks": st.integers(1, 3),
        "threads": st.sampled_from([1, 2, 4]),
    }
)


def files(texts):
    streams = [io.BytesIO(text.encode()) for text in texts]
    for number, stream in enumerate(streams, 1):
        stream.name = f"text{number}"
    return streams


def prepared(train, text_format, rules, valid, test):
    """All facts of the texts, or the error message."""
    validation = files(valid) if isinstance(valid, list) else valid
    try:
        return all_of(prepare(files(train), text_format, rules, validation, files(test)))
    except TextError as error:
        return str(error)


@given(
    st.lists(TEXTS, min_size=1, max_size=3),
    FORMATS,
    RULES,
    st.none() | st.sampled_from([0.1, 0.3, 0.5]) | st.lists(TEXTS, min_size=1, max_size=2),
    st.lists(TEXTS, min_size=1, max_size=2),
    SIZES,
)
def test_sizes_and_threads_change_nothing(train, text_format, rules, valid, test, changed):
    whole = prepared(train, text_format, rules, valid, test)
    with sizes(**changed):
        assert prepared(train, text_format, rules, valid, test) == whole


def test_threads_change_nothing_in_a_text_of_many_blocks():
    rng = np.random.default_rng(3)
    text = "\n".join(" ".join(f"{'x' * (n % 20)}{n}" for n in rng.zipf(1.3, 12) % 5000) for _ in range(3000))
    found = []
    for threads in (1, 2, 4):
        with sizes(chunk=500, threads=threads):
            found.append(all_of(prepare(files([text, text[:9999]]), SENTENCES, Rules(min_count=2), 0.1)))
    assert found[0] == found[1] == found[2]


@given(st.lists(TEXTS, min_size=1, max_size=3), FORMATS, RULES, st.integers(1, 9), SIZES)
def test_a_fraction_is_the_same_as_two_files(texts, text_format, rules, tenths, changed):
    text = "".join(each.removesuffix("\n") + "\n" for each in texts)
    lines = [f"{line}\n" for line in text.split("\n")[:-1]]
    valid_lines = len(lines) * tenths // 10
    try:
        two = prepare(
            files(["".join(lines[: len(lines) - valid_lines])]),
            text_format,
            rules,
            files(["".join(lines[len(lines) - valid_lines :])]),
        )
    except TextError:
        return
    with sizes(**changed):
        one = prepare(files([text]), text_format, rules, tenths / 10)
    assert (one.vocabulary, one.vocabulary.counts.tolist()) == (two.vocabulary, two.vocabulary.counts.tolist())
    for part in ("train", "valid"):
        assert facts(one.named()[part])[:-2] == facts(two.named()[part])[:-2]
    assert one.valid.files == (("text1", valid_lines - len(lines)),)
    assert one.valid.sha256 == one.train.sha256 == hashlib.sha256(text.encode()).hexdigest()


@given(st.lists(TEXTS, min_size=2, max_size=3), FORMATS, SIZES, st.data())
def test_the_place_of_an_unknown_word(texts, text_format, changed, data):
    chosen = data.draw(st.integers(0, len(texts) - 1))
    texts = [f"a {text}".replace("<unk>", "u") for text in texts]
    vocabulary = prepare(files(["\n".join([*texts, " "])]), text_format, Rules()).vocabulary
    lines = texts[chosen].split("\n")
    line = data.draw(st.integers(0, len(lines) - 1))
    place = data.draw(st.sampled_from(["Q {}", "{} Q"]))
    lines[line] = place.format(lines[line].removesuffix("\r"))
    texts[chosen] = "\n".join(lines)
    word = "q" if text_format.tokenizer.lowercase else "Q"
    with (
        sizes(**changed),
        pytest.raises(TextError, match=rf"^text{chosen + 1}:{line + 1}: the word '{word}' is not in the vocabulary"),
    ):
        encode(files(texts), text_format, vocabulary)


@given(st.lists(st.text(st.sampled_from("aB \n\r'é\ufeff\u2028\x85漢.")), max_size=4).map("\n".join), FORMATS)
def test_a_text_in_memory_is_cut_as_a_file(text, text_format):
    try:
        read = read_text(files([text]), text_format)
    except TextError as error:
        assert "no word" in str(error)  # noqa: PT017
        return
    in_file = [read.words[i] for i in read.ids.array().tolist()]
    lines = text_format.lines(text, "the seed")
    if text and not text.endswith("\n"):  # a file has an end after its last line, too
        open_, lines = lines, text_format.lines(f"{text}\n", "the seed")
        assert open_ == (lines[:-1] if text_format.ends else [lines[0][: len(open_[0])]])
    if text_format.ends:
        assert lines.pop() == []
        assert in_file == [token for line in lines for token in [*line, LINE_END]]
    else:
        assert lines == [in_file]


@pytest.mark.parametrize("text", ["", "\ufeff", "\r"])
def test_an_empty_text_in_memory_is_one_line(text):
    assert SENTENCES.lines(text, "the seed") == [[]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\0", "the seed:2: character 2 is a NUL; give plain text in UTF-8"),
        ("\ufeffé\udcff", "the seed: character 2 is not UTF-8; give plain text in UTF-8"),
        ("PK\x03\x04\ud800\n", "the seed:1: character 5 is not UTF-8; give plain text in UTF-8"),
    ],
)
def test_a_text_in_memory_that_no_file_could_have(text, message):
    with pytest.raises(TextError) as error:
        SENTENCES.lines(text, "the seed")
    assert str(error.value) == message


MARKED = st.lists(st.sampled_from(["a", "<end>", "a<end>", "<<end>", "<End>", "end>", " ", "é", "İ"]), max_size=4)


@given(st.lists(MARKED.map("".join), min_size=1, max_size=8), FORMATS, SIZES)
def test_a_literal_end_is_refused_where_it_is_a_token(lines, text_format, changed):
    lines = ["a", *lines]
    wrong = [number for number, line in enumerate(lines, 1) if END in text_format.tokenizer.tokens(line)]
    with sizes(**changed | {"longest": 1 << 20}):
        if wrong:
            with pytest.raises(TextError, match=rf"^text1:{wrong[0]}: a literal <end> in the text"):
                read_text(files(["\n".join(lines)]), text_format)
        else:
            read_text(files(["\n".join(lines)]), text_format)


ANY = st.text(st.characters(exclude_characters="\0", codec="utf-8") | st.sampled_from(" \n\r'é\u0301<"), max_size=60)


@given(st.lists(ANY, min_size=1, max_size=2), st.sampled_from(sorted(TOKENIZERS)), st.booleans(), SIZES)
def test_the_joined_tokens_are_the_text_without_its_white_space(texts, name, ends, changed):
    """Every character, except for a byte-order mark."""
    text_format = TextFormat(Tokenizer(name, lowercase=False), "stream", ends)
    with sizes(**changed | {"longest": 1 << 20}):
        try:
            found = read_text(files(texts), text_format)
        except TextError as error:
            assert "no word" in str(error) or END in str(error)  # noqa: PT017
            return
        ids = found.ids.array()
    texts = [text.removeprefix("\ufeff") for text in texts]
    lines = [line for text in texts for line in (text if text.endswith("\n") else f"{text}\n").split("\n")[:-1]]
    after = "\n" if ends else " " if name == "characters" else ""
    if name == "characters":
        expected = "".join(line.removesuffix("\r") + after for line in lines)
    else:
        expected = "".join("".join(line.split()) + after for line in lines)
    assert "".join(found.words[i] for i in ids.tolist()) == expected
    assert found.counts.tolist() == [ids.tolist().count(i) for i in range(len(found.words))]
    assert found.lines == len(lines)
    assert LINE_END not in found.words or ends
    found.close()


def test_the_first_of_several_errors_is_raised():
    """The earliest in the text, although the threads of later blocks are faster."""
    mistakes = [b"a <end>\n", b"a \xff\n", b"a\0\n", b"x" * 40 + b" \n", b"a <end>\n"]
    messages = ["text1:{}: a literal <end>", "text1:{}: not UTF-8", "text1:{}: a NUL byte", "text1:{}: no space"]

    def slowly(block, name, words):
        time.sleep(max(0, 0.02 - block.line / 1000))
        validate(block, name, words)

    for first in range(4):
        content = b"a b\n" * 5 + b"".join(mistakes[first:])
        stream = io.BytesIO(content)
        stream.name = "text1"
        with (
            sizes(chunk=4, longest=20, blocks=20, threads=4),
            mock.patch.object(encode_module, "validate", slowly),
            pytest.raises(TextError, match=f"^{messages[first].format(6)}"),
        ):
            read_text([stream], SENTENCES)


def test_an_error_is_raised_before_damage_that_follows_it(tmp_path):
    stream = mock.Mock(read=mock.Mock(side_effect=[b"a\nb <end>\nc", OSError(5, "Input/output error")]))
    stream.name = "text1"
    with pytest.raises(TextError, match=r"^text1:2: a literal <end>"):
        read_text([stream], SENTENCES)
    stream.read.side_effect = [b"a\nb\nc", OSError(5, "Input/output error")]
    with pytest.raises(TextError, match=r"^text1:3: cannot be read"):
        read_text([stream], SENTENCES)


@pytest.mark.parametrize("threads", [1, 4])
def test_an_unexpected_error_of_a_thread_is_raised_as_it_is(threads):
    with (
        sizes(chunk=4, threads=threads),
        mock.patch.object(encode_module, "cut", side_effect=MemoryError),
        pytest.raises(MemoryError),
    ):
        read_text(files(["a\n" * 100]), SENTENCES)


def test_temporary_files(tmp_path):
    text = read_text(files(["a b\n" * 10]), SENTENCES, tmp_path / "train")
    names = {"train.ids.tmp", "train.line_starts.tmp", "train.characters.tmp"}
    assert {path.name for path in tmp_path.iterdir()} == names
    text.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TextError):
        read_text(files(["a b\n" * 10, "\n"]), SENTENCES, tmp_path / "train")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        read_text(files(["a"]), SENTENCES, tmp_path / "no" / "train")


@pytest.mark.parametrize("valid", [None, 0.5])
def test_the_arrays_of_a_corpus_are_mapped(tmp_path, valid):
    with sizes(in_memory=0):
        texts = prepare(files(["a b c\n" * 10]), SENTENCES, Rules(min_count=2), valid, files(["a z\n"]))
        named = prepare(files(["a b c\n" * 10]), SENTENCES, Rules(min_count=2), valid, files(["a z\n"]), tmp_path)
    gc.collect()
    assert all_of(texts) == all_of(named)
    for corpus in (*texts.named().values(), *named.named().values()):
        for array in (corpus.ids, corpus.line_starts):
            assert isinstance(array.base, np.memmap)
            assert not array.flags.writeable
    arrays = {f"{name}.{array}" for name in named.named() for array in ("ids", "line_starts", "oov_positions")}
    assert {path.name for path in tmp_path.iterdir()} == arrays


def test_progress(tmp_path):
    paths = [tmp_path / name for name in ("1", "2")]
    for path in paths:
        path.write_text("a b\n" * 500)
    calls = []
    with sizes(chunk=100):
        read_text(paths, SENTENCES, watch=lambda *each: calls.append(each))
    assert {(activity, total) for activity, _, total in calls} == {("reading", 4000)}
    assert [done for _, done, _ in calls] == list(range(100, 4001, 100))


@given(st.floats(0.001, 0.999), st.integers(2, 300))
def test_a_fraction_is_the_decimal_as_written(fraction, lines):
    fraction = float(f"{fraction:.3f}")
    valid_lines = math.floor(Fraction(str(fraction)) * lines)
    if 0 < valid_lines < lines:
        texts = prepare(files(["a\n" * lines]), SENTENCES, Rules(), fraction)
        assert (texts.train.lines, texts.valid.lines) == (lines - valid_lines, valid_lines)


def test_the_hash_depends_on_where_a_file_ends(tmp_path):
    """Else a run could be resumed with the same bytes split into different lines."""
    contents = {"two files": [b"a b", b" c\n"], "one": [b"a b c\n"], "a mark between": [b"a b\n", b"\xef\xbb\xbfc\n"]}
    contents["the mark as a character"] = [b"".join(contents["a mark between"])]
    hashes = []
    for pieces in contents.values():
        texts = prepare(
            [io.BytesIO(piece) for piece in pieces],
            TextFormat(Tokenizer("whitespace", False), "sentences", True),
            Rules(),
        )
        hashes.append(texts.train.sha256)
    assert len(set(hashes)) == len(contents)
    ended, open_ = (
        prepare([io.BytesIO(text)], TextFormat(Tokenizer("whitespace", False), "sentences", True), Rules()).train
        for text in (b"a\nb\n", b"a\nb")
    )
    assert ended.sha256 == open_.sha256 == hashlib.sha256(b"a\nb\n").hexdigest()


def test_words_outside_the_vocabulary_are_sorted(monkeypatch):
    """Whichever thread met them first, because their costs are summed in this order."""
    monkeypatch.setattr("rnncli.text.lines.CHUNK", 32)
    text = b" ".join(b"w%d" % (i * 7919 % 1000) for i in range(1000)) + b"\n" + b"w1 w2\n" * 3
    found = prepare([io.BytesIO(text)], SENTENCES, Rules(max_size=4)).train.outside
    assert list(found) == sorted(f"w{i}" for i in range(1000) if i not in (1, 2))
