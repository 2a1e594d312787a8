"""The masks of dropout: their shape, their rate, their streams, and what a pass with them gives on average."""

import numpy as np
import pytest
from support.models import architecture, language_model

from rnncli.batches.batch import Batch
from rnncli.model.engines import ENGINES
from rnncli.model.noise import LEVELS, Dropout, Noise

ALL = {"input": 0.3, "hidden": 0.2, "output": 0.4, "word": 0.25, "recurrent": 0.5}


def noise(index=0, masks="window", **rates):
    return Noise(1, 0, index, Dropout(**rates, masks=masks))


def masks_of(drawn):
    return {
        "word": drawn.words(9, np.arange(9).reshape(3, 3), np.float32),
        "input": drawn.input(3, 4, 5, np.float32),
        "hidden": drawn.hidden(0, 2, 3, 4, 5, np.float32),
        "output": drawn.hidden(1, 2, 3, 4, 5, np.float32),
        "recurrent": drawn.recurrent(1, (8, 2), np.float32),
    }


def test_nothing_is_dropped_at_rate_0():
    assert set(masks_of(noise()).values()) == {None}
    for name, rate in ALL.items():
        masks = masks_of(noise(**{name: rate}))
        assert {each for each, mask in masks.items() if mask is not None} == {name}


@pytest.mark.parametrize(("masks", "steps"), [("window", 1), ("step", 3)])
def test_shapes(masks, steps):
    shapes = {name: mask.shape for name, mask in masks_of(noise(masks=masks, **ALL)).items()}
    of_states = (steps, 4, 5)
    assert shapes == {
        "word": (3, 3, 1),
        "input": of_states,
        "hidden": of_states,
        "output": of_states,
        "recurrent": (8, 2),
    }


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.99999])
def test_the_share_that_is_kept(rate):
    mask = noise(input=rate).input(1, 400, 500, np.float64)
    kept = max(1, round((1 - rate) * LEVELS)) / LEVELS
    assert set(np.unique(mask)) <= {0.0, 1 / kept}
    assert abs(mask.mean() - 1) < 5 * mask.std() / np.sqrt(mask.size) + 1e-12 or kept * mask.size < 25
    assert mask.dtype == np.float64


def test_every_step_layer_and_purpose_has_a_mask_of_its_own():
    def drawn(each):
        return [each.input(1, 9, 9, np.float32), *(each.hidden(layer, 3, 1, 9, 9, np.float32) for layer in (0, 1, 2))]

    rates = {"input": 0.5, "hidden": 0.5, "output": 0.5}
    found = [mask.tobytes() for index in (0, 1) for mask in drawn(noise(index, **rates))]
    assert len(set(found)) == len(found)
    assert [mask.tobytes() for mask in drawn(noise(1, **rates))] == found[4:]


def test_a_word_is_dropped_wherever_it_occurs():
    ids = np.array([[0, 1, 2], [2, 1, 0], [1, 1, 1]])
    mask = noise(word=0.5).words(3, ids, np.float32)[:, :, 0]
    assert all(len(set(mask[ids == word])) == 1 for word in range(3))


@pytest.mark.parametrize("masks", ["window", "step"])
@pytest.mark.parametrize("kind", ["input", "word", "output"])
def test_a_masked_pass_is_the_pass_without_masks_on_average(kind, masks):
    """Over 10,000 draws: the input rows, and the hidden states that enter the output layer."""
    made = architecture(6, "rnn", 1, 3, 4)
    model = language_model("fused", made, made.initialise(1, np.float64))
    ids, draws = np.array([[1, 2], [3, 1]]), 10_000

    def rows(drawn):
        x = model.input.forward(model.parameters, ids, drawn)
        return model.stack.forward(model.parameters, x, model.zero_state(2), drawn)[0] if kind == "output" else x.x

    plain = rows(None).copy()
    found = np.array([rows(noise(index, masks, **{kind: 0.4})).copy() for index in range(draws)])
    assert (np.abs(found.mean(axis=0) - plain) <= 5 * found.std(axis=0) / np.sqrt(draws) + 1e-12).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_masks_of_a_pass(engine):
    """What is dropped is zero, in one window at all steps; the state that is carried is not masked."""
    made = architecture(6, "lstm", 1, 8, 4)
    model = language_model(engine, made, made.initialise(1, np.float64))
    ids = np.random.default_rng(0).integers(0, 6, (5, 3))
    batch = Batch(ids, ids, None, ids, False, 15, 0, 0)
    passed = model.forward(batch, model.zero_state(3), noise(output=0.5))
    zero = passed.hidden.reshape(5, 3, 8) == 0
    assert (zero == zero[0]).all()
    assert 0 < zero.mean() < 1
    assert (np.array(passed.state[0]) != 0).all()
    plain = model.forward(batch, model.zero_state(3), noise())
    for a, b in zip(passed.state[0], plain.state[0], strict=True):
        np.testing.assert_array_equal(a, b)
