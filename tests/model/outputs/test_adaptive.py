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
    wide,
)

from rnncli import reference
from rnncli.errors import ConfigError
from rnncli.model.engines.stepwise_outputs import StepwiseAdaptive
from rnncli.model.outputs import AdaptiveSoftmax, FullSoftmax
from rnncli.model.outputs.adaptive import default_cutoffs
from rnncli.reference.functional import one_hot
from rnncli.system import threads
from rnncli.system.threads import SHARED

# V, H, cutoffs, div_value
SIZES = [
    (7, 4, (3, 5), 2),
    (1, 1, (), 4),
    (2, 1, (1,), 4),
    (9, 5, (8,), 1),  # one word in the cluster, no reduction of features
    (9, 5, (1, 2, 3, 7), 1.5),  # a head and clusters of one word
    (30, 3, (5, 6, 20), 100),  # clusters of one feature
    (12, 6, (4,), 1),
]


def options(cutoffs, div_value=2.0):
    return AdaptiveSoftmax.Options(cutoffs, div_value)


def tensors(V, H, cutoffs, div_value=2.0, dtype=np.float64, seed=0):
    return random_tensors(AdaptiveSoftmax.shapes(H, V, options(cutoffs, div_value)), dtype, seed)


def plain_probabilities(p, h, cutoffs):
    """P of every word given one hidden state, computed word by word."""
    clusters = len(cutoffs)
    first = [*cutoffs, len(p["by"]) - clusters]
    head = np.exp(p["Wya"] @ h + p["by"])
    found = [P / head.sum() for P in head[: first[0]]]
    for k in range(1, clusters + 1):
        tail = np.exp(p[f"W{k}"] @ p[f"P{k}"] @ h + p[f"b{k}"])
        for word in range(len(tail)):
            assert len(found) == cutoffs[k - 1] + word
            found.append(head[first[0] + k - 1] / head.sum() * tail[word] / tail.sum())
    return found


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("layer", [AdaptiveSoftmax, StepwiseAdaptive])
def test_every_word_by_its_definition(layer, sizes):
    V, H, cutoffs, div_value = sizes
    p = tensors(V, H, cutoffs, div_value)
    hidden, _ = positions(5, V, H)
    log_p = layer().log_probabilities(p, hidden)
    np.testing.assert_allclose(np.exp(log_p), [plain_probabilities(p, h, cutoffs) for h in hidden], rtol=1e-12)
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1, rtol=1e-12)
    for target in range(V):
        targets = np.full(5, target)
        np.testing.assert_allclose(layer().forward(p, hidden, targets)[0], -log_p[:, target], rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(layer().score(p, hidden, targets), -log_p[:, target], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("N", [1, 40])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_word_by_word(sizes, N):
    V, H, cutoffs, div_value = sizes
    p = tensors(V, H, cutoffs, div_value, seed=3)
    hidden, targets = positions(N, V, H)
    layers = AdaptiveSoftmax(options(cutoffs, div_value)), StepwiseAdaptive()
    assert_same(*(results(layer, p, hidden, targets, 1 / N) for layer in layers), 1e-12)


def test_the_reference_takes_all_columns_at_once():
    """As in every function of the reference, columns are examples."""
    p, (hidden, targets) = tensors(7, 4, (3, 5)), positions(6, 7, 4)
    course = {name: tensor[:, None] if tensor.ndim == 1 else tensor for name, tensor in p.items()}
    log_y, cache = reference.adaptive_output_forward(hidden.T, course)
    gradients = reference.adaptive_output_backward(one_hot(targets, 7), cache)
    expected = results(StepwiseAdaptive(), p, hidden, targets)
    np.testing.assert_allclose(-log_y[targets, np.arange(6)], expected.pop("nll"), rtol=1e-13)
    np.testing.assert_allclose(gradients["da"].T, expected.pop("hidden"), rtol=0, atol=1e-14)
    for name, gradient in expected.items():
        np.testing.assert_allclose(gradients[f"d{name}"].reshape(gradient.shape), gradient, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "targets",
    [[], [0, 2, 1], [3, 4, 3], [6, 6, 6], [0, 6, 2, 5], [4], [3, 6, 5, 4]],
    ids=["no rows", "the head alone", "the first cluster alone", "one word alone", "not the first", "one", "no head"],
)
def test_clusters_that_no_target_is_in(targets):
    p, targets = tensors(7, 4, (3, 5)), np.array(targets, int)
    hidden, _ = positions(len(targets), 7, 4)
    layer = AdaptiveSoftmax(options((3, 5)))
    results(layer, p, *positions(30, 7, 4))  # leftovers in the buffers must not matter
    got = results(layer, p, hidden, targets, 0.5)
    assert_same(got, results(StepwiseAdaptive(), p, hidden, targets, 0.5), 1e-12)
    for k, start, end in [(1, 3, 5), (2, 5, 7)]:
        used = ((targets >= start) & (targets < end)).any()
        assert all(got[f"{name}{k}"].any() == used for name in "PWb")


@pytest.mark.parametrize("sizes", [*SIZES, (2000, 40, (200, 900), 4)], ids=str)
def test_float32(sizes):
    V, H, cutoffs, div_value = sizes
    p = random_tensors(AdaptiveSoftmax.shapes(H, V, options(cutoffs, div_value)), np.float32, spread=0.3)
    hidden, targets = positions(20, V, H, np.float32)
    layer = AdaptiveSoftmax(options(cutoffs, div_value))
    got = results(layer, p, hidden, targets, 0.3)
    assert {array.dtype for array in got.values()} == {np.dtype(np.float32)}
    assert_same(got, results(StepwiseAdaptive(), wide(p), hidden.astype(float), targets, 0.3), TIGHT[np.float32])
    log_p = layer.log_probabilities(p, hidden)
    assert log_p.dtype == np.float32
    np.testing.assert_allclose(np.exp(log_p.astype(float)).sum(axis=1), 1, rtol=2e-5)
    np.testing.assert_array_equal(layer.score(p, hidden, targets), got["nll"])


def test_without_cutoffs_it_is_the_full_softmax():
    assert AdaptiveSoftmax.shapes(3, 11, options(())) == FullSoftmax.shapes(3, 11)
    p = tensors(11, 3, ())
    hidden, targets = positions(20, 11, 3)
    layer, full = AdaptiveSoftmax(options(())), FullSoftmax()
    got, expected = (results(each, p, hidden, targets, 0.3) for each in (layer, full))
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array)
    np.testing.assert_array_equal(layer.log_probabilities(p, hidden), full.log_probabilities(p, hidden))
    np.testing.assert_array_equal(layer.score(p, hidden, targets), full.score(p, hidden, targets))
    drawn, same = ({name: np.ones_like(tensor) for name, tensor in p.items()} for _ in "12")
    AdaptiveSoftmax.initialise_(drawn, np.random.default_rng(0))
    FullSoftmax.initialise_(same, np.random.default_rng(0))
    assert all((drawn[name] == tensor).all() for name, tensor in same.items())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("level", [2000, -2000, 100, -100, 50])
@pytest.mark.parametrize("where", ["by", "b1", "b2"])
def test_logits_that_overflow_or_underflow(where, level, dtype):
    p = tensors(7, 4, (3, 5), dtype=dtype)
    p[where] += dtype(level)
    hidden, targets = positions(12, 7, 4, dtype)
    got = results(AdaptiveSoftmax(options((3, 5))), p, hidden, targets, 0.3)
    assert all(np.isfinite(array).all() for array in got.values())
    # A logit of 2000 is rounded by 1e-16 of its size, which limits the accuracy of a loss near 1.
    tolerance = 8 * np.finfo(dtype).eps * abs(level)
    assert_same(got, results(StepwiseAdaptive(), wide(p), hidden.astype(float), targets, 0.3), tolerance)


@pytest.mark.parametrize("gap", [800.0, -800.0])  # exp(-800) is 0 in float64
def test_clusters_and_words_of_no_probability_cost_their_distance(gap):
    p = tensors(7, 4, (3, 5))
    p["by"][3] += gap  # the first cluster
    p["b2"][0] += gap
    hidden, _ = positions(7, 7, 4)
    targets = np.arange(7)
    layers = AdaptiveSoftmax(options((3, 5))), StepwiseAdaptive()
    got, oracle = (results(layer, p, hidden, targets) for layer in layers)
    assert got["nll"].max() > 790
    assert_same(got, oracle, 1e-13)
    log_p, expected = (layer.log_probabilities(p, hidden) for layer in layers)
    np.testing.assert_allclose(log_p, expected, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(-log_p[targets, targets], oracle["nll"], rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("level", [0, 2000])  # also the fallback
@pytest.mark.parametrize("layer", [AdaptiveSoftmax, StepwiseAdaptive])
def test_complex_steps_give_the_gradients(layer, level):
    p = tensors(7, 4, (3, 5), seed=8)
    for name in ("by", "b1", "b2"):
        p[name] += level
    assert_complex_steps_agree(layer(options((3, 5))), p, *positions(9, 7, 4))


def test_other_calls_do_not_disturb_a_forward_pass():
    p, layer = tensors(9, 3, (2, 4)), AdaptiveSoftmax(options((2, 4)))
    hidden, targets = positions(16, 9, 3)
    _, cache = layer.forward(p, hidden, targets)
    layer.log_probabilities(p, hidden[:2])
    kept = hidden.copy(), targets.copy()
    g = section_of(p)
    dhidden = layer.backward_(p, g, 1.0, cache)
    expected = results(StepwiseAdaptive(), p, hidden, targets)
    assert_same({"hidden": dhidden} | g, {name: expected[name] for name in expected if name != "nll"}, 1e-12)
    np.testing.assert_array_equal(hidden, kept[0])
    np.testing.assert_array_equal(targets, kept[1])


def test_one_layer_serves_batches_of_every_size_and_dtype():
    layer = AdaptiveSoftmax()
    for N, V, cutoffs, dtype in [
        (10, 20, (4, 9), np.float64),
        (3, 20, (4, 9), np.float64),
        (30, 20, (4, 9), np.float32),
        (5, 30, (2, 3, 20), np.float32),
        (30, 20, (4, 9), np.complex128),
        (1, 5, (), np.float64),
        (40, 20, (4, 9), np.float64),
    ]:
        p = tensors(V, 3, cutoffs, dtype=dtype, seed=N)
        hidden, targets = positions(N, V, 3, dtype)
        expected = results(StepwiseAdaptive(), {name: tensor.real for name, tensor in p.items()}, hidden.real, targets)
        got = {name: array.real for name, array in results(layer, p, hidden, targets).items()}
        assert_same(got, expected, TIGHT.get(dtype, 1e-12))


def test_the_same_bits_on_any_number_of_threads(monkeypatch):
    V, cutoffs = 3000, (1000, 2000)
    p = tensors(V, 8, cutoffs, dtype=np.float32)
    hidden, targets = positions(1000, V, 8, np.float32)
    assert SHARED <= 1002 * 1000  # the head
    assert min(((targets >= k) & (targets < k + 1000)).sum() for k in cutoffs) * 1000 >= SHARED  # and each cluster
    found = []
    for count in (1, 2, 5):
        monkeypatch.setattr(threads, "count", lambda count=count: count)
        got = results(AdaptiveSoftmax(options(cutoffs)), p, hidden, targets)
        found.append({name: array.tobytes() for name, array in got.items()})
    assert found[0] == found[1] == found[2]


def test_shapes():
    shapes = AdaptiveSoftmax.shapes(200, 10_000, options((1500, 5000), 4))
    assert shapes == {
        "Wya": (1502, 200),
        "by": (1502,),
        "P1": (50, 200),
        "W1": (3500, 50),
        "b1": (3500,),
        "P2": (12, 200),
        "W2": (5000, 12),
        "b2": (5000,),
    }
    assert AdaptiveSoftmax.shapes(200, 10_000, AdaptiveSoftmax.Options(head=0.15)) == shapes
    assert AdaptiveSoftmax.shapes(3, 9, options((2, 8), 1))["P2"] == (3, 3)
    assert AdaptiveSoftmax.shapes(3, 9, options((2, 8), 9))["P1"] == (1, 3)


@pytest.mark.parametrize("head", [0.001, 0.075, 0.15, 0.5])
@pytest.mark.parametrize("V", [1, 2, 7, 999, 1000, 1001, 10_000, 33_278, 1_000_000])
def test_default_cutoffs_fit_every_vocabulary(V, head):
    cutoffs = default_cutoffs(V, head)
    assert (cutoffs == ()) == (V < 1000)
    assert sorted({0, *cutoffs, V}) == [0, *cutoffs, V]
    shapes = AdaptiveSoftmax.shapes(200, V, AdaptiveSoftmax.Options(head=head))
    words = sum(shape[0] for name, shape in shapes.items() if name.startswith("b"))
    assert words == V + len(cutoffs)


def test_default_cutoffs():
    assert default_cutoffs(10_000) == (750, 3750)
    assert default_cutoffs(10_000, 0.15) == (1500, 5000)
    assert default_cutoffs(17_500, 0.15) == (2000, 8750)
    assert default_cutoffs(33_278, 0.15) == (2000, 10_000)
    assert default_cutoffs(33_278) == (1000, 5000)
    for V in (13_333, 13_334, 13_335):  # as before the head was a setting
        assert default_cutoffs(V, 0.15)[0] == min(V * 15 // 100, 2000)


@pytest.mark.parametrize("cutoffs", [(5, 3), (3, 3), (7,), (3, 7), (3, 8), (100,)])
def test_cutoffs_that_cut_nothing_are_refused(cutoffs):
    with pytest.raises(ConfigError) as error:
        AdaptiveSoftmax.shapes(4, 7, options(cutoffs))
    assert str(error.value) == (
        f"model.output.cutoffs: {list(cutoffs)} must rise, and stay below the 7 words of the vocabulary; remove "
        "them to use cutoffs that fit it"
    )


def test_starting_values():
    shapes = AdaptiveSoftmax.shapes(20, 4000, options((500, 2000)))
    p = {name: np.full(shape, 9, np.float32) for name, shape in shapes.items()}
    AdaptiveSoftmax.initialise_(p, np.random.default_rng(0))
    for name, tensor in p.items():
        if name.startswith("b"):
            assert not tensor.any()
        else:
            np.testing.assert_allclose(np.abs(tensor).max(), np.sqrt(6 / sum(tensor.shape)), rtol=0.02)
