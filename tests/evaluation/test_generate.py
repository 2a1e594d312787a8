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


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """A model of a stream whose lines end in `<end>`, and its independent reader."""
    folder = tmp_path_factory.mktemp("lines")
    config = settings(folder, TINY, data__mode="stream", training__epochs=20, optimizer__learning_rate=0.05)
    train(config, folder / "run")
    model = rnncli.load(folder / "run")
    return model, Plain(model.checkpoint)


def test_the_line_of_a_seed_that_is_refused(lines):
    for seed, location in (
        ("a\nb zz", "the seed:2"),
        ("zz", "the seed"),
        ("zz\n", "the seed:1"),
        ("a\nb\0", "the seed:2"),
    ):
        with pytest.raises(TextError, match=f"^{location}: "):
            lines[0].read(seed)


@pytest.mark.parametrize(
    ("seed", "words", "text"),
    [
        ("a b\n", ["a", "b", "<end>"], "a b\n"),
        ("\ufeffa b\r\nc", ["a", "b", "<end>", "c"], "a b\nc"),
        ("\n\n", ["<end>", "<end>"], "\n\n"),
        ("a\r b\u2028c\x85", ["a", "b", "c"], "a b c"),
    ],
)
def test_a_line_end_in_a_seed_is_an_end(lines, seed, words, text):
    model, plain = lines
    read = model.read(seed)
    assert (read.words, read.unknown) == (words, [])
    np.testing.assert_allclose(read.log_probabilities, plain.after(words)[0], atol=1e-5)
    assert read.samples(1, 1, Sampling(), 1)[0].text.startswith(text)


def test_continuations_across_lines(lines):
    model, plain = lines
    read = model.read("b\na")
    for found in (read.samples(20, 9, Sampling(), 1, across_lines=True), read.beam(5, 9, across_lines=True)):
        assert any("<end>" in each.words for each in found)
        for each in found:
            assert (len(each.words), each.ended) == (9, False)
            nats = sum(plain.losses(["b", "<end>", "a", *each.words])[3:])
            assert each.log10_probability == pytest.approx(-nats / math.log(10), abs=1e-4)
            assert each.text.replace("\n", " <end> ").split() == ["b", "<end>", "a", *each.words]
    ended = read.samples(20, 9, Sampling(), 1)
    assert any(each.ended for each in ended)
    assert all("<end>" not in each.words and "\n" not in each.text.removeprefix("b\n") for each in ended)


def test_a_sentence_is_one_line(tiny):
    assert tiny.read("a b\n").words == tiny.read("a b\r\n").words == ["a", "b"]
    for seed in ("a\nb", "a\n\n", "\na"):
        with pytest.raises(TextError, match=r"the seed: [23] lines, but to this model \(data.mode: sentences\)"):
            tiny.read(seed)
    for continued in (lambda read: read.samples(1, 5, Sampling(), 1, True), lambda read: read.beam(2, 5, True, True)):
        with pytest.raises(ValueError, match="across_lines needs a text of mode stream"):
            continued(tiny.read("a"))


@pytest.fixture(scope="module")
def unended(tmp_path_factory):
    """A model of a stream of which no line ends in `<end>`, hardly trained, so that it expects `<end>` as any word."""
    folder = tmp_path_factory.mktemp("unended")
    train(settings(folder, TINY, data__mode="stream", data__line_end=False, training__epochs=1), folder / "run")
    return rnncli.load(folder / "run")


@pytest.mark.parametrize("seed", ["", "a\nb", "a b\n"])
def test_end_is_no_word_where_no_line_ends_in_it(unended, seed):
    read = unended.read(seed)
    plain, _ = Plain(unended.checkpoint).after(seed.split())
    p = dict(zip(unended.vocabulary.words, np.exp(plain), strict=True))
    assert p.pop("<end>") > 0.1
    found = {each.word: each.probability for each in read.candidates(10)}
    assert found == pytest.approx({word: each / sum(p.values()) for word, each in p.items()}, abs=1e-6)
    assert math.fsum(found.values()) == pytest.approx(1, abs=1e-15)


def test_end_never_ends_a_text_without_it(unended):
    read = unended.read("a\nb")
    plain = Plain(unended.checkpoint)
    drawn, searched = read.samples(20, 50, Sampling(), 1), read.beam(3, 6)
    assert {(len(each.words), each.ended) for each in drawn} == {(50, False)}
    for each in [*drawn, *searched]:
        assert "<end>" not in each.words
        log_p, state = plain.after(["a", "b"])
        total = 0.0
        for word in each.words:
            known = log_p[[id for id, other in enumerate(plain.words) if other != "<end>"]]
            total += log_p[plain.id(word)] - np.log(np.exp(known).sum())
            log_p, state = plain.read(word, state)
        assert each.log10_probability == pytest.approx(total / math.log(10), abs=1e-4)
    with pytest.raises(ValueError, match="across_lines"):
        read.samples(1, 5, Sampling(), 1, across_lines=True)
    text = io.BytesIO(b"a b\n")
    nats = sum(plain.losses(["a", "b"]))  # figures of a text count what the model gives to <end>
    assert unended.evaluate(text).nll == pytest.approx(nats, rel=1e-5)


@pytest.mark.parametrize(
    ("data", "seeds"),
    [
        ({"data__mode": "sentences"}, {" a \n": [" ", "a", " "]}),
        ({"data__mode": "stream"}, {"a \nb": ["a", " ", "<end>", "b"], " ": [" "], "": []}),
        ({"data__mode": "stream", "data__line_end": False}, {"a\r\nb\n": ["a", " ", "b", " "]}),
    ],
)
def test_white_space_of_a_seed_of_characters(tmp_path, data, seeds):
    train(settings(tmp_path, " a b\n", data__tokenizer="characters", **data), tmp_path / "run", stop_at=1)
    model = rnncli.load(tmp_path / "run")
    for seed, words in seeds.items():
        assert model.read(seed).words == words


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda read: read.candidates(-1), ValueError, "top must be at least 0, not -1"),
        (lambda read: read.candidates(True), TypeError, "top must be a whole number, not True"),
        (lambda read: read.candidates(2.0), TypeError, r"top must be a whole number, not 2.0 \(float\)"),
        (lambda read: read.samples(-1, 5, Sampling(), 1), ValueError, "number must be at least 0 and at most 10,000"),
        (lambda read: read.samples(1, 0, Sampling(), 1), ValueError, "words must be at least 1, not 0"),
        (lambda read: read.samples(1, 5, Sampling(), -1), ValueError, "random_seed must be at least 0 and at most 9,2"),
        (lambda read: read.samples(1, 5, Sampling(), 1.5), TypeError, "random_seed must be a whole number"),
        (lambda read: read.samples(1, 5, None, 1), TypeError, "sampling must be a Sampling, not None"),
        (lambda read: read.beam(0, 5), ValueError, "width must be at least 1 and at most 1,000, not 0"),
        (lambda read: read.beam(2, "5"), TypeError, "words must be a whole number, not '5'"),
        (lambda read: Sampling(-1), ValueError, "temperature must be at least 0 and at most 1,000,000,000, not -1"),
        (lambda read: Sampling(math.nan), ValueError, "temperature must be at least 0 .* not nan"),
        (lambda read: Sampling(math.inf), ValueError, "temperature"),
        (lambda read: Sampling("1"), TypeError, "temperature must be a number, not '1'"),
        (lambda read: Sampling(top_k=0), ValueError, "top_k must be at least 1, not 0"),
        (lambda read: Sampling(top_k=np.float64(3)), TypeError, "top_k must be a whole number"),
        (lambda read: Sampling(top_p=0.0), ValueError, "top_p must be above 0 and at most 1, not 0.0"),
        (lambda read: Sampling(top_p=1.01), ValueError, "top_p"),
        (lambda read: Sampling(top_p=np.bool_(True)), TypeError, "top_p must be a number"),
    ],
)
def test_arguments_out_of_range(tiny, call, error, message):
    read = tiny.read("a")
    with pytest.raises(error, match=f"^{message}"):
        call(read)


def test_a_number_may_be_as_large_as_it_likes(tiny):
    assert len(tiny.read("a").candidates(10**400)) == 4


def test_numbers_of_numpy_are_numbers(tiny):
    read = tiny.read("a")
    sampling = Sampling(np.float32(0.5), np.int64(2), np.float64(0.9))
    assert read.candidates(np.int32(2)) == read.candidates(2)
    expected = read.samples(2, 4, Sampling(0.5, 2, 0.9), 7)
    assert read.samples(np.uint8(2), np.int16(4), sampling, np.uint64(7)) == expected


def test_the_log_probability_of_a_sample_is_that_of_its_words(model):
    plain = Plain(model.checkpoint)
    read = model.read("the sun")
    for sample in read.samples(8, 4, Sampling(temperature=1.7, top_k=9), random_seed=5):
        ended = [*sample.words, "<end>"] if len(sample.words) < 4 else sample.words
        nats = sum(plain.losses(["the", "sun", *ended])[2:])
        assert sample.log10_probability == pytest.approx(-nats / math.log(10), abs=1e-4)
        assert sample.text == " ".join(["the sun", *sample.words])
        assert "<end>" not in sample.words
        assert sample.ended or len(sample.words) == 4


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
    assert generate.read_seed(
        model.model, model.vocabulary, model.text_format, seed
    ).log_probabilities == pytest.approx(expected, abs=1e-4)
