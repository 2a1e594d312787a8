"""The proposal distribution of the sampled softmax, against the plain draws of the reference."""

import numpy as np
import pytest
from support.output_results import PROPOSALS, counts_of

from rnncli import reference
from rnncli.model.outputs import SampledSoftmax
from rnncli.model.outputs.sampled import Proposal
from rnncli.system.randomness import stream


def test_proposals_by_hand():
    log_uniform = Proposal(SampledSoftmax.Options(), None)
    np.testing.assert_allclose(log_uniform.q(3), np.log([2, 3 / 2, 4 / 3]) / np.log(4), rtol=1e-15)
    unigram = Proposal(SampledSoftmax.Options(proposal="unigram"), np.array([6, 0, 1, 0]))
    np.testing.assert_allclose(unigram.q(4), [6 / 9, 1 / 9, 1 / 9, 1 / 9], rtol=1e-15)
    for V in (1, 2, 9, 33_278):
        proposal = Proposal(SampledSoftmax.Options(proposal="unigram"), counts_of(V))
        for q, plain in (
            (log_uniform.q(V), reference.log_uniform_proposal(V)),
            (proposal.q(V), reference.unigram_proposal(counts_of(V).tolist())),
        ):
            assert q.shape == (V,)
            assert q.min() > 0
            assert q.sum() == pytest.approx(1, rel=1e-12)
            assert sum(plain) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("proposal", PROPOSALS)
@pytest.mark.parametrize(("V", "samples"), [(1, 4), (9, 1), (9, 30), (500, 200)])
def test_words_are_drawn_once_each_with_their_correction(V, samples, proposal):
    made = Proposal(SampledSoftmax.Options(samples, proposal), counts_of(V))
    q = made.q(V)
    for seed in range(5):
        words, correction = made.draw(V, stream(seed, "draws"))
        assert (np.diff(words) > 0).all()
        assert words[0] >= 0
        assert words[-1] < V
        times = np.exp(correction) * samples * q[words]
        np.testing.assert_allclose(times, times.round(), rtol=1e-12)
        assert times.sum() == pytest.approx(samples)
        drawn = reference.draw_words(q.tolist(), samples, stream(seed, "draws"))
        assert sorted(drawn) == np.repeat(words, times.round().astype(int)).tolist()


@pytest.mark.parametrize("proposal", PROPOSALS)
def test_words_are_drawn_as_often_as_their_probability_says(proposal):
    V, samples = 50, 1_000_000
    made = Proposal(SampledSoftmax.Options(samples, proposal), counts_of(V))
    words, correction = made.draw(V, stream(0, "draws"))
    q = made.q(V)
    assert words.tolist() == list(range(V))
    deviation = (np.exp(correction) - 1) / np.sqrt((1 - q) / (samples * q))  # standard errors of times / (samples q)
    assert 2 < np.abs(deviation).max() < 4  # of 50 words; smaller errors would not be random
    assert 0.7 < deviation.std() < 1.3


def test_the_ends_of_the_distribution():
    class Ends:
        def random(self, n=None):
            return np.array([0.0, 1 - 2**-53, 0.5])

    made = Proposal(SampledSoftmax.Options(3, "unigram"), np.array([1, 1, 1, 3]))
    words, correction = made.draw(4, Ends())
    assert words.tolist() == [0, 3]
    np.testing.assert_allclose(np.exp(correction), [1 / (3 / 6), 2 / (3 * 3 / 6)])
