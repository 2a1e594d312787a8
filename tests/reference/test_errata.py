"""docs/errata.md, recomputed: each table row is evaluated twice, as the notebook printed it and as it should be.

A row's id is `<group>.<name>`. A group is a function below that returns two namespaces: in the first, the row's
expression must give the printed value (so the stated reason is the true one), in the second the true value.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from rnncli import reference as ref

PAGE = Path(__file__).resolve().parents[2] / "docs" / "errata.md"
ROW = re.compile(r"^\| `(\w+)\.(\w+)` \| (.+?) \| `(.+?)` \| `(.+?)` \| `(.+?)` \|$", re.MULTILINE)


def randn(*shapes):
    return [np.random.randn(*shape) for shape in shapes]


# ---------------------------------------------------------------- the recipes of the notebooks
def rnn_cell_recipe(ba=None):
    np.random.seed(1)
    xt, a_prev, Wax, Waa, Wya, drawn, by = randn((3, 10), (5, 10), (5, 3), (5, 5), (2, 5), (5, 1), (2, 1))
    p = {"Wax": Wax, "Waa": Waa, "Wya": Wya, "ba": drawn if ba is None else ba, "by": by}
    cache = ref.rnn_cell_forward(xt, a_prev, p)[-1]
    return cache, np.random.randn(5, 10)


def rnn_recipe():
    np.random.seed(1)
    x, a0, Wax, Waa, Wya, ba, by = randn((3, 10, 4), (5, 10), (5, 3), (5, 5), (2, 5), (5, 1), (2, 1))
    caches = ref.rnn_forward(x, a0, {"Wax": Wax, "Waa": Waa, "Wya": Wya, "ba": ba, "by": by})[-1]
    return caches, np.random.randn(5, 10, 4)


def draw_lstm_parameters():
    return {
        name: np.random.randn(5, 8 if name[0] == "W" else 1) for gate in "fioc" for name in (f"W{gate}", f"b{gate}")
    }


def lstm_cell_recipe():
    np.random.seed(1)
    xt, a_prev, c_prev = randn((3, 10), (5, 10), (5, 10))
    p = draw_lstm_parameters()
    p["Wy"], p["by"] = randn((2, 5), (2, 1))
    cache = ref.lstm_cell_forward(xt, a_prev, c_prev, p)[-1]
    return cache, *randn((5, 10), (5, 10))


def lstm_recipe():
    np.random.seed(1)
    x, a0 = randn((3, 10, 7), (5, 10))
    caches = ref.lstm_forward(x, a0, draw_lstm_parameters())[-1]  # draws no Wy, by: they change no gradient
    return caches, np.random.randn(5, 10, 4)


# ---------------------------------------------------------------- groups: (as printed, as it should be)
def stale_bias():
    np.random.seed(1)
    *_, ba = randn((3, 10, 4), (5, 10), (5, 5), (5, 3), (2, 5), (5, 1))  # left over from the rnn_forward cell
    cache, da_next = rnn_cell_recipe(ba)
    return {"gradients": ref.rnn_cell_backward(da_next, cache)}, own_bias()


def own_bias():
    cache, da_next = rnn_cell_recipe()
    return {"gradients": ref.rnn_cell_backward(da_next, cache)}


def misplaced_square():
    cache, da_next = rnn_cell_recipe()
    _, a_prev, xt, p = cache
    z = p["Wax"] @ xt + p["Waa"] @ a_prev + p["ba"]
    wrong = da_next * (1 - np.tanh(z * z))
    printed = {"dxt": p["Wax"].T @ wrong, "da_prev": p["Waa"].T @ wrong, "dba": wrong.sum(axis=1)}
    return {"gradients": printed}, own_bias()


def upstream_left_out():
    cache, da_next = rnn_cell_recipe()
    return {"gradients": ref.rnn_cell_backward(np.ones_like(da_next), cache)}, own_bias()


def no_time():
    caches, da = rnn_recipe()
    steps = [ref.rnn_cell_backward(np.ones((5, 10)), cache) for cache in caches[0]]
    return {"gradients": summed(steps)}, {"gradients": ref.rnn_backward(da, caches)}


def lstm_steps_without_carry():
    caches, da = lstm_recipe()
    steps = [ref.lstm_cell_backward(da[:, :, t], np.zeros((5, 10)), caches[0][t]) for t in range(4)]
    return steps, {"gradients": ref.lstm_backward(da, caches)}


def no_carry():
    steps, true = lstm_steps_without_carry()
    return {"gradients": summed(steps)}, true


def bias_slip():
    steps, true = lstm_steps_without_carry()
    dbf = summed(steps)["dbf"]
    return {"gradients": {name: dbf + steps[0][name] for name in ("dbi", "dbc", "dbo")}}, true


def summed(steps):
    starts = {name.replace("_prev", "0"): steps[0][name] for name in steps[0] if name.endswith("_prev")}
    sums = {name: sum(step[name] for step in steps) for name in steps[0] if name[1] in "Wb"}
    return {"dx": np.stack([step["dxt"] for step in steps], axis=2), **starts, **sums}


def equations():
    cache, da_next, dc_next = lstm_cell_recipe()
    _, c_next, a_prev, c_prev, ft, it, cct, ot, xt, p = cache
    through_tanh = ot * (1 - np.tanh(c_next) ** 2) * da_next
    dz = {
        "o": da_next * np.tanh(c_next) * ot * (1 - ot),
        "c": dc_next * it + through_tanh * it * cct * (1 - np.tanh(cct) ** 2),
        "i": dc_next * cct + through_tanh * cct * it * (1 - it),
        "f": dc_next * c_prev + through_tanh * c_prev * ft * (1 - ft),
    }
    printed = {f"dW{gate}": d @ np.concatenate([a_prev, xt]).T for gate, d in dz.items()}
    printed |= {f"db{gate}": d.sum(axis=1, keepdims=True) for gate, d in dz.items()}
    printed["da_prev"] = sum(p[f"W{gate}"][:, :5].T @ d for gate, d in dz.items())
    printed["dxt"] = sum(p[f"W{gate}"][:, 5:].T @ d for gate, d in dz.items())
    return {"gradients": printed}, {"gradients": ref.lstm_cell_backward(da_next, dc_next, cache)}


def slices():
    W_f, n_a = np.zeros((5, 5 + 3)), 5
    return {"for_a": W_f[:n_a, :], "for_x": W_f[n_a:, :]}, {"for_a": W_f[:, :n_a], "for_x": W_f[:, n_a:]}


def softmax_002():
    return {"softmax": lambda x: (e := np.exp(x - np.max(x))) / e.sum(axis=0)}, {"softmax": softmax_of_list}


def softmax_000():
    return {"softmax": lambda x: np.exp(x) / np.exp(x).sum(axis=0)}, {"softmax": softmax_of_list}


def softmax_of_list(x):
    return ref.softmax(np.array(x, float))


def adam():
    def true_step(g):
        p, grads = {"W1": np.array(0.0)}, {"dW1": np.array(g)}
        return -ref.update_parameters_with_adam(p, grads, *ref.initialize_adam(p), t=1, learning_rate=1.0)[0]["W1"]

    return {"first_step": lambda g: g / np.sqrt(g * g + 1e-8)}, {"first_step": true_step}


def tanh_derivative():
    x = 0.7
    tanh_prime = np.tanh(x + 1e-20j).imag / 1e-20
    return {"derivative": 1 / np.cos(x) ** 2}, {"derivative": tanh_prime}


def toy():
    data = ref.prepare_sentences()
    np.random.seed(1)
    Wax, a0, Waa, ba, Way, by = randn((1, 2), (2, 10), (2, 2), (2, 1), (2, 1), (1, 1))
    p = {"Wax": Wax.T, "Waa": Waa.T, "ba": ba, "Wya": Way.T, "by": by}
    x = data.x[:, 0].reshape(1, 10, 4)  # n_x = 1, m = 10: the vocabulary on the example axis
    a, y_pred, _ = ref.rnn_forward(x, a0, p)
    logits = np.einsum("ya,amt->ymt", p["Wya"], a) + by  # (1, 10, 4)
    y_true = ref.softmax(logits[0])[:, np.newaxis]  # the same activations, as a (10, 1, 4) distribution over the words
    words, y1 = y_pred[0].argmax(axis=0), data.target_ids[0]
    printed = {"y_hat": y_pred[0], "cost": (1 / 4) * np.dot(y1, np.log(words))}
    return printed, {"y_hat": y_true[:, 0], "cost": ref.cross_entropy_cost(y_true, data.y[:, :1])}


GROUPS = {
    group.__name__: group
    for group in (stale_bias, misplaced_square, upstream_left_out, no_time, no_carry, bias_slip, equations, slices)
} | {group.__name__: group for group in (softmax_002, softmax_000, adam, tanh_derivative, toy)}
ROWS = ROW.findall(PAGE.read_text(encoding="utf-8"))


def value(text):
    return np.array(eval(text, {"nan": np.nan}))


@pytest.mark.parametrize(
    ("group", "name", "where", "expression", "printed", "true"), ROWS, ids=[".".join(r[:2]) for r in ROWS]
)
def test_row(group, name, where, expression, printed, true):
    with np.errstate(all="ignore"):  # the printed formulas overflow, divide by zero and take the logarithm of zero
        as_printed, as_true = (np.array(eval(expression, dict(namespace))) for namespace in GROUPS[group]())
    np.testing.assert_allclose(as_true, value(true), rtol=1e-11)
    np.testing.assert_allclose(as_printed, value(printed), rtol=5e-8, atol=5.1e-9)  # the notebooks print 8 decimals
    assert not np.array_equal(value(printed), value(true))


def test_the_page_has_every_group_once_and_nothing_unparsed():
    ids = [(group, name) for group, name, *_ in ROWS]
    assert len(ids) == len(set(ids))
    assert list(dict.fromkeys(group for group, _ in ids)) == list(GROUPS)
    assert len(ids) == len(re.findall(r"^\| `\w+\.\w+` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
