"""The reference outside the cells: cost, data preparation, names, Adam, and a model that learns."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from rnncli import reference as ref


def test_cost_against_closed_forms():
    y = np.eye(4)[:, [[0, 3, 1], [2, 2, 0]]]  # (4, 2, 3)
    uniform = np.full(y.shape, 0.25)
    np.testing.assert_allclose(ref.cross_entropy_cost(uniform, y), np.log(4), rtol=1e-15)
    np.testing.assert_allclose(ref.cross_entropy_cost(uniform, y, reduction="sum"), 6 * np.log(4), rtol=1e-15)
    mask = np.array([[1, 1, 0], [1, 0, 0]])
    y_pred = uniform.copy()
    y_pred[:, 0, 0] = [0.7, 0.1, 0.1, 0.1]
    y_pred[:, 1, 2] = 0  # padded: costs nothing, whatever the value
    cost = ref.cross_entropy_cost(y_pred, y * mask, mask)
    np.testing.assert_allclose(cost, (-np.log(0.7) + 2 * np.log(4)) / 3, rtol=1e-15)
    np.testing.assert_array_equal(ref.cross_entropy_backward(y_pred, y, mask)[:, mask == 0], 0)
    assert ref.cross_entropy_cost(y_pred, y) == np.inf


def test_cost_refuses_wrong_shapes():
    y = np.eye(2)[:, :, None]
    for y_pred, mask, reduction, message in [
        (y[:1], None, "mean", "must be equal"),
        (y, np.ones(2), "mean", "mask has shape"),
        (y, np.zeros((2, 1)), "sum", "no real position"),
        (y, None, "median", "choose 'mean' or 'sum'"),
    ]:
        with pytest.raises(ValueError, match=message):
            ref.cross_entropy_cost(y_pred, y, mask, reduction)


def test_data_preparation_of_notebook_000():
    data = ref.prepare_sentences()
    assert list(data.idx2char) == ["<end>", "banana", "black", "color", "hair", "has", "is", "mango", "pink", "yellow"]
    assert [data.char2idx[word] for word in data.idx2char] == list(range(10))
    np.testing.assert_array_equal(data.input_ids, [[7, 6, 9, 3], [1, 6, 8, 3], [4, 5, 2, 3]])
    np.testing.assert_array_equal(data.target_ids, [[6, 9, 3, 0], [6, 8, 3, 0], [5, 2, 3, 0]])
    assert data.x.shape == data.y.shape == (10, 3, 4)
    np.testing.assert_array_equal(data.x.argmax(axis=0), data.input_ids)
    np.testing.assert_array_equal(data.y.argmax(axis=0), data.target_ids)
    np.testing.assert_array_equal(data.x.sum(axis=0), 1)
    assert data.mask.all()


def test_sentences_of_unequal_length_are_padded_and_masked():
    data = ref.prepare_sentences(["b a", "a"], np.float32)
    np.testing.assert_array_equal(data.mask, [[True, True], [True, False]])
    np.testing.assert_array_equal(data.x[:, 1], [[0, 0], [1, 0], [0, 0]])  # <end>, a, b by time step
    np.testing.assert_array_equal(data.y[:, 1], [[1, 0], [0, 0], [0, 0]])
    assert data.x.dtype == data.y.dtype == np.float32
    for sentences, message in [
        ([], "sentences is empty"),
        (["a", " "], "sentence 2 is blank"),
        (["a <end>"], "contains '<end>'"),
    ]:
        with pytest.raises(ValueError, match=message):
            ref.prepare_sentences(sentences)


def test_h_names_of_notebook_004():
    Whx, Whh, Wyh, bh, by = np.ones((4, 3)), np.ones((4, 4)), np.ones((2, 4)), np.ones((4, 1)), np.ones((2, 1))
    p = ref.from_h_names({"Whx": Whx, "Whh": Whh, "Wyh": Wyh, "bh": bh, "by": by})
    assert p["Waa"] is Whh
    a, _, caches = ref.rnn_forward(np.ones((3, 2, 3)), np.ones((4, 2)), p)
    gradients = ref.rnn_backward(np.ones_like(a), caches)
    renamed = ref.to_h_names(gradients)
    assert set(renamed) == {"dx", "dh0", "dWhx", "dWhh", "dbh"}
    assert renamed["dWhh"] is gradients["dWaa"]
    with pytest.raises(KeyError, match="Wax"):
        ref.from_h_names(p)


def test_adam_first_steps():
    p = {"Wax": np.array([1.0, 1.0, 1.0]), "ba": np.array([[2.0]])}
    grads = {"dWax": np.array([1.0, -1e-6, 0.0]), "dba": np.array([[-3.0]]), "dx": np.array(0.0)}
    v, s = ref.initialize_adam(p)
    kept = copy.deepcopy((p, grads, v, s))
    new, v1, s1 = ref.update_parameters_with_adam(p, grads, v, s, t=1)
    np.testing.assert_allclose(1 - new["Wax"], [0.01 / (1 + 1e-8), -0.01 * 1e-6 / (1e-6 + 1e-8), 0], rtol=1e-12)
    np.testing.assert_equal((p, grads, v, s), kept)
    again, _, _ = ref.update_parameters_with_adam(new, grads, v1, s1, t=2)  # a constant gradient: equal steps
    np.testing.assert_allclose(again["Wax"] - new["Wax"], new["Wax"] - p["Wax"], rtol=1e-9)
    with pytest.raises(ValueError, match="counted from 1"):
        ref.update_parameters_with_adam(p, grads, v, s, t=0)
    with pytest.raises(KeyError, match="dba"):
        ref.update_parameters_with_adam(p, {"dWax": p["Wax"]}, v, s, t=1)


def test_a_reference_model_learns_the_three_sentences():
    data = ref.prepare_sentences()
    rng = np.random.default_rng(0)
    p = {name: 0.1 * rng.normal(size=shape) for name, shape in [("Waa", (8, 8)), ("Wax", (8, 10)), ("Wya", (10, 8))]}
    p |= {"ba": np.zeros((8, 1)), "by": np.zeros((10, 1))}
    v, s = ref.initialize_adam(p)
    for t in range(1, 301):
        a, y_pred, caches = ref.rnn_forward(data.x, np.zeros((8, 3)), p)
        output = ref.output_backward(a, y_pred, data.y, p)
        p, v, s = ref.update_parameters_with_adam(p, ref.rnn_backward(output["da"], caches) | output, v, s, t)
    assert ref.cross_entropy_cost(y_pred, data.y) < 0.05  # each first word decides all that follows
    np.testing.assert_array_equal(y_pred.argmax(axis=0), data.target_ids)
