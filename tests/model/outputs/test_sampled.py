import numpy as np
import pytest
from support.output_results import (
    PROPOSALS,
    TIGHT,
    FixedNoise,
    assert_complex_steps_agree,
    assert_same,
    counts_of,
    positions,
    random_tensors,
    results,
    wide,
)

from rnncli import reference
from rnncli.model.engines.stepwise_outputs import StepwiseFull, StepwiseSampled
from rnncli.model.outputs import FullSoftmax, SampledSoftmax
from rnncli.model.outputs.sampled import Proposal
from rnncli.system import threads
from rnncli.system.randomness import stream
from rnncli.system.threads import SHARED

# N, V, H, samples
SIZES = [
    (1, 1, 1, 1),
    (1, 4, 2, 1),
    (5, 1, 2, 3),  # only the target can be drawn
    (30, 9, 4, 5),
    (30, 9, 4, 50),  # more samples than words
    (40, 300, 3, 20),
]
SAMPLED = pytest.mark.parametrize("kind", [SampledSoftmax, StepwiseSampled])


def layer(samples, proposal="log_uniform", counts=None, kind=SampledSoftmax):
    return kind(SampledSoftmax.Options(samples, proposal), counts)


def tensors(V, H, dtype=np.float64, seed=0):
    return random_tensors(SampledSoftmax.shapes(H, V), dtype, seed)


def pair(samples, proposal, V):
    return (layer(samples, proposal, counts_of(V), kind) for kind in (SampledSoftmax, StepwiseSampled))


@pytest.mark.parametrize("proposal", PROPOSALS)
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_word_by_word(sizes, seed, proposal):
    N, V, H, samples = sizes
    p = tensors(V, H, seed=3)
    hidden, targets = positions(N, V, H)
    fast, plain = (
        results(each, p, hidden, targets, 1 / N, stream(seed, "draws")) for each in pair(samples, proposal, V)
    )
    assert_same(fast, plain, 1e-12)


@pytest.mark.parametrize("proposal", PROPOSALS)
def test_these_samples_have_targets_and_repetitions_among_them(proposal):
    """The cases that the comparison above must cover."""
    _, targets = positions(30, 9, 4)
    q = (
        reference.log_uniform_proposal(9)
        if proposal == "log_uniform"
        else reference.unigram_proposal(counts_of(9).tolist())
    )
    draws = [reference.draw_words(q, 5, stream(seed, "draws")) for seed in (0, 1)]
    assert any(len(set(drawn)) < len(drawn) for drawn in draws)
    assert all(set(targets) & set(drawn) for drawn in draws)
    assert all(set(targets) - set(drawn) for drawn in draws)


@SAMPLED
def test_unigram_needs_counts(kind):
    p = tensors(7, 4)
    with pytest.raises(ValueError, match="needs the counts"):
        layer(3, "unigram", None, kind).forward(p, *positions(5, 7, 4), FixedNoise(stream(0, "")))
    layer(3, "unigram", None, kind).log_probabilities(p, positions(5, 7, 4)[0])  # prediction needs no counts


def each_word_once(monkeypatch, kind):
    """Every word is drawn once, all equally likely: no randomness is left."""
    monkeypatch.setattr(Proposal, "draw", lambda self, V, rng: (np.arange(V), np.zeros(V)))
    monkeypatch.setattr(reference, "draw_words", lambda q, n, rng: list(range(len(q))))


@SAMPLED
@pytest.mark.parametrize("level", [0, 2000])
def test_with_every_word_drawn_it_is_the_full_softmax(kind, level, monkeypatch):
    each_word_once(monkeypatch, kind)
    p = tensors(9, 4)
    p["by"] += level
    hidden, targets = positions(30, 9, 4)
    got = results(layer(9, "unigram", np.ones(9, int), kind), p, hidden, targets, 0.3, stream(0, ""))
    assert_same(got, results(FullSoftmax(), p, hidden, targets, 0.3), 1e-12 * max(1, level / 10))


def sums(p, hidden):
    """exp(z) of every word, (N, V), without a shift."""
    return np.exp(hidden @ p["Wya"].T + p["by"])


def variance_of_Z(p, hidden, targets, q, samples):
    """Standard error of the estimate of Z by row: a mean of `samples` draws of exp(z_s) / q_s, 0 if s is the target."""
    y = sums(p, hidden)
    y[np.arange(len(targets)), targets] = 0
    return ((y**2 / q).sum(axis=1) - y.sum(axis=1) ** 2) / samples


@pytest.mark.parametrize("proposal", PROPOSALS)
@pytest.mark.parametrize("samples", [1, 7])
def test_the_mean_of_many_estimates_of_Z_is_Z(samples, proposal):
    N, V, H, seeds = 6, 12, 3, 4000
    p = tensors(V, H)
    hidden, targets = positions(N, V, H)
    sampled = layer(samples, proposal, counts_of(V))
    target = sums(p, hidden)[np.arange(N), targets]
    estimates = [
        np.exp(sampled.forward(p, hidden, targets, FixedNoise(stream(seed, "draws")))[0]) * target
        for seed in range(seeds)
    ]
    variance = variance_of_Z(p, hidden, targets, sampled.proposal.q(V), samples)
    errors = (np.mean(estimates, axis=0) - sums(p, hidden).sum(axis=1)) / np.sqrt(variance / seeds)
    assert np.abs(errors).max() < 4
    np.testing.assert_allclose(np.var(estimates, axis=0), variance, rtol=0.2)


@pytest.mark.parametrize("proposal", PROPOSALS)
def test_many_samples_come_near_the_full_softmax(proposal):
    N, V, H = 20, 50, 4
    p = tensors(V, H)
    hidden, targets = positions(N, V, H)
    full = results(FullSoftmax(), p, hidden, targets, 1 / N)
    distances = []
    for samples in (100, 1_000_000):
        sampled = layer(samples, proposal, counts_of(V))
        got = results(sampled, p, hidden, targets, 1 / N, stream(0, "draws"))
        q, Z = sampled.proposal.q(V), sums(p, hidden).sum(axis=1)
        if samples > 100:
            deviation = np.sqrt(variance_of_Z(p, hidden, targets, q, samples)) / Z  # also of ln Z, where it is small
            assert (np.abs(got["nll"] - full["nll"]) < 4 * deviation).all()
        distances.append({name: np.abs(got[name] - array).max() for name, array in full.items()})
    for name, distance in distances[1].items():
        assert distance < distances[0][name] / 20  # a hundred times less on average
        assert distance < 0.03 * np.abs(full[name]).max()


@SAMPLED
def test_evaluation_is_that_of_the_full_softmax(kind):
    p = tensors(11, 3)
    hidden, targets = positions(20, 11, 3)
    sampled = layer(2, kind=kind)
    full = FullSoftmax() if kind is SampledSoftmax else StepwiseFull()
    sampled.forward(p, hidden, targets, FixedNoise(stream(0, "")))
    np.testing.assert_array_equal(sampled.score(p, hidden, targets), full.score(p, hidden, targets))
    log_p = sampled.log_probabilities(p, hidden)
    np.testing.assert_array_equal(log_p, full.log_probabilities(p, hidden))
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1, rtol=1e-12)
    assert SampledSoftmax.shapes(3, 11) == FullSoftmax.shapes(3, 11)
    assert (full.exact, sampled.exact) == (True, False)


@SAMPLED
def test_forward_needs_random_numbers(kind):
    with pytest.raises(TypeError, match="forward needs noise; score does not"):
        layer(2, kind=kind).forward(tensors(11, 3), *positions(20, 11, 3))


@SAMPLED
def test_the_same_stream_gives_the_same_samples_and_another_others(kind):
    p, (hidden, targets) = tensors(40, 3), positions(20, 40, 3)
    sampled = layer(5, kind=kind)
    losses = [sampled.forward(p, hidden, targets, FixedNoise(stream(seed, "draws")))[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(losses[0], losses[1])
    assert (losses[0] != losses[2]).all()


@SAMPLED
def test_if_only_the_target_is_drawn_the_gradient_is_zero(kind, monkeypatch):
    monkeypatch.setattr(Proposal, "draw", lambda self, V, rng: (np.array([4]), np.array([0.7])))
    monkeypatch.setattr(reference, "draw_words", lambda q, n, rng: [4, 4])
    p, (hidden, _) = tensors(7, 4), positions(5, 7, 4)
    got = results(layer(2, kind=kind), p, hidden, np.full(5, 4), rng=stream(0, ""))
    assert_same(got, {name: np.zeros_like(array) for name, array in got.items()}, 1e-14)
    got = results(layer(2, kind=kind), p, hidden, np.array([4, 4, 1, 4, 4]), rng=stream(0, ""))
    learns = np.abs(got["nll"]) > 1e-3, np.abs(got["hidden"]).max(axis=1) > 1e-3
    assert learns[0].tolist() == learns[1].tolist() == [False, False, True, False, False]
    assert np.flatnonzero(np.abs(got["by"]) > 1e-3).tolist() == [1, 4]


@pytest.mark.parametrize("sizes", [*SIZES, (50, 2000, 30, 300)], ids=str)
def test_float32(sizes):
    N, V, H, samples = sizes
    p = random_tensors(SampledSoftmax.shapes(H, V), np.float32, spread=0.5)
    hidden, targets = positions(N, V, H, np.float32)
    fast, plain = pair(samples, "log_uniform", V)
    got = results(fast, p, hidden, targets, 0.3, stream(0, "draws"))
    assert {array.dtype for array in got.values()} == {np.dtype(np.float32)}
    expected = results(plain, wide(p), hidden.astype(float), targets, 0.3, stream(0, "draws"))
    assert_same(got, expected, TIGHT[np.float32])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("level", [2000, -2000, 100, -100, 50])
def test_logits_that_overflow_or_underflow(level, dtype):
    p = tensors(9, 4, dtype)
    p["by"] += dtype(level)
    p["Wya"][:, 0] += dtype(level / 2)  # rows of several levels, some of them near 0
    hidden, targets = positions(12, 9, 4, dtype)
    hidden[:4, 0] = -1
    fast, plain = pair(20, "unigram", 9)
    got = results(fast, p, hidden, targets, 0.3, stream(0, "draws"))
    assert all(np.isfinite(array).all() for array in got.values())
    # A logit of 2000 is rounded by 1e-16 of its size, which limits the accuracy of a loss near 1.
    tolerance = 8 * np.finfo(dtype).eps * abs(level)
    assert_same(got, results(plain, wide(p), hidden.astype(float), targets, 0.3, stream(0, "draws")), tolerance)


@pytest.mark.parametrize("gap", [2000.0, -2000.0])
@pytest.mark.parametrize("drawn", [[0], [1], [2, 0], [0, 1, 2, 2]])
def test_a_word_far_above_or_below_the_others(drawn, gap, monkeypatch):
    """A word that is drawn or not, the target or not, and both in one row."""
    monkeypatch.setattr(reference, "draw_words", lambda q, n, rng: drawn)
    words, times = np.unique(drawn, return_counts=True)
    monkeypatch.setattr(Proposal, "draw", lambda self, V, rng: (words, np.log(times / (len(drawn) / 3))))
    p = tensors(3, 2, seed=4)
    p["by"][...] = [0, gap, 0]
    hidden, _ = positions(6, 3, 2)
    targets = np.array([0, 1, 2, 0, 1, 2])
    ones = np.ones(3, int)
    got, expected = (
        results(layer(len(drawn), "unigram", ones, kind), p, hidden, targets, rng=stream(0, ""))
        for kind in (SampledSoftmax, StepwiseSampled)
    )
    assert_same(got, expected, 1e-13)


@pytest.mark.parametrize("level", [0, 2000])  # also the fallback
@pytest.mark.parametrize("proposal", PROPOSALS)
@SAMPLED
def test_complex_steps_give_the_gradients(kind, proposal, level):
    p = tensors(9, 3, seed=8)
    p["by"] += level
    sampled = layer(6, proposal, counts_of(9), kind)
    assert_complex_steps_agree(sampled, p, *positions(12, 9, 3), rng=lambda: stream(0, "draws"))


@SAMPLED
def test_no_rows(kind):
    p, (hidden, targets) = tensors(7, 4), positions(0, 7, 4)
    got = results(layer(3, kind=kind), p, hidden, targets, rng=stream(0, ""))
    assert (got["nll"].shape, got["hidden"].shape) == ((0,), (0, 4))
    assert not any(got[name].any() for name in ("Wya", "by"))


def test_one_layer_serves_batches_of_every_size_and_dtype():
    sampled = layer(20)
    for N, V, dtype in [(10, 20, np.float64), (3, 20, np.float64), (1, 5, np.float32), (30, 20, np.complex128)] * 2:
        p = tensors(V, 3, dtype, seed=N)
        hidden, targets = positions(N, V, 3, dtype)
        real = {name: tensor.real for name, tensor in p.items()}
        expected = results(layer(20, kind=StepwiseSampled), real, hidden.real, targets, rng=stream(N, "draws"))
        got = results(sampled, p, hidden, targets, rng=stream(N, "draws"))
        assert_same({name: array.real for name, array in got.items()}, expected, TIGHT.get(dtype, 1e-12))


def test_the_same_bits_on_any_number_of_threads(monkeypatch):
    V, samples = 5000, 2000
    p, (hidden, targets) = tensors(V, 8, np.float32), positions(500, V, 8, np.float32)
    sampled = layer(samples)
    words, _ = sampled.proposal.draw(V, stream(0, "draws"))
    assert len(words) * 500 >= SHARED
    found = []
    for count in (1, 2, 5):
        monkeypatch.setattr(threads, "count", lambda count=count: count)
        got = results(layer(samples), p, hidden, targets, rng=stream(0, "draws"))
        found.append({name: array.tobytes() for name, array in got.items()})
    assert found[0] == found[1] == found[2]
