import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncli.config import build
from rnncli.config.config import ModelConfig
from rnncli.model.initialise import glorot_, orthogonal_, uniform_
from rnncli.model.parameters import Gradients, Parameters, sum_rows

SHAPES = {"embedding.E": (5, 3), "layer0.Waa": (4, 4), "layer0.ba": (4,), "layer01.ba": (2,), "output.by": (5,)}
SIZE = 15 + 16 + 4 + 2 + 5


def numbered(dtype=np.float64):
    parameters = Parameters(SHAPES, dtype)
    parameters.vector[:] = np.arange(SIZE)
    return parameters


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_views_and_vector_share_memory_in_the_stated_order(dtype):
    parameters = numbered(dtype)
    assert parameters.vector.dtype == parameters.dtype == dtype
    assert list(parameters) == list(SHAPES)
    assert {name: view.shape for name, view in parameters.items()} == SHAPES
    in_order = np.concatenate([parameters[name].ravel() for name in SHAPES])
    np.testing.assert_array_equal(in_order, np.arange(SIZE))
    parameters["layer0.ba"][1] = 100
    assert parameters.vector[15 + 16 + 1] == 100
    parameters.vector[:] *= 2
    assert parameters["layer0.ba"][1] == 200
    assert parameters["embedding.E"][1, 2] == 2 * 5
    assert all(np.shares_memory(view, parameters.vector) for _, view in parameters.items())


def test_a_section_has_the_views_of_one_prefix():
    parameters = numbered()
    section = parameters.section("layer0")
    assert list(section) == ["Waa", "ba"]  # and nothing of layer01
    section["ba"][...] = -1
    np.testing.assert_array_equal(parameters["layer0.ba"], -1)
    np.testing.assert_array_equal(parameters["layer01.ba"], [35, 36])
    assert parameters.section("layer") == {}


def test_a_given_vector_is_taken_as_it_is():
    vector = np.arange(SIZE, dtype=np.float32)
    parameters = Parameters(SHAPES, vector=vector)
    assert parameters.vector is vector
    parameters["output.by"][0] = 7
    assert vector[SIZE - 5] == 7
    with pytest.raises(ValueError, match="reshape"):
        Parameters(SHAPES, vector=vector[:-1])


def test_copies_share_nothing():
    parameters = numbered()
    zeros, other = parameters.zeros_like(), parameters.astype(np.complex128)
    assert (zeros.shapes, zeros.dtype) == (SHAPES, np.float64)
    assert not zeros.vector.any()
    assert other.dtype == np.complex128
    np.testing.assert_array_equal(other["layer0.Waa"], parameters["layer0.Waa"])
    zeros["layer0.ba"][...] = other["layer0.ba"][...] = 1j.imag
    np.testing.assert_array_equal(parameters.vector, np.arange(SIZE))


@given(st.data(), st.integers(1, 8), st.integers(1, 4), st.sampled_from([np.float32, np.float64, np.complex128]))
def test_sums_of_rows_equal_add_at(data, V, n, dtype):
    ids = np.array(data.draw(st.lists(st.integers(0, V - 1), max_size=30)), np.intp)
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    # Small integers: every order of summation gives the same sum, so the two are equal to the bit.
    expected, rows = np.zeros((V, n), dtype), rng.integers(-9, 10, (len(ids), n)).astype(dtype)
    if dtype == np.complex128:
        rows *= 3 - 1j
    kept_ids, kept_rows = ids.copy(), rows.copy()
    np.add.at(expected, ids, rows)
    touched, sums = sum_rows(ids, rows)
    assert touched.tolist() == sorted(set(ids.tolist()))
    np.testing.assert_array_equal(sums, expected[touched])
    assert sums.dtype == dtype
    np.testing.assert_array_equal(ids, kept_ids)
    np.testing.assert_array_equal(rows, kept_rows)


@pytest.mark.parametrize("shape", [(3,), (2, 3), ()])
def test_sums_of_rows_of_any_shape(shape):
    rng = np.random.default_rng(1)
    ids, rows, expected = rng.integers(0, 5, 200), rng.normal(size=(200, *shape)), np.zeros((5, *shape))
    np.add.at(expected, ids, rows)
    touched, sums = sum_rows(ids, rows)
    np.testing.assert_array_equal(touched, np.arange(5))
    np.testing.assert_allclose(sums, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_orthogonal(n, dtype):
    stacked = np.full((3 * n, n), 5, dtype)
    orthogonal_(stacked[n : 2 * n], np.random.default_rng(n))
    W = stacked[n : 2 * n].astype(np.float64)
    np.testing.assert_allclose(W @ W.T, np.eye(n), atol=100 * np.finfo(dtype).eps)
    assert (stacked[:n] == 5).all()
    assert (stacked[2 * n :] == 5).all()
    again = np.empty((n, n), dtype)
    orthogonal_(again, np.random.default_rng(n))
    np.testing.assert_array_equal(again, stacked[n : 2 * n])


def test_orthogonal_favours_no_direction():
    """Haar measure: without fixed signs, QR gives a diagonal with a mean far from 0."""
    rng = np.random.default_rng(0)
    W = np.empty((3, 3))
    diagonals, determinants = [], []
    for _ in range(2000):
        orthogonal_(W, rng)
        diagonals.append(np.diagonal(W).copy())
        determinants.append(np.linalg.det(W))
    np.testing.assert_allclose(np.mean(diagonals, axis=0), 0, atol=5 * np.sqrt(1 / 3 / 2000))
    np.testing.assert_allclose(np.abs(determinants), 1, rtol=1e-12)
    np.testing.assert_allclose(np.mean(determinants), 0, atol=5 / np.sqrt(2000))


@pytest.mark.parametrize(("shape", "fan_in", "fan_out"), [((300, 50), 300, 50), ((40, 400), 40, 100)])
def test_glorot(shape, fan_in, fan_out):
    W = np.empty(shape, np.float32)
    glorot_(W, fan_in, fan_out, np.random.default_rng(2))
    limit = np.sqrt(6 / (fan_in + fan_out))
    assert 0.999 * limit < np.abs(W).max() <= np.float32(limit)
    np.testing.assert_allclose(W.mean(), 0, atol=5 * limit / np.sqrt(3 * W.size))
    np.testing.assert_allclose(W.var(dtype=np.float64), 2 / (fan_in + fan_out), rtol=0.05)  # the variance by Glorot
    below_half = np.mean(np.abs(W) < limit / 2)  # uniform, not just that variance
    np.testing.assert_allclose(below_half, 0.5, atol=5 * 0.5 / np.sqrt(W.size))


def test_gradients_know_the_rows_that_were_written_and_clear_those_of_before():
    gradients = Gradients(numbered())
    E = gradients["embedding.E"]
    gradients.vector[:] = 7  # contents from before the first write are cleared
    section = gradients.section("embedding")
    section.write_rows_("E", np.array([4, 1, 4]), np.arange(9.0).reshape(3, 3))
    np.testing.assert_array_equal(E, [[0, 0, 0], [3, 4, 5], [0, 0, 0], [0, 0, 0], [6, 8, 10]])
    (touched,) = gradients.touched()
    assert (touched.start, touched.stop, touched.shape, touched.row_size) == (0, 15, (5, 3), 3)
    np.testing.assert_array_equal(touched.rows, [1, 4])
    assert np.shares_memory(touched.of(gradients.vector), E)
    section.write_rows_("E", np.array([0]), np.ones((1, 3)))
    np.testing.assert_array_equal(E, [[1, 1, 1], *[[0, 0, 0]] * 4])
    np.testing.assert_array_equal(gradients.touched()[0].rows, [0])
    assert (gradients.vector[15:] == 7).all()


def test_no_rows_at_all():
    gradients = Gradients(numbered())
    gradients.section("embedding").write_rows_("E", np.array([], np.intp), np.empty((0, 3)))
    assert not gradients["embedding.E"].any()
    assert len(gradients.touched()[0].rows) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(5, 7), (30000, 7), (3, 70000), (200000,), (0, 4), (4, 0), (9000, 4, 5)])
def test_numbers_drawn_some_rows_at_a_time_are_those_drawn_at_once(shape, dtype):
    W, rng, again = np.empty(shape, dtype), np.random.default_rng(3), np.random.default_rng(3)
    uniform_(W, 0.25, rng)
    assert np.array_equal(W, again.uniform(-0.25, 0.25, shape).astype(dtype))
    assert rng.random() == again.random()  # and the stream is at the same position


@pytest.mark.parametrize("forget_bias", [1.0, -0.5])
def test_the_forget_gate_starts_with_its_bias(forget_bias):
    config = ModelConfig("lstm", 2, hidden_size=3, embedding_size=2, forget_bias=forget_bias)
    p = build.architecture(config, 5).initialise(1)
    for layer in (0, 1):
        assert p[f"layer{layer}.ba"].tolist() == [forget_bias] * 3 + [0] * 9
