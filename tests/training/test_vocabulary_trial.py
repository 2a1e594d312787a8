"""The rows of `vocab` against counts by hand, and against training itself."""

import io
import os
from collections import Counter
from itertools import pairwise

import pytest

from rnncli.config import build, config, corpora
from rnncli.errors import ConfigError, TextError
from rnncli.system import process
from rnncli.text.vocabulary import END, UNKNOWN
from rnncli.training import memory_forecast
from rnncli.training.vocabulary_trial import Candidates

TRAIN = "".join(f"{'a ' * (i % 5)}b c{i % 3} d{i % 7} e{i}\n" for i in range(60))
VALID = "a b c0 d9\nnew words here <unk>\n"


@pytest.fixture
def of(tmp_path):
    (tmp_path / "train.txt").write_text(TRAIN)
    (tmp_path / "valid.txt").write_text(VALID)

    def make(data=None, **sections):
        named = {"train": str(tmp_path / "train.txt"), "valid": str(tmp_path / "valid.txt")}
        model = {"hidden_size": 4}
        return config.from_dict({"data": named | (data or {}), "model": model} | sections)

    return make


def covered(text, words):
    tokens = text.split()
    return sum(word in words for word in tokens) / len(tokens)


def test_rows_are_what_training_would_have(of):
    rows = list(Candidates.read(of()).rows([1, 2, 3, 15, 1000], [3, 10, 10_000], trial=False))
    # Words that occur twice occur three times here; none occurs 1,000 times; there are fewer than 10,000 words.
    assert [(row.min_count, row.max_size) for row in rows] == [(1, None), (2, None), (15, None), (1, 3), (1, 10)]
    for row in rows:
        rules = {"min_count": row.min_count, "max_size": row.max_size, "unknown": True}
        texts = corpora.texts(of(vocabulary=rules))
        known = set(texts.vocabulary.words) - {END} | ({UNKNOWN} if row.words == len(texts.vocabulary) else set())
        assert row.words in (len(texts.vocabulary), len(texts.vocabulary) - 1)  # the first needs no <unk>
        assert row.train_covered == covered(TRAIN, known)
        if row.chosen:
            assert row.refused  # unknown words, but no <unk>
        else:
            assert not row.refused
            assert row.valid_covered == covered(VALID, known)
            assert row.valid_unknown == len(texts.valid.oov_positions)
        assert row.parameters == sum(
            shape[0] * (shape[1] if len(shape) > 1 else 1)
            for shape in build.architecture(of().model, row.words).shapes().values()
        )
    assert [row.chosen for row in rows] == [True, False, False, False, False]


def test_no_two_rows_of_one_size_and_none_without_words(of):
    rows = list(Candidates.read(of()).rows([1, 1, 2, 2, 59, 10**6], [500, 1000], trial=False))
    assert len({row.words for row in rows}) == len(rows)
    assert all(row.words >= 3 for row in rows)


def test_more_words_cover_more_and_take_more(of):
    rows = list(Candidates.read(of()).rows([], [3, 5, 8, 20, 40], trial=False))[1:]
    for smaller, larger in pairwise(rows):
        assert smaller.words < larger.words
        assert smaller.train_covered < larger.train_covered
        assert smaller.parameters < larger.parameters
        assert smaller.peak_memory < larger.peak_memory


def test_the_trial_times_steps_of_the_model(of):
    candidates = Candidates.read(of())
    [row] = candidates.rows([], [], trial=True)
    assert candidates.tokens == len(TRAIN.split()) + TRAIN.count("\n")
    assert row.words_per_second > 0
    assert row.epoch_seconds == candidates.tokens / row.words_per_second


def test_only_a_model_that_fits_is_tried(of, monkeypatch):
    candidates = Candidates.read(of())
    [row] = candidates.rows([], [], trial=False)
    more = row.peak_memory - candidates.resident  # the rest is in use already
    for available, tried in ((0, False), (more - 1, False), (more, True), (None, True)):
        monkeypatch.setattr(process, "available_memory", lambda available=available: available)
        [row] = candidates.rows([], [], trial=True)
        assert (row.words_per_second is not None) == tried


def test_tokens_and_the_held_out_part(of):
    candidates = Candidates.read(of({"valid": 0.5}))
    lines = TRAIN.splitlines()
    assert candidates.train.frequency == Counter(" ".join(lines[:30]).split())
    assert candidates.valid.frequency == Counter(" ".join(lines[30:]).split())
    assert (candidates.train.end_count, candidates.tokens) == (30, len(" ".join(lines[:30]).split()) + 30)


def test_a_config_that_cannot_train_is_refused_and_other_rows_continue(of):
    output = {"name": "adaptive", "cutoffs": [30]}
    small = of(model={"hidden_size": 4, "output": output}, vocabulary={"max_size": 10})
    with pytest.raises(ConfigError):
        list(Candidates.read(small).rows([], [], trial=False))
    large = of(model={"hidden_size": 4, "output": output})
    rows = list(Candidates.read(large).rows([], [10], trial=False))
    assert rows[0].parameters is not None
    assert (rows[1].words, rows[1].parameters, rows[1].peak_memory) == (10, None, None)


def test_a_text_that_can_be_read_only_once_is_refused_before_reading(of, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TextError, match=r"pipe: can be read only once"):
        Candidates.read(of({"train": str(tmp_path / "pipe")}))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_steps_are_tried_on_what_is_trained_on(of, share):
    candidates = Candidates.read(of({"valid": share}))
    assert candidates.sample.decode() == "".join(TRAIN.splitlines(keepends=True)[: candidates.train.last])
    [row] = candidates.rows([], [], trial=True)
    assert row.refused  # words that occur only in the validation part
    assert row.words_per_second > 0


def test_every_row_that_was_asked_for(of):
    rows = list(Candidates.read(of()).rows([2, 3], [3, 10_000], trial=False, every=True))
    assert [(row.min_count, row.max_size) for row in rows] == [(1, None), (2, None), (3, None), (1, 3), (1, 10_000)]


def test_memory_is_what_training_predicts(of, monkeypatch):
    monkeypatch.setattr(process, "resident_memory", lambda: 50_000_000)  # earlier tests may free memory in between
    config = of(vocabulary={"unknown": True})
    [row] = Candidates.read(config).rows([], [], trial=False)
    predicted = memory_forecast.predict(config, corpora.texts(config))
    model = sum(predicted.parts.values()) - predicted.parts["process"]
    assert row.peak_memory == pytest.approx(predicted.resident + model, abs=5e6)


def test_a_list_of_words_is_a_row_too(of, tmp_path):
    (tmp_path / "words.txt").write_text("a\t5\nb\nzebra\t0\n")
    [row] = Candidates.read(of(vocabulary={"file": str(tmp_path / "words.txt")})).rows([], [], trial=False)
    assert (row.words, row.file) == (5, str(tmp_path / "words.txt"))
    assert row.train_covered == covered(TRAIN, {"a", "b"})
    assert isinstance(io.BytesIO(Candidates.read(of()).sample).read(), bytes)
