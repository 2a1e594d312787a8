import numpy as np
import pytest
from support.output_results import (
    TIGHT,
    assert_complex_steps_agree,
    assert_same,
    positions,
    random_tensors,
    results,
    section_of,
)

from rnncli.model.engines.stepwise_outputs import StepwiseFull
from rnncli.model.outputs import FullSoftmax


def tensors(V, H, dtype=np.float64, seed=0):
    return random_tensors(FullSoftmax.shapes(H, V), dtype, seed)


def closed_form(p, hidden, targets, scale=1.0):
    """Softmax by definition, in float64 and shifted."""
    Wya, by, hidden = (array.astype(np.float64) for array in (p["Wya"], p["by"], hidden))
    logits = hidden @ Wya.T + by
    log_p = logits - logits.max(axis=1, keepdims=True)
    log_p = log_p - np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    dlogits = scale * np.exp(log_p)
    dlogits[np.arange(len(targets)), targets] -= scale
    return {
        "nll": -log_p[np.arange(len(targets)), targets],
        "hidden": dlogits @ Wya,
        "Wya": dlogits.T @ hidden,
        "by": dlogits.sum(axis=0),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("N", "V", "H"), [(1, 1, 1), (1, 7, 3), (5, 1, 2), (6, 2, 1), (40, 11, 5), (3, 200_000, 2), (700, 300, 4)]
)
def test_closed_form(N, V, H, dtype):
    p = tensors(V, H, dtype)
    hidden, targets = positions(N, V, H, dtype)
    got = results(FullSoftmax(), p, hidden, targets, scale=0.3)
    assert {array.dtype for array in got.values()} == {np.dtype(dtype)}
    assert_same(got, closed_form(p, hidden, targets, 0.3), TIGHT[dtype])


@pytest.mark.parametrize(("N", "V", "H"), [(1, 1, 1), (1, 4, 2), (30, 9, 4)])
def test_word_by_word(N, V, H):
    p = tensors(V, H, seed=3)
    hidden, targets = positions(N, V, H)
    scale = 1 / N
    assert_same(
        results(FullSoftmax(), p, hidden, targets, scale), results(StepwiseFull(), p, hidden, targets, scale), 1e-12
    )


@pytest.mark.parametrize("layer", [FullSoftmax(), StepwiseFull()], ids=["full", "word by word"])
def test_gradients_of_repeated_targets_are_summed(layer):
    p = tensors(5, 3)
    hidden, _ = positions(8, 5, 3)
    for targets in (np.zeros(8, int), np.array([4, 4, 0, 4, 0, 4, 4, 4])):
        assert_same(results(layer, p, hidden, targets), closed_form(p, hidden, targets), 1e-12)


def shifted_by(dtype, *levels):
    """Parameters that give each row logits near one of `levels`: hidden is one-hot, Wya holds the levels."""
    rng = np.random.default_rng(5)
    p = tensors(6, len(levels), dtype)
    p["Wya"][...] = np.array(levels) + rng.normal(size=(6, len(levels)))
    hidden = np.eye(len(levels), dtype=dtype)
    return p, hidden, np.arange(len(levels)) % 6


LEVELS = {
    "overflow": (np.float64, (2000, 1, 2000)),
    "underflow": (np.float64, (-2000, 1, 3)),
    "both": (np.float64, (-2000, 2000, 0)),
    "float32 at 100": (np.float32, (100, 100, 100)),
    "float32 at 88, Z near the largest number": (np.float32, (88, 86, 1)),
    "all at -300": (np.float64, (-300, -300, -300)),
    "float32 at -300": (np.float32, (-300, -300)),
    "float32 at -90, Z without digits": (np.float32, (-90, -95, -100)),
    "float32, Z finite, Z squared not": (np.float32, (50, -50)),
    "one position": (np.float32, (1000,)),
}


@pytest.mark.parametrize("case", LEVELS)
def test_logits_that_overflow_or_underflow(case):
    dtype, levels = LEVELS[case]
    p, hidden, targets = shifted_by(dtype, *levels)
    got = results(FullSoftmax(), p, hidden, targets, scale=1 / len(levels))
    # A logit of 2000 is rounded by 1e-16 of its size, which limits the accuracy of a loss near 1.
    tolerance = 4 * np.finfo(dtype).eps * max(map(abs, levels))
    assert all(np.isfinite(array).all() for array in got.values())
    assert_same(got, closed_form(p, hidden, targets, 1 / len(levels)), tolerance)
    oracle = {name: tensor.astype(np.float64) for name, tensor in p.items()}
    assert_same(got, results(StepwiseFull(), oracle, hidden.astype(np.float64), targets, 1 / len(levels)), tolerance)


@pytest.mark.parametrize("spread", [2000.0, -2000.0])
def test_a_target_of_no_probability_costs_its_distance(spread):
    p = {"Wya": np.zeros((3, 1)), "by": np.array([0.0, spread, 0.0])}
    hidden, targets = np.ones((2, 1)), np.array([0, 1])
    got = results(FullSoftmax(), p, hidden, targets)
    expected = [2000, 0] if spread > 0 else [np.log(2), 2000 + np.log(2)]
    np.testing.assert_allclose(got["nll"], expected, rtol=1e-15)
    assert_same(got, closed_form(p, hidden, targets), 1e-12)


@pytest.mark.parametrize("gap", [800.0, -800.0])  # exp(-800) is 0 in float64
def test_both_layers_agree_on_a_target_of_no_probability(gap):
    p = tensors(3, 2, seed=4)
    p["by"][...] = [0, gap, 0]
    hidden, _ = positions(6, 3, 2)
    targets = np.array([0, 1, 2, 0, 1, 2])
    full, word_by_word = FullSoftmax(), StepwiseFull()
    got, oracle = results(full, p, hidden, targets), results(word_by_word, p, hidden, targets)
    assert got["nll"].max() > 790
    assert_same(got, oracle, 1e-13)
    assert_same(oracle, closed_form(p, hidden, targets), 1e-13)
    log_p = word_by_word.log_probabilities(p, hidden)
    np.testing.assert_allclose(full.log_probabilities(p, hidden), log_p, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(-log_p[np.arange(6), targets], oracle["nll"], rtol=1e-13, atol=1e-13)


def test_rows_of_log_probabilities_are_distributions():
    for p, hidden, targets in [
        (tensors(50, 4), *positions(20, 50, 4)),
        (tensors(1, 2), *positions(3, 1, 2)),
        shifted_by(np.float64, 2000, -2000, 0),
        shifted_by(np.float64, -300, -300),
    ]:
        layer = FullSoftmax()
        log_p = layer.log_probabilities(p, hidden)
        np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1, rtol=1e-12)
        nll, _ = layer.forward(p, hidden, targets)
        np.testing.assert_allclose(-log_p[np.arange(len(targets)), targets], nll, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(log_p, StepwiseFull().log_probabilities(p, hidden), rtol=1e-12, atol=1e-12)


def test_log_probabilities_do_not_disturb_a_forward_pass():
    p, layer = tensors(9, 3), FullSoftmax()
    hidden, targets = positions(6, 9, 3)
    _, cache = layer.forward(p, hidden, targets)
    layer.log_probabilities(p, hidden[:2])
    g = section_of(p)
    layer.backward_(p, g, 1.0, cache)
    np.testing.assert_allclose(g["Wya"], closed_form(p, hidden, targets)["Wya"], rtol=0, atol=1e-12)


def test_one_layer_serves_batches_of_every_size_and_dtype():
    layer = FullSoftmax()
    for N, V, dtype in [
        (10, 20, np.float64),
        (3, 20, np.float64),
        (1, 5, np.float64),
        (30, 20, np.float64),
        (30, 20, np.float32),
        (2, 20, np.float32),
        (30, 20, np.complex128),
        (10, 20, np.float64),
        (1, 300_000, np.float32),
        (4, 7, np.float32),
    ]:
        p = tensors(V, 3, dtype, seed=N)
        hidden, targets = positions(N, V, 3, dtype)
        real = {name: tensor.real for name, tensor in p.items()}
        got = results(layer, p, hidden, targets)
        assert_same(
            {name: array.real for name, array in got.items()},
            closed_form(real, hidden.real, targets),
            TIGHT.get(dtype, 1e-12),
        )


@pytest.mark.parametrize("level", [0, 2000])  # also the fallback
@pytest.mark.parametrize("layer", [FullSoftmax(), StepwiseFull()], ids=["full", "word by word"])
def test_complex_steps_give_the_gradients(layer, level):
    p = tensors(6, 3, seed=8)
    p["by"] += level
    assert_complex_steps_agree(layer, p, *positions(4, 6, 3))


def test_starting_values():
    p = {name: np.full(shape, 9, np.float32) for name, shape in FullSoftmax.shapes(20, 400).items()}
    assert {name: tensor.shape for name, tensor in p.items()} == {"Wya": (400, 20), "by": (400,)}
    FullSoftmax.initialise_(p, np.random.default_rng(0))
    assert not p["by"].any()
    np.testing.assert_allclose(np.abs(p["Wya"]).max(), np.sqrt(6 / 420), rtol=1e-3)
