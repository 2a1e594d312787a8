import io
import itertools
import math

import numpy as np
import pytest
from support.plain_model import Plain
from support.small_run import settings, train

import rnncli
from rnncli.errors import TextError
from rnncli.evaluation import generate
from rnncli.evaluation.generate import Sampling

TINY = "a b a\nb b c a\nc a\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model with `<unk>` in its vocabulary."""
    folder = tmp_path_factory.mktemp("known")
    train(settings(folder, vocabulary__unknown=True, training__epochs=4, optimizer__learning_rate=0.05), folder / "run")
    return rnncli.load(folder / "run")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model whose vocabulary is `<end>`, a, b and c."""
    folder = tmp_path_factory.mktemp("tiny")
    train(settings(folder, TINY, training__epochs=20, optimizer__learning_rate=0.05), folder / "run")
    return rnncli.load(folder / "run")


@pytest.mark.parametrize("seed", ["", "the", "the sun rises on the sea", "the stranger", " \t", "  the   sun "])
def test_candidates_are_the_models_own_distribution(model, seed):
    read = model.read(seed)
    everything = read.candidates(top=1000)
    assert len(everything) == len(model.vocabulary)
    assert math.fsum(each.probability for each in everything) == pytest.approx(1, abs=1e-6)
    assert [each.probability for each in everything] == sorted((each.probability for each in everything), reverse=True)
    expected, _ = Plain(model.checkpoint).after(seed.split())
    for each in everything:
        assert each.log10_probability == pytest.approx(
            expected[model.vocabulary.ids[each.word]] / math.log(10), abs=1e-5
        )
        assert each.probability == pytest.approx(10**each.log10_probability, rel=1e-9)
    assert read.candidates(top=3) == everything[:3]
    assert read.candidates(top=0) == []
    assert read.candidates(top=1000, unknown=False) == [each for each in everything if each.word != "<unk>"]


def test_next_word_and_evaluate_agree(model):
    words = ["the", "sun", "rises", "on", "the", "moon"]
    nats = 0.0
    for n, word in enumerate([*words, "<end>"]):
        log_p = model.read(" ".join(words[:n])).log_probabilities
        nats -= log_p[model.vocabulary.ids[word]]
    assert model.evaluate([io.BytesIO(" ".join(words).encode())]).nll == pytest.approx(nats, rel=1e-5)


def test_ties_are_ordered_by_frequency(model):
    model.model.parameters["output.Wya"][...], before = 0, model.model.parameters["output.Wya"].copy()
    model.model.parameters["output.by"][...], bias = 0, model.model.parameters["output.by"].copy()
    try:
        assert [each.word for each in model.read("the").candidates(50)] == list(model.vocabulary.words)
    finally:
        model.model.parameters["output.Wya"][...], model.model.parameters["output.by"][...] = before, bias


def test_blank_seeds_ask_for_the_first_word(model):
    expected = model.read("").log_probabilities
    for blank in (" ", "\t \t", "\u3000"):
        assert np.array_equal(model.read(blank).log_probabilities, expected)
    assert model.read("").words == []


def test_unknown_words_of_a_seed(model, tiny):
    read = model.read("the stranger is <unk> stranger")
    assert read.unknown == ["stranger", "is", "stranger"]  # a literal <unk> is in the vocabulary
    assert np.array_equal(read.log_probabilities, model.read("the <unk> <unk> <unk> <unk>").log_probabilities)
    with pytest.raises(TextError, match=r"the seed: the word 'aa' is not in the vocabulary, which has no <unk>.*: a;"):
        tiny.read("b aa")
    for seed in ("a <end> b", "<end>"):
        with pytest.raises(TextError, match="the seed: a literal <end>"):
            tiny.read(seed)
    with pytest.raises(TextError, match="the seed: character 3 is not UTF-8"):
        model.read("a \udcff")


def test_seeds_are_cut_as_the_training_text_was(tmp_path):
    text = "Don't stop, über 3.5!\n"
    for tokenizer, lowercase, seed, expected in (
        ("words", True, "DON'T Stop,", ["don't", "stop", ","]),
        ("characters", False, "D 3", ["D", " ", "3"]),
        ("whitespace", True, "STOP, don't", ["stop,", "don't"]),
    ):
        config = settings(tmp_path, text * 3, data__tokenizer=tokenizer, data__lowercase=lowercase)
        train(config, tmp_path / tokenizer, stop_at=1)
        read = rnncli.load(tmp_path / tokenizer).read(seed)
        assert (read.words, read.unknown) == (expected, [])
        joined = ("" if tokenizer == "characters" else " ").join(expected)
        assert all(each.text.startswith(joined) for each in read.samples(3, 2, Sampling(), 0))


def test_the_log_probability_of_a_sample_is_that_of_its_words(model):
    plain = Plain(model.checkpoint)
    read = model.read("the sun")
    for sample in read.samples(8, 4, Sampling(temperature=1.7, top_k=9), random_seed=5):
        ended = [*sample.words, "<end>"] if len(sample.words) < 4 else sample.words
        nats = sum(plain.losses(["the", "sun", *ended])[2:])
        assert sample.log10_probability == pytest.approx(-nats / math.log(10), abs=1e-4)
        assert sample.text == " ".join(["the sun", *sample.words])
        assert "<end>" not in sample.words


def test_samples_repeat_and_do_not_depend_on_how_many(model):
    read = model.read("the")
    five = read.samples(5, 6, Sampling(), random_seed=3)
    assert read.samples(5, 6, Sampling(), random_seed=3) == five
    assert [each.words for each in read.samples(2, 6, Sampling(), random_seed=3)] == [each.words for each in five[:2]]
    assert [each.words[:3] for each in read.samples(5, 3, Sampling(), 3)] == [each.words[:3] for each in five]
    assert read.samples(5, 6, Sampling(), random_seed=4) != five
    assert len({tuple(each.words) for each in five}) > 1
    assert read.samples(0, 6, Sampling(), 3) == []


@pytest.mark.parametrize("sampling", [Sampling(temperature=0), Sampling(top_k=1), Sampling(temperature=1e-310)])
def test_temperature_0_takes_the_likeliest_word(model, sampling):
    words = []
    for _ in range(6):
        word = model.read(" ".join(["the", *words])).candidates(1)[0].word
        if word == "<end>":
            break
        words.append(word)
    for sample in model.read("the").samples(3, 6, sampling, random_seed=1):
        assert sample.words == words


def drawn(read, sampling, number=3000):
    """How often each word is drawn first."""
    words = [each.words[0] if each.words else "<end>" for each in read.samples(number, 1, sampling, random_seed=11)]
    return {word: words.count(word) / number for word in set(words)}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_draws_follow_the_probabilities(model, temperature):
    read = model.read("the")
    p = np.exp(read.log_probabilities / temperature)
    p /= p.sum()
    found = drawn(read, Sampling(temperature=temperature))
    for word, probability in zip(model.vocabulary.words, p, strict=True):
        five_sigma = 5 * math.sqrt(probability * (1 - probability) / 3000)
        assert abs(found.get(word, 0) - probability) < five_sigma + 1e-9, word


def test_top_k_and_top_p_draw_from_the_likeliest_alone(model):
    read = model.read("the")
    likeliest = read.candidates(1000)
    found = drawn(read, Sampling(top_k=3))
    assert set(found) == {each.word for each in likeliest[:3]}
    share = likeliest[0].probability / sum(each.probability for each in likeliest[:3])
    assert found[likeliest[0].word] == pytest.approx(share, abs=0.05)
    for top_p in (1e-9, 0.3, 0.8, 1.0):
        total, nucleus = 0.0, set()
        for each in likeliest:
            if total >= top_p:
                break
            nucleus.add(each.word)
            total += each.probability
        assert set(drawn(read, Sampling(top_p=top_p))) <= nucleus


def test_no_unk_never_writes_it(tmp_path):
    text = "sun moon rain ice\n" * 2 + "one two three four five six\n" * 1
    config = settings(tmp_path, text, vocabulary__min_count=2, training__epochs=60, optimizer__learning_rate=0.05)
    train(config, tmp_path / "run")
    read = rnncli.load(tmp_path / "run").read("")
    assert "<unk>" in {word for each in read.samples(200, 6, Sampling(), 0) for word in each.words}
    for each in [*read.samples(200, 6, Sampling(unknown=False), 0), *read.beam(20, 4, unknown=False)]:
        assert "<unk>" not in each.words


def every_continuation(plain, seed, words):
    """Every continuation with its log10 probability: those that end, and those cut off after `words` words."""
    names = [word for word in plain.words if word != "<end>"]
    for n in range(words + 1):
        for each in itertools.product(names, repeat=n):
            losses = plain.losses([*seed, *each, *(["<end>"] if n < words else [])])
            yield -sum(losses[len(seed) :]) / math.log(10), list(each)


@pytest.mark.parametrize("seed", ["", "b"])
def test_a_wide_beam_finds_what_an_exhaustive_search_finds(tiny, seed):
    everything = sorted(every_continuation(Plain(tiny.checkpoint), seed.split(), 4), key=lambda each: -each[0])
    found = tiny.read(seed).beam(width=200, words=4)
    assert len(found) == len(everything)
    assert [each.log10_probability for each in found] == pytest.approx([score for score, _ in everything], abs=1e-4)
    by_words = {tuple(words): score for score, words in everything}
    for each in found:
        assert each.log10_probability == pytest.approx(by_words[tuple(each.words)], abs=1e-4)
        assert each.text == " ".join([*seed.split(), *each.words])


def test_a_narrow_beam(tiny):
    read = tiny.read("b")
    best = read.beam(width=200, words=4)
    for width in (1, 2, 5):
        found = read.beam(width, words=4)
        assert 1 <= len(found) <= width
        scores = [each.log10_probability for each in found]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] <= best[0].log10_probability + 1e-6
    assert read.beam(50, words=4)[0].words == best[0].words


def test_a_seed_longer_than_any_window(model):
    seed = "the sun rises on the sea " * 40
    expected, _ = Plain(model.checkpoint).after(seed.split())
    assert generate.read_seed(model.model, model.vocabulary, model.tokenizer, seed).log_probabilities == pytest.approx(
        expected, abs=1e-4
    )
