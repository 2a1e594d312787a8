import io
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support.plain_model import Plain
from support.plain_spelling import PlainSpelling
from support.small_run import WORDS, settings, train

from rnncli import api
from rnncli.config import build
from rnncli.errors import TextError
from rnncli.evaluation.evaluate import TokenCounts, count, evaluate
from rnncli.text.vocabulary import Vocabulary

LONG = " ".join(np.random.default_rng(3).choice(WORDS, 3 * build.EVALUATION_STEPS))
TEXT = f"the sun rises on the sea\n\nnobody falls\n{LONG}\nrain\n\n\nthe stranger <unk> rises on nobody\nno end"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A trained run for each kind of model, created on first use."""
    made = {}

    def run(cell, **changes):
        key = (cell, *sorted(changes.items()))
        if key not in made:
            folder = tmp_path_factory.mktemp(cell)
            config = settings(folder, model__cell=cell, vocabulary__unknown=True, **changes)
            train(config, folder / "run")
            made[key] = folder / "run"
        return made[key]

    return run


def sentences(text):
    """The predicted words of each piece that starts from a zero state."""
    return [[*line.split(), "<end>"] for line in text.removesuffix("\n").split("\n")]


def stream(text):
    return [[word for sentence in sentences(text) for word in sentence]]


def unbroken(text):
    return [text.split()]


MODES = [
    ({"data__mode": "sentences"}, sentences),
    ({"data__mode": "stream"}, stream),
    ({"data__mode": "stream", "data__line_end": False}, unbroken),
]


@pytest.mark.parametrize(("mode", "pieces_of"), MODES, ids=["sentences", "stream", "line_end false"])
@pytest.mark.parametrize(
    "model", [{}, {"model__embedding_size": None, "model__layers": 2}], ids=["embedding", "one-hot"]
)
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_against_a_direct_sum(runs, cell, model, mode, pieces_of):
    run = runs(cell, **model, **mode)
    loaded = api.load(run)
    plain = Plain(loaded.checkpoint)
    found = loaded.evaluate([io.BytesIO(TEXT.encode())])
    pieces = pieces_of(TEXT)
    words = [word for piece in pieces for word in piece]
    losses = np.array([loss for piece in pieces for loss in plain.losses(piece)])
    outside = np.array([word not in plain.words for word in words])
    assert (found.tokens, found.oov) == (len(words), 5) == (len(losses), outside.sum())
    assert (found.ends, found.vocabulary) == ("<end>" in words, len(plain.words))
    assert found.cross_entropy == pytest.approx(losses.mean(), rel=2e-6)
    assert found.perplexity == pytest.approx(np.exp(losses.mean()), rel=1e-5)
    assert found.perplexity_excluding_oov == pytest.approx(np.exp(losses[~outside].mean()), rel=1e-5)
    assert found.bits_per_word == pytest.approx(losses.sum() / np.log(2) / len(words), rel=2e-6)
    # the last line has no line end, but counts as if it had
    assert found.bits_per_character == pytest.approx(losses.sum() / np.log(2) / (len(TEXT) + 1), rel=2e-6)
    # each word is P(<unk>) P(spelling), wherever it is unknown: the chain rule over the whole text
    letters = PlainSpelling([word for word in plain.words if word not in ("<end>", "<unk>")])
    paid = losses + [
        -math.log(letters.probability(w)) if unknown else 0 for w, unknown in zip(words, outside, strict=True)
    ]
    assert found.perplexity_with_spelling == pytest.approx(np.exp(paid.mean()), rel=1e-5)
    assert found.bits_per_word_with_spelling == pytest.approx(paid.sum() / np.log(2) / len(words), rel=2e-6)
    assert found.bits_per_character_with_spelling == pytest.approx(paid.sum() / np.log(2) / (len(TEXT) + 1), rel=2e-6)


@pytest.mark.parametrize(("mode", "pieces_of"), MODES, ids=["sentences", "stream", "line_end false"])
def test_words_by_the_words_tokenizer(runs, mode, pieces_of):
    loaded = api.load(runs("lstm", data__tokenizer="words", data__lowercase=True, **mode))
    tokens = "the sun , über 3 suns\n! ice ."
    found = loaded.evaluate([io.BytesIO("The SUN, Über 3 suns\n! ice.\n".encode())])
    losses = [loss for piece in pieces_of(tokens) for loss in Plain(loaded.checkpoint).losses(piece)]
    assert (found.tokens, found.oov) == (len(losses), 5)
    assert found.nll == pytest.approx(sum(losses), rel=1e-6)


@pytest.mark.parametrize("mode", [mode for mode, _ in MODES], ids=["sentences", "stream", "line_end false"])
def test_no_figure_depends_on_batch_size_or_window(runs, mode, monkeypatch):
    loaded = api.load(runs("gru", **mode))
    found = []
    for sequences, steps in ((16, 32), (1, 1), (3, 7), (100, 500)):
        monkeypatch.setattr(build, "EVALUATION_SENTENCES", sequences)
        monkeypatch.setattr(build, "EVALUATION_STEPS", steps)
        monkeypatch.setattr(build, "EVALUATION_STREAM_STEPS", steps)
        found.append(loaded.evaluate([io.BytesIO(TEXT.encode())]))
    assert len({(each.tokens, each.oov, each.characters) for each in found}) == 1
    assert [each.nll for each in found] == pytest.approx([found[0].nll] * 4, rel=1e-6)
    assert [each.nll_oov for each in found] == pytest.approx([found[0].nll_oov] * 4, rel=1e-6)
    size, bptt = loaded.config.training.batch_size, loaded.config.training.bptt
    other = replace(loaded.config, training=replace(loaded.config.training, batch_size=size + 9, bptt=bptt + 9))
    monkeypatch.undo()
    assert replace(loaded, config=other).evaluate([io.BytesIO(TEXT.encode())]) == found[0]


def test_several_files_are_one_text(runs, tmp_path):
    for mode, _ in MODES:
        loaded = api.load(runs("lstm", **mode))
        (tmp_path / "a.txt").write_text("the sun rises\non the sea\n")
        (tmp_path / "b.txt").write_text("ice falls\n")
        (tmp_path / "ab.txt").write_text("the sun rises\non the sea\nice falls\n")
        found = loaded.evaluate([tmp_path / "a.txt", tmp_path / "b.txt"])
        assert found == loaded.evaluate([tmp_path / "ab.txt"])


def test_unknown_words_without_unk_in_the_vocabulary(tmp_path):
    train(settings(tmp_path), tmp_path / "run")
    loaded = api.load(tmp_path / "run")
    with pytest.raises(TextError, match=r"<stream>:2: the word 'suns' is not in the vocabulary.*nearest known: sun"):
        loaded.evaluate([io.BytesIO(b"the sun\nsuns\n")])
    with pytest.raises(TextError, match="no word in the text"):
        loaded.evaluate([io.BytesIO(b"")])


def test_evaluation_changes_nothing(tmp_path):
    made, _ = train(settings(tmp_path, data__valid=0.3), tmp_path / "run", stop_at=2)
    before = made.model.parameters.vector.copy()
    first = evaluate(made.model, made.valid_batches, made.texts.valid, made.valid_counts)
    assert evaluate(made.model, made.valid_batches, made.texts.valid, made.valid_counts) == first
    assert np.array_equal(made.model.parameters.vector, before)


def encoded(oov_positions, outside, tokens=9):
    """The attributes of a corpus that `count` uses."""
    return SimpleNamespace(
        tokens=tokens, oov_positions=np.array(oov_positions), outside=outside, characters=40, ids=np.zeros(tokens)
    )


def test_counts():
    vocabulary = Vocabulary(("<unk>", "sun", "<end>", "sea"))
    letters = PlainSpelling(["sun", "sea"])
    nats = -2 * math.log(letters.probability("suns")) - math.log(letters.probability("über"))
    found = count(encoded([2, 3, 7], {"suns": 2, "über": 1}), True, vocabulary)
    assert found == TokenCounts(9, True, 3, 4, 40, pytest.approx(nats, rel=1e-12))
    assert count(encoded([], {}), False, vocabulary) == TokenCounts(9, False, 0, 4, 40, 0.0)
    nothing_to_learn_from = Vocabulary(("<unk>", "<end>"))
    assert count(encoded([2], {"suns": 1}), True, nothing_to_learn_from).nll_spelling is None
    assert count(encoded([], {}), True, nothing_to_learn_from).nll_spelling == 0


def test_spelling_is_trained_only_if_a_word_is_unknown(monkeypatch):
    monkeypatch.setattr("rnncli.evaluation.evaluate.Spelling", lambda words: pytest.fail("learnt"))
    assert count(encoded([], {}), True, Vocabulary(("<unk>", "sun", "<end>"))).nll_spelling == 0


def test_positions_of_unknown_words_may_be_memory_mapped(tmp_path):
    """Looking up positions allocates nothing as long as the text."""
    made, _ = train(settings(tmp_path, data__valid=0.3, vocabulary__min_count=12), tmp_path / "run", stop_at=2)
    text = made.texts.valid
    first = evaluate(made.model, made.valid_batches, text, made.valid_counts)
    assert 0 < first.oov < first.tokens
    np.save(tmp_path / "positions.npy", text.oov_positions)
    mapped = replace(text, oov_positions=np.load(tmp_path / "positions.npy", mmap_mode="r"))
    assert evaluate(made.model, made.valid_batches, mapped, made.valid_counts) == first


SIZES = {"real": {"vocabulary__unknown": True}, "rarely more than <unk>": {"vocabulary__max_size": 3}}


def test_a_vocabulary_of_unknown_words_does_not_win(tmp_path):
    found = {}
    for name, changes in SIZES.items():
        config = settings(tmp_path / name, data__valid=0.3, training__epochs=3, **changes)
        _, events = train(config, tmp_path / name / "run")
        found[name] = events[-1].valid
    real, cheap = found.values()
    assert (real.oov, real.tokens) == (0, cheap.tokens)
    assert cheap.oov > cheap.tokens / 2
    assert cheap.perplexity < real.perplexity / 2
    assert cheap.perplexity_with_spelling > 100 * real.perplexity_with_spelling
    assert cheap.bits_per_character_with_spelling > real.bits_per_character_with_spelling
    assert real.perplexity_with_spelling == real.perplexity
