import numpy as np
import pytest

from rnncli import reference
from rnncli.model.parameters import CHUNK, Parameters, Touched
from rnncli.optim import OPTIMIZERS
from rnncli.optim.adam import FLUSH_EVERY, Adam, LazyAdam
from rnncli.optim.clip import clip_by_global_norm_
from rnncli.optim.decay import decay_
from rnncli.optim.sgd import Sgd
from rnncli.system import threads

SIZES = [1, 7, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 5]


def gradients(size, steps, dtype=np.float64):
    """Gradients of many magnitudes, with exact zeros: the cases that need Adam's epsilon."""
    rng = np.random.default_rng(size)
    for _ in range(steps):
        gradient = rng.normal(size=size) * 10.0 ** rng.integers(-10, 3, size)
        yield np.where(rng.random(size) < 0.1, 0, gradient).astype(dtype)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clip_scales_down_to_the_norm(size, dtype):
    gradient = np.random.default_rng(size).normal(size=size).astype(dtype)
    before, length = gradient.copy(), float(np.linalg.norm(gradient.astype(np.float64)))
    digits = 20 * float(np.finfo(dtype).eps)
    norm = clip_by_global_norm_(gradient, length / 3)
    assert type(norm) is float
    assert norm == pytest.approx(length, rel=digits)
    np.testing.assert_allclose(gradient, before / 3, rtol=digits)
    assert gradient.dtype == dtype


@pytest.mark.parametrize("clip_norm", [None, 5.0, 5.0001, 1e30])
def test_clip_leaves_a_short_gradient(clip_norm):
    gradient = np.array([3.0, 0, -4])
    assert clip_by_global_norm_(gradient, clip_norm) == 5
    np.testing.assert_array_equal(gradient, [3, 0, -4])
    zeros = np.zeros(3)
    assert clip_by_global_norm_(zeros, clip_norm) == 0
    assert not zeros.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, CHUNK + 3])
def test_clip_does_not_change_a_gradient_that_is_not_finite(bad, place):
    gradient = np.arange(1.0, CHUNK + 10)
    gradient[place] = bad
    before = gradient.copy()
    assert not np.isfinite(clip_by_global_norm_(gradient, 1.0))
    np.testing.assert_array_equal(gradient, before)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("betas", [(0.9, 0.999, 1e-8), (0.5, 0.9, 1e-3)])
def test_adam_is_the_adam_of_the_reference(size, betas):
    beta1, beta2, epsilon = betas
    vector = np.random.default_rng(0).normal(size=size)
    adam = Adam(size, vector.dtype, Adam.Options(beta1, beta2, epsilon))
    expected = {"w": vector.copy()}
    v, s = reference.initialize_adam(expected)
    for t, gradient in enumerate(gradients(size, 6), start=1):
        rate = 0.01 * t  # a schedule changes the rate from step to step
        kept = gradient.copy()
        adam.step_(vector, gradient, rate, t)
        np.testing.assert_array_equal(gradient, kept)
        expected, v, s = reference.update_parameters_with_adam(
            expected, {"dw": gradient}, v, s, t, rate, beta1, beta2, epsilon
        )
        np.testing.assert_allclose(vector, expected["w"], rtol=0, atol=1e-12)
        np.testing.assert_allclose(adam.moments["m"], v["dw"], rtol=1e-12, atol=1e-30)
        np.testing.assert_allclose(adam.moments["v"], s["dw"], rtol=1e-12, atol=1e-30)


def test_adam_moves_weights_whose_gradient_is_zero_now():
    """Dense Adam: the first moment still moves the weight; skipping such rows would be a different algorithm."""
    vector = np.zeros(2)
    adam = Adam(2, vector.dtype)
    adam.step_(vector, np.array([1.0, 0.0]), 0.1, 1)
    after_one = vector.copy()
    adam.step_(vector, np.zeros(2), 0.1, 2)
    assert vector[0] < after_one[0] < 0
    assert vector[1] == 0


def test_adam_in_float32_stays_near_float64_and_keeps_its_dtype():
    size = CHUNK + 1
    narrow, wide = np.ones(size, np.float32), np.ones(size)
    one, two = Adam(size, narrow.dtype), Adam(size, wide.dtype)
    for t, gradient in enumerate(gradients(size, 5, np.float32), start=1):
        one.step_(narrow, gradient, 0.01, t)
        two.step_(wide, gradient.astype(np.float64), 0.01, t)
    np.testing.assert_allclose(narrow, wide, rtol=0, atol=1e-6)
    assert {moment.dtype for moment in one.moments.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("size", SIZES)
def test_sgd_is_its_closed_form(size):
    start = np.random.default_rng(1).normal(size=size)
    vector, sgd, total = start.copy(), Sgd(size, start.dtype), np.zeros(size)
    for t, gradient in enumerate(gradients(size, 4), start=1):
        kept = gradient.copy()
        sgd.step_(vector, gradient, 0.1 / t, t)
        np.testing.assert_array_equal(gradient, kept)
        total += 0.1 / t * gradient
    np.testing.assert_allclose(vector, start - total, rtol=1e-12, atol=1e-12)
    assert sgd.moments == {}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_moments_have_the_names_that_a_checkpoint_stores(name):
    optimizer = OPTIMIZERS[name](5, np.dtype(np.float32))
    assert tuple(optimizer.moments) == optimizer.moment_names()
    assert all((moment == 0).all() and moment.shape == (5,) for moment in optimizer.moments.values())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_goes_downhill_from_the_moments_alone(name):
    """Needed to resume a run: moments restored into a new optimizer give the same next step, to the bit."""
    vector = np.linspace(-1, 1, 10)
    first = OPTIMIZERS[name](10, vector.dtype)
    for t in (1, 2, 3):
        first.step_(vector, 2 * vector, 0.05, t)
    assert (np.abs(vector) < np.abs(np.linspace(-1, 1, 10))).all()
    resumed, copy = OPTIMIZERS[name](10, vector.dtype), vector.copy()
    for moment, values in first.moments.items():
        resumed.moments[moment][:] = values
    first.step_(vector, 2 * vector, 0.05, 4)
    resumed.step_(copy, 2 * copy, 0.05, 4)
    np.testing.assert_array_equal(copy, vector)


def test_momentum_is_heavy_ball():
    rng = np.random.default_rng(0)
    vector, sgd = rng.normal(size=50), Sgd(50, np.dtype(float), Sgd.Options(0.9))
    expected, u = vector.copy(), np.zeros(50)
    table = Touched(10, (4, 5), np.array([1, 3]))
    for step in range(1, 6):
        gradient = rng.normal(size=50)
        gradient[[*range(10, 15), *range(20, 25)]] = 0  # rows 0 and 2 of the table
        u = 0.9 * u + gradient
        expected -= 0.1 * u
        sgd.step_(vector, gradient, 0.1, step, [table])
    np.testing.assert_allclose(vector, expected, rtol=1e-13)
    assert (Sgd.moment_names(), Sgd.moment_names(Sgd.Options(0.5))) == ((), ("u",))


def test_weights_decay_and_biases_do_not():
    parameters = Parameters({"a.W": (300, 400), "a.b": (7,), "c.W": (2, 3)}, np.float32)
    parameters.vector[:] = 1
    decay_(parameters, 0.25)
    assert {name: set(tensor.flat) for name, tensor in parameters.items()} == {
        "a.W": {0.75},
        "a.b": {1.0},
        "c.W": {0.75},
    }


def test_a_norm_whose_square_overflows_is_still_clipped():
    gradient = np.full(10, 1e25, np.float32)
    assert clip_by_global_norm_(gradient, 1.0) == pytest.approx(1e25 * np.sqrt(10), rel=1e-6)
    np.testing.assert_allclose(gradient, 1 / np.sqrt(10), rtol=1e-6)


def table_and_gradient(rng, rows, n, touched, before=5, after=3):
    """A gradient that contains a table, zero except for the touched rows, and its `Touched`."""
    gradient = rng.normal(size=before + rows * n + after)
    table = gradient[before : before + rows * n].reshape(rows, n)
    table[np.setdiff1d(np.arange(rows), touched)] = 0
    return gradient, [Touched(before, (rows, n), np.asarray(touched, np.intp))]


TOUCHED = {"none": [], "some": [0, 3, 4, 9], "all": list(range(10))}


@pytest.fixture(params=[1, threads.SHARED], ids=["by rows", "in one pass"])
def either_path(request, monkeypatch):
    """Adam updates a small vector in one pass, and a large one table by table."""
    monkeypatch.setattr(threads, "SHARED", request.param)


@pytest.mark.usefixtures("either_path")
@pytest.mark.parametrize("touched", TOUCHED.values(), ids=TOUCHED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_rows_without_gradient_are_updated_to_the_bit_as_if_nothing_were_known_of_them(name, dtype, touched):
    rng = np.random.default_rng(3)
    known, unknown = (OPTIMIZERS[name](58, np.dtype(dtype)) for _ in range(2))
    one = rng.normal(size=58).astype(dtype)
    two = one.copy()
    for t in range(1, 5):
        rows = touched if t % 2 else [7]  # rows that were touched earlier but not now
        gradient, tables = table_and_gradient(rng, 10, 5, rows)
        gradient = gradient.astype(dtype)
        known.step_(one, gradient, 0.01, t, tables)
        unknown.step_(two, gradient, 0.01, t)
        np.testing.assert_array_equal(one, two)
        for moment in known.moment_names():
            np.testing.assert_array_equal(known.moments[moment], unknown.moments[moment])


@pytest.mark.usefixtures("either_path")
def test_a_table_longer_than_a_chunk_and_one_of_a_single_number_a_row():
    rng = np.random.default_rng(4)
    rows, n = 3 * CHUNK // 100 + 1, 100
    gradient, (table,) = table_and_gradient(rng, rows, n, [0, 1, CHUNK // 100, rows - 1], before=0, after=rows)
    gradient[rows * n :][5:] = 0
    tables = [table, Touched(rows * n, (rows,), np.arange(5))]
    known, unknown = (Adam(gradient.size, gradient.dtype) for _ in range(2))
    one = rng.normal(size=gradient.size)
    two = one.copy()
    for t in (1, 2):
        known.step_(one, gradient, 0.01, t, tables)
        unknown.step_(two, gradient, 0.01, t)
    np.testing.assert_array_equal(one, two)
    length = float(np.linalg.norm(gradient))
    clipped = gradient.copy()
    assert clip_by_global_norm_(clipped, length / 2, tables) == pytest.approx(length, rel=1e-12)
    np.testing.assert_allclose(clipped, gradient / 2, rtol=1e-12)


@pytest.mark.usefixtures("either_path")
@pytest.mark.parametrize("by_rows", [True, False])
def test_a_fading_moment_ends_at_zero(by_rows):
    """Otherwise m of a rare word stays at a few times the smallest subnormal number, which is slow to compute with."""
    adam, vector = Adam(6, np.dtype(np.float32)), np.ones(6, np.float32)
    nothing, tables = np.zeros(6, np.float32), [Touched(0, (3, 2), np.array([], np.intp))] if by_rows else []
    adam.moments["m"][:], adam.moments["v"][:] = [1e-3, -1e-3, 1e-20, 1e-33, 0, 1], 1
    for t in range(1, 3000):
        adam.step_(vector, nothing, 0.001, t, tables)
        small = np.abs(adam.moments["m"][adam.moments["m"] != 0])
        assert t < FLUSH_EVERY or (small >= np.finfo(np.float32).tiny).all()
    assert not adam.moments["m"].any()


def test_lazy_adam_leaves_rows_without_gradient_alone():
    rng = np.random.default_rng(5)
    lazy, dense = LazyAdam(58, np.dtype(np.float64)), Adam(58, np.dtype(np.float64))
    one = rng.normal(size=58)
    start, two = one.copy(), one.copy()
    first, tables = table_and_gradient(rng, 10, 5, [2, 6])
    lazy.step_(one, first, 0.01, 1, tables)
    dense.step_(two, first, 0.01, 1)
    np.testing.assert_array_equal(one, two)  # no moments yet
    after, moments = one.copy(), {name: moment.copy() for name, moment in lazy.moments.items()}
    second, tables = table_and_gradient(rng, 10, 5, [6])
    lazy.step_(one, second, 0.01, 2, tables)
    row = slice(5 + 6 * 5, 5 + 7 * 5)
    changed = one != after
    assert changed[row].all()
    assert changed[:5].all()
    assert changed[55:].all()
    changed[row] = changed[:5] = changed[55:] = False
    assert not changed.any()
    rest = slice(5 + 2 * 5, 5 + 3 * 5)  # the row that the first step touched keeps its moments
    assert (start[rest] != one[rest]).all()
    for name, moment in lazy.moments.items():
        np.testing.assert_array_equal(moment[rest], moments[name][rest])
    dense.step_(two, second, 0.01, 2)
    np.testing.assert_array_equal(one[row], two[row])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_in_a_touched_row_is_found(bad):
    gradient, tables = table_and_gradient(np.random.default_rng(6), 10, 5, [2, 6])
    tables[0].of(gradient)[6, 1] = bad
    assert not np.isfinite(clip_by_global_norm_(gradient, 1.0, tables))
