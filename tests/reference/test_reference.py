"""The reference equations: gradients against complex-step derivatives, values against those printed in the course."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rnncli import reference as ref

SHAPES = [(3, 4, 2, 2, 3), (1, 1, 1, 1, 1), (2, 3, 4, 1, 5), (4, 1, 2, 3, 2), (1, 3, 2, 2, 1)]  # n_x, n_a, n_y, m, T_x
OUTPUTS = ("Wya", "Wy", "by")
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Cell:
    """One cell of the reference, with one signature for all of them."""

    name: str
    parts: str  # the parts of the state, a letter each
    parameters: dict[str, str]  # name -> shape, by letters: a n_a, x n_x, y n_y, c n_a + n_x, 1 one

    def function(self, kind):
        return getattr(ref, f"{self.name}_{kind}")

    def forward(self, x, p, *start):
        """First part of the state over time, predictions, memory after the last step (LSTM only), caches."""
        if self.parts == "ac":
            a, y, c, caches = ref.lstm_forward(x, start[0], p, c0=start[1])
            return a, y, c[:, :, -1], caches
        a, y, caches = self.function("forward")(x, *start, p)
        return a, y, None, caches

    def backward(self, da, caches, dc_last=None):
        return self.function("backward")(da, caches, *((dc_last,) if self.parts == "ac" else ()))


OUTPUT = {"Wy": "ya", "by": "y1"}
LSTM = {f"{kind}{gate}": shape for gate in "fico" for kind, shape in (("W", "ac"), ("b", "a1"))}
GRU = {"Wr": "ac", "Wz": "ac", "Wna": "aa", "Wnx": "ax", "br": "a1", "bz": "a1", "bna": "a1", "bnx": "a1"}
CELLS = {
    "rnn": Cell("rnn", "a", {"Waa": "aa", "Wax": "ax", "ba": "a1", "Wya": "ya", "by": "y1"}),
    "lstm": Cell("lstm", "ac", LSTM | OUTPUT),
    "gru": Cell("gru", "a", GRU | OUTPUT),
    "simple_gru": Cell("simple_gru", "c", {"Wc": "ac", "Wu": "ac", "bc": "a1", "bu": "a1"} | OUTPUT),
}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def draw(cell, shape, seed=0):
    """Parameters, x, initial states, and the generator."""
    n_x, n_a, n_y, m, T_x = shape
    rng = np.random.default_rng(seed)
    size = {"a": n_a, "x": n_x, "y": n_y, "c": n_a + n_x, "1": 1}
    p = {name: 0.7 * rng.normal(size=[size[letter] for letter in axes]) for name, axes in cell.parameters.items()}
    return p, rng.normal(size=(n_x, m, T_x)), {f"{part}0": rng.normal(size=(n_a, m)) for part in cell.parts}, rng


def assert_gradients(loss, at, gradients, rtol=1e-9, h=1e-20):
    """Every element of `gradients["d" + name]` against Im loss(at[name] + ih) / h."""
    for name, value in at.items():
        numeric = np.zeros(value.shape)
        for i in np.ndindex(*value.shape):
            moved = value.astype(complex)
            moved[i] += 1j * h
            numeric[i] = loss({**at, name: moved}).imag / h
        analytic = gradients[f"d{name}"]
        assert analytic.shape == value.shape, name
        largest = np.max(np.abs(numeric))
        scale = np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), max(1e-5 * largest, 1e-300))
        assert np.max(np.abs(analytic - numeric) / scale) <= rtol, name


@every_cell
@every_shape
def test_cell_gradients(cell, shape):
    p, x, start, rng = draw(cell, shape)
    p = {name: value for name, value in p.items() if name not in OUTPUTS}
    xt = x[:, :, 0]
    weights = [rng.normal(size=value.shape) for value in start.values()]
    names = [f"{part}_prev" for part in cell.parts]

    def loss(v):
        next_state = cell.function("cell_forward")(v["xt"], *(v[name] for name in names), v)
        return sum((w * s).sum() for w, s in zip(weights, next_state, strict=False))

    at = {"xt": xt, **dict(zip(names, start.values(), strict=True)), **p}
    *_, yt_pred, cache = cell.function("cell_forward")(xt, *start.values(), p)
    assert yt_pred is None
    assert_gradients(loss, at, cell.function("cell_backward")(*weights, cache))


@every_cell
@every_shape
@pytest.mark.parametrize("missing", [0, 1], ids=["full da", "short da"])
def test_sequence_gradients(cell, shape, missing):
    p, x, start, rng = draw(cell, shape)
    p = {name: value for name, value in p.items() if name not in OUTPUTS}
    n_a, m, T = shape[1], shape[3], shape[4] - missing
    da, dc_last = rng.normal(size=(n_a, m, T)), rng.normal(size=(n_a, m))

    def loss(v):
        a, _, c_last, _ = cell.forward(v["x"], v, *(v[name] for name in start))
        return (a[:, :, :T] * da).sum() + (0 if c_last is None else (c_last * dc_last).sum())

    *_, caches = cell.forward(x, p, *start.values())
    gradients = cell.backward(da, caches, dc_last)
    assert_gradients(loss, {"x": x, **start, **p}, gradients)
    assert set(gradients) == {f"d{name}" for name in ("x", *start, *p)}


@every_cell
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_training_step_gradients(cell, reduction):
    shape = (3, 4, 5, 3, 4)
    p, x, start, _ = draw(cell, shape)
    y = ref.prepare_sentences(["a b c d", "b c", "c b a"]).y
    mask = np.arange(4) < np.array([[4], [2], [3]])

    def loss(v):
        y_pred = cell.forward(v["x"], v, *(v[name] for name in start))[1]
        return ref.cross_entropy_cost(y_pred, y, mask, reduction)

    a, y_pred, _, caches = cell.forward(x, p, *start.values())
    output = ref.output_backward(a, y_pred, y, p, mask, reduction)
    assert_gradients(loss, {"x": x, **start, **p}, cell.backward(output["da"], caches) | output)


@every_cell
def test_inputs_are_not_modified_and_dtypes_kept(cell):
    p, x, start, rng = draw(cell, (3, 4, 2, 2, 3))
    before = copy.deepcopy((p, x, start))
    *_, caches = cell.forward(x, p, *start.values())
    da = rng.normal(size=(4, 2, 3))
    first, second = cell.backward(da, caches), cell.backward(da, caches)
    for name, gradient in first.items():
        np.testing.assert_array_equal(gradient, second[name])
    np.testing.assert_equal((p, x, start), before)
    for dtype in (np.float32, np.complex128):
        q = {name: value.astype(dtype) for name, value in p.items()}
        same = x.astype(np.float32), q, *(value.astype(np.float32) for value in start.values())
        a, y_pred, _, caches = cell.forward(*same)
        gradients = cell.backward(da.astype(np.float32), caches)
        assert {a.dtype, y_pred.dtype, *(g.dtype for g in gradients.values())} == {np.dtype(dtype)}


@every_cell
def test_one_sequence_equals_two_halves(cell):
    p, x, start, _ = draw(cell, (3, 4, 2, 2, 6))
    whole, y_pred, *_ = cell.forward(x, p, *start.values())
    first, _, c_last, _ = cell.forward(x[:, :, :2], p, *start.values())
    state = (first[:, :, -1],) if c_last is None else (first[:, :, -1], c_last)
    second, y_second, *_ = cell.forward(x[:, :, 2:], p, *state)
    np.testing.assert_array_equal(np.concatenate([first, second], axis=2), whole)
    np.testing.assert_array_equal(y_second, y_pred[:, :, 2:])
    np.testing.assert_allclose(y_pred.sum(axis=0), 1, rtol=1e-14)


@every_cell
def test_shapes_that_do_not_match_are_refused(cell):
    p, x, start, _ = draw(cell, (3, 4, 2, 2, 3))
    *_, caches = cell.forward(x, p, *start.values())
    for bad in ((4, 2, 4), (4, 1, 3), (1, 2, 3), (4, 2)):
        with pytest.raises(ValueError, match=r"\(4, 2, at most 3\)"):
            cell.backward(np.ones(bad), caches)
    for bad in (x[:, :, :0], x[:, :, 0]):
        with pytest.raises(ValueError, match="at least one time step"):
            cell.forward(bad, p, *start.values())
    with pytest.raises(ValueError, match="no output layer; add Wya or Wy"):
        ref.output_backward(x, x, x, {})


def test_lstm_starts_from_zero_memory():
    p, x, start, _ = draw(CELLS["lstm"], (3, 4, 2, 2, 3))
    for got, want in zip(
        ref.lstm_forward(x, start["a0"], p)[:3], ref.lstm_forward(x, start["a0"], p, np.zeros((4, 2)))[:3], strict=True
    ):
        np.testing.assert_array_equal(got, want)


def test_simple_gru_is_gru_with_reset_1_and_update_1_minus_z():
    n_a, simple = 4, CELLS["simple_gru"]
    p, x, start, rng = draw(simple, (3, n_a, 2, 2, 5))
    as_gru = {"Wr": 0 * p["Wu"], "br": 0 * p["bu"] + 100, "Wz": -p["Wu"], "bz": -p["bu"], "Wna": p["Wc"][:, :n_a]}
    as_gru |= {"bna": 0 * p["bc"], "Wnx": p["Wc"][:, n_a:], "bnx": p["bc"], "Wy": p["Wy"], "by": p["by"]}
    c, y_pred, caches = ref.simple_gru_forward(x, start["c0"], p)
    a, y_gru, gru_caches = ref.gru_forward(x, start["c0"], as_gru)
    np.testing.assert_allclose(c, a, rtol=1e-13)
    np.testing.assert_allclose(y_pred, y_gru, rtol=1e-13)

    dc = rng.normal(size=c.shape)
    g, h = ref.simple_gru_backward(dc, caches), ref.gru_backward(dc, gru_caches)
    for got, want in [
        (g["dx"], h["dx"]),
        (g["dc0"], h["da0"]),
        (g["dWc"], np.hstack([h["dWna"], h["dWnx"]])),
        (g["dbc"], h["dbnx"]),
        (g["dWu"], -h["dWz"]),
        (g["dbu"], -h["dbz"]),
    ]:
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-14)


def test_gates_have_their_effect():
    p, x, start, _ = draw(CELLS["gru"], (3, 4, 2, 2, 5))
    a0 = start["a0"]
    keep = p | {"bz": p["bz"] + 100}
    np.testing.assert_array_equal(ref.gru_forward(x, a0, keep)[0], np.repeat(a0[:, :, None], 5, axis=2))
    forget = p | {"bz": p["bz"] - 100, "br": p["br"] - 100}  # neither kept nor seen by the candidate: no memory at all
    no_memory = np.tanh(np.einsum("ax,xmt->amt", p["Wnx"], x) + p["bnx"][:, :, None])
    np.testing.assert_allclose(ref.gru_forward(x, a0, forget)[0], no_memory, rtol=1e-13)
    half = p | {"bz": p["bz"] - 100, "Wr": 0 * p["Wr"], "br": 0 * p["br"]}  # reset 1/2, after the recurrent product
    inside = p["Wnx"] @ x[:, :, 0] + p["bnx"] + (p["Wna"] @ a0 + p["bna"]) / 2
    np.testing.assert_allclose(ref.gru_cell_forward(x[:, :, 0], a0, half)[0], np.tanh(inside), rtol=1e-13)


def test_forward_gives_the_printed_numbers():
    """Notebook 001, In [5] and In [10]: expected outputs of rnn_forward and lstm_forward."""
    np.random.seed(1)
    x, a0 = np.random.randn(3, 10, 4), np.random.randn(5, 10)
    shapes = {"Waa": (5, 5), "Wax": (5, 3), "Wya": (2, 5), "ba": (5, 1), "by": (2, 1)}
    a, y_pred, caches = ref.rnn_forward(x, a0, {name: np.random.randn(*shape) for name, shape in shapes.items()})
    np.testing.assert_allclose(a[4][1], [-0.99999375, 0.77911235, -0.99861469, -0.99833267], atol=5e-9)
    np.testing.assert_allclose(y_pred[1][3], [0.79560373, 0.86224861, 0.11118257, 0.81515947], atol=5e-9)
    assert len(caches[0]) == 4
    assert caches[1] is x

    np.random.seed(1)
    x, a0 = np.random.randn(3, 10, 7), np.random.randn(5, 10)
    shapes = {f"{kind}{gate}": (5, n) for gate in "fioc" for kind, n in (("W", 8), ("b", 1))}
    shapes |= {"Wy": (2, 5), "by": (2, 1)}
    a, y, c, caches = ref.lstm_forward(x, a0, {name: np.random.randn(*shape) for name, shape in shapes.items()})
    printed = [0.17211776753291672, 0.9508734618501101, -0.8555449167181981]
    np.testing.assert_allclose([a[4][3][6], y[1][4][3], c[1][2][1]], printed, rtol=1e-14)
    assert len(caches[0][0]) == 10


def test_against_every_number_of_the_notebooks():
    check = REPOSITORY.parent / "shared" / "seeds" / "check.py"
    if not check.exists():
        pytest.skip("the notebooks are not on this machine")
    done = subprocess.run(
        [sys.executable, str(check), "rnncli.reference"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith("424 passed, 0 failed\n"), done.stdout[-2000:] + done.stderr[-2000:]
