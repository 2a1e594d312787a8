"""One optimizer step: the results of a learner, and the values it must not change."""

from dataclasses import replace

import numpy as np
import pytest
from support.models import architecture, language_model, noise_of

from rnncli.batches.stream import StreamBatches
from rnncli.model.noise import Noise
from rnncli.optim import OPTIMIZERS
from rnncli.optim.adam import Adam
from rnncli.optim.averaging import Ema
from rnncli.optim.sgd import Sgd
from rnncli.training.step import Alone, Learner

IDS = np.random.default_rng(3).integers(0, 9, 96)


def accepted(attempt):
    """A check that accepts every step."""


def learner(name="adam", clip_norm=0.5, communicator=None, output="full", dtype=np.float64):
    made = architecture(9, "lstm", 2, 5, 4, output)
    parameters = made.initialise(1, dtype)
    optimizer = OPTIMIZERS[name](parameters.vector.size, parameters.dtype)
    return Learner(language_model("fused", made, parameters), optimizer, clip_norm, 7, communicator)


@pytest.mark.parametrize("output", ["full", "adaptive", "sampled"])
def test_a_step_is_forward_backward_clip_and_update(output):
    made, plain = learner(output=output), learner(output=output)
    adam, state = Adam(plain.model.parameters.vector.size, np.dtype(np.float64)), ()
    for number, batch in enumerate(StreamBatches(IDS, 0, 4, 6).epoch(0), 1):
        taken = made.step_(batch, number, 0.01, accepted)
        passed = plain.model.forward(batch, plain.model.entering(batch, state), noise_of(batch, 7))
        gradient = plain.model.backward_(passed)[0].vector.copy()
        norm = np.linalg.norm(gradient)
        state = passed.state
        adam.step_(plain.model.parameters.vector, gradient * min(1, 0.5 / norm), 0.01, number)
        assert taken.loss == passed.loss
        np.testing.assert_allclose(taken.norm, norm, rtol=1e-12)
        np.testing.assert_allclose(made.model.parameters.vector, plain.model.parameters.vector, rtol=0, atol=1e-12)


def test_a_step_that_is_refused_changes_nothing():
    made = learner()
    first, second = list(StreamBatches(IDS, 0, 4, 6).epoch(0))[:2]
    made.step_(first, 1, 0.01, accepted)
    before = made.model.parameters.vector.copy(), made.optimizer.moments["m"].copy(), made.state

    def refused(attempt):
        assert attempt.batch is second
        assert attempt.gradients.vector.any()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        made.step_(second, 2, 0.01, refused)
    assert np.array_equal(made.model.parameters.vector, before[0])
    assert np.array_equal(made.optimizer.moments["m"], before[1])
    assert made.state is before[2]


class Halves:
    """Adds the gradients of two learners, each with half of every batch."""

    def __init__(self):
        self.others = self.other_loss = None

    def sum_(self, gradients, loss):
        gradients.vector += self.others
        gradients.forget_rows_()
        return loss + self.other_loss


def half(batch, columns):
    """Some columns of a batch."""
    return replace(
        batch,
        inputs=batch.inputs[:, columns],
        targets=batch.targets[:, columns],
        positions=batch.positions[:, columns],
        words=batch.targets[:, columns].size,
    )


def test_parts_of_a_batch_add_up_to_the_whole():
    """Several processes: the loss of each part is divided by the words of the whole batch, and gradients are added."""
    whole, left, right = learner(), learner(communicator=Halves()), learner(communicator=Halves())
    for number, batch in enumerate(StreamBatches(IDS, 0, 4, 6).epoch(0), 1):
        expected = whole.step_(batch, number, 0.01, accepted)
        parts = [half(batch, slice(0, 2)), half(batch, slice(2, 4))]
        gradients, losses = [], []
        for each, part in zip((left, right), parts, strict=True):
            entering = each.model.entering(part, each.state)
            passed = each.model.forward(part, entering, Noise(7, batch.epoch, batch.index), words=batch.words)
            gradients.append(each.model.backward_(passed)[0].vector.copy())
            losses.append(passed.loss)
        left.communicator.others, right.communicator.others = gradients[1], gradients[0]
        left.communicator.other_loss, right.communicator.other_loss = losses[1], losses[0]
        for each, part in zip((left, right), parts, strict=True):
            taken = each.step_(part, number, 0.01, accepted, words=batch.words)
            np.testing.assert_allclose(taken.loss, expected.loss, rtol=1e-12)
            np.testing.assert_allclose(taken.norm, expected.norm, rtol=1e-12)
            assert taken.words == batch.words
        for each in (left, right):
            np.testing.assert_allclose(each.model.parameters.vector, whole.model.parameters.vector, atol=1e-12)


def test_the_sum_of_a_single_process():
    made = learner(communicator=Alone())
    batch = next(StreamBatches(IDS, 0, 4, 6).epoch(0))
    assert made.step_(batch, 1, 0.01, accepted).norm == learner().step_(batch, 1, 0.01, accepted).norm


def test_a_step_decays_weights_by_its_learning_rate_and_averages_what_it_leaves():
    made = architecture(9, "rnn", 1, 4, 3)
    plain = made.initialise(1, np.float64)
    model = language_model("fused", made, made.initialise(1, np.float64))
    averaging = Ema(Ema.Options(0.5))
    decayed = Learner(model, Sgd(plain.vector.size, np.dtype(float)), None, 7, weight_decay=0.2, averaging=averaging)
    reference = Learner(language_model("fused", made, plain), Sgd(plain.vector.size, np.dtype(float)), None, 7)
    batch = next(StreamBatches(np.arange(40) % 9, 0, 2, 5).epoch(0))
    decayed.step_(batch, 1, 0.1, lambda attempt: None, averaged=0)
    before = made.initialise(1, np.float64)
    reference.step_(batch, 1, 0.1, lambda attempt: None)
    for name, tensor in model.parameters.items():
        share = 0.1 * 0.2 if tensor.ndim > 1 else 0.0
        np.testing.assert_allclose(tensor, plain[name] - share * before[name], rtol=0, atol=1e-14)
    first = model.parameters.vector.copy()
    np.testing.assert_array_equal(decayed.averages["average"], first)
    decayed.step_(batch, 2, 0.1, lambda attempt: None, averaged=1)
    share = averaging.share(2)
    expected = first + share * (model.parameters.vector - first)
    np.testing.assert_allclose(decayed.averages["average"], expected, rtol=0, atol=1e-15)
