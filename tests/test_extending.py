"""Adding a part is one file and one line in a table: tried with parts that exist here alone."""

import json
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import click
import numpy as np
import pytest
from click.testing import CliRunner
from support.models import architecture, language_model, noise_of
from support.small_run import settings, train

from rnncli import cli
from rnncli.batches.stream import StreamBatches
from rnncli.config import build
from rnncli.errors import ConfigError
from rnncli.model.cells import CELLS
from rnncli.model.cells.base import initialise_gates_
from rnncli.model.cells.inputs import gate_inputs, hidden_rows, to_steps, weight_gradients_
from rnncli.model.engines.stepwise import COURSE_CELLS
from rnncli.model.outputs import OUTPUTS, FullSoftmax
from rnncli.optim import OPTIMIZERS, SCHEDULES
from rnncli.optim.sgd import Sgd
from rnncli.proof.gradcheck import check_architecture, run, small
from rnncli.schema.fields import setting


class Leaky:
    """a = leak a_prev + (1 - leak) tanh(Wax x + Waa a_prev + ba), with a leak of 0.25."""

    states = ("a",)

    def shapes(self, n_x, n_a):
        return {"Wxa": (n_x, n_a), "Waa": (n_a, n_a), "ba": (n_a,)}

    def initialise_(self, p, rng):
        initialise_gates_(p, rng)

    def forward(self, p, x, state, buffers):
        z = gate_inputs(p, x, buffers)
        a = buffers.array("a", (x.T + 1, *z.shape[1:]), z.dtype)
        a[0] = state[0]
        for t in range(x.T):
            z[t] += p["Waa"] @ a[t]
            z[t] = np.tanh(z[t])
            a[t + 1] = 0.25 * a[t] + 0.75 * z[t]
        return hidden_rows(a, buffers), (a[-1].copy(),), (x, a, z)

    def backward_(self, p, g, dhidden, dlast, cache, buffers):
        x, a, z = cache
        dh = to_steps(dhidden, buffers.scratch("dh", z.shape, z.dtype))
        dz = 0.75 * (1 - z * z)
        da = dlast[0].copy()
        for t in reversed(range(x.T)):
            da += dh[t]
            dz[t] *= da
            da = 0.25 * da + p["Waa"].T @ dz[t]
        return weight_gradients_(p, g, x, a, dz, buffers), (da,)


class Sharpened(FullSoftmax):
    """The full softmax of logits that are multiplied by a factor."""

    @dataclass(frozen=True)
    class Options:
        factor: float = setting(2.0, above=0)

    def __init__(self, options=None, counts=None):
        super().__init__(options, counts)
        self._factor = (options or self.Options()).factor

    def forward(self, p, hidden, targets, noise=None):
        return super().forward(p, hidden * self._factor, targets, noise)

    def backward_(self, p, g, scale, cache):
        return self._factor * super().backward_(p, g, scale, cache)

    def score(self, p, hidden, targets):
        return super().score(p, hidden * self._factor, targets)

    def log_probabilities(self, p, hidden):
        return super().log_probabilities(p, hidden * self._factor)


class Momentum(Sgd):
    """w -= learning_rate * m, m = momentum * m + gradient."""

    @dataclass(frozen=True)
    class Options:
        momentum: float = setting(0.9, minimum=0, below=1)

    @staticmethod
    def moment_names(options=None):
        return ("m",)

    def __init__(self, size, dtype, options=None):
        self._momentum = (options or self.Options()).momentum
        self.moments = {"m": np.zeros(size, dtype)}

    def step_(self, vector, gradient, learning_rate, step, tables=()):
        m = self.moments["m"]
        m *= self._momentum
        m += gradient
        vector -= learning_rate * m


class Halving:
    """The learning rate falls to a half over the run."""

    patience = None
    spans_run = True

    def __init__(self, options=None):
        pass

    def factor(self, at):
        return 1 - 0.5 * at.before


@pytest.fixture
def added(monkeypatch):
    monkeypatch.setitem(CELLS, "leaky", Leaky())
    monkeypatch.setitem(OUTPUTS, "sharpened", Sharpened)
    monkeypatch.setitem(OPTIMIZERS, "momentum", Momentum)
    monkeypatch.setitem(SCHEDULES, "halving", Halving)


CHANGES = {"model__cell": "leaky", "model__output": {"name": "sharpened", "factor": 1.5}, "data__valid": 0.2}
CHANGES |= {"optimizer__name": "momentum", "optimizer__momentum": 0.8, "optimizer__schedule": "halving"}


def test_new_parts_are_proven_and_trained_and_resumed(added, tmp_path):
    assert all(check.passed for check in run([small("leaky", 2, True, "sentences")]))
    made = architecture(7, "leaky", 2, 4, 3, "sharpened")
    assert all(error < 1e-9 for _, error, _ in check_architecture(made, "fused", "stream"))
    whole, events = train(settings(tmp_path, **CHANGES), tmp_path / "whole")
    assert whole.config.optimizer.options.momentum == 0.8
    rates = [event.learning_rate for event in events if type(event).__name__ == "Step"]
    assert rates[0] == 0.01 > rates[-1] > 0.005
    train(settings(tmp_path, **CHANGES), tmp_path / "parts", stop_at=3)
    resumed, _ = train(settings(tmp_path, **CHANGES), tmp_path / "parts", resume=True)
    assert np.array_equal(resumed.model.parameters.vector, whole.model.parameters.vector)


def test_a_cell_without_a_counterpart_says_so(added, tmp_path):
    made = architecture(7, "leaky", 1, 4, 3)
    assert build.engines_for(made) == ["fused"]
    with pytest.raises(ConfigError, match=r"model\.engine stepwise does not implement this cell or output layer"):
        language_model("stepwise", made, made.initialise(1))


def test_a_counterpart_is_one_class_and_one_line(added, monkeypatch):
    """The leaky cell as the basic RNN of the reference, in two parts."""

    class CourseLeaky:
        def to_course(self, p):
            return {"Wax": p["Wxa"].T, "Waa": p["Waa"], "ba": p["ba"][:, None]}

        def from_course_(self, g, course):
            g["Wxa"][...], g["Waa"][...], g["ba"][...] = course["dWax"].T, course["dWaa"], course["dba"][:, 0]

        def forward(self, x, state, p):
            a, hidden, caches = state[0], [], []
            for t in range(x.shape[2]):
                z = np.tanh(p["Wax"] @ x[:, :, t] + p["Waa"] @ a + p["ba"])
                caches.append((x[:, :, t], a, z, p))
                a = 0.25 * a + 0.75 * z
                hidden.append(a)
            return np.stack(hidden, axis=2), (a,), caches

        def backward(self, da, dlast, caches):
            d, sums, dx = dlast[0], {"dWax": 0, "dWaa": 0, "dba": 0}, []
            for t in reversed(range(len(caches))):
                x, a, z, p = caches[t]
                d = d + da[:, :, t]
                dz = 0.75 * d * (1 - z * z)
                dx.append(p["Wax"].T @ dz)
                sums = {
                    "dWax": sums["dWax"] + dz @ x.T,
                    "dWaa": sums["dWaa"] + dz @ a.T,
                    "dba": sums["dba"] + dz.sum(axis=1, keepdims=True),
                }
                d = 0.25 * d + p["Waa"].T @ dz
            return sums | {"dx": np.stack(dx[::-1], axis=2), "da0": d}

    monkeypatch.setitem(COURSE_CELLS, Leaky, CourseLeaky())
    made = architecture(7, "leaky", 2, 4, 3)
    parameters = made.initialise(1, np.float64)
    batch = next(StreamBatches(np.random.default_rng(0).integers(0, 7, 24), 0, 3, 5).epoch(0))
    found = []
    for engine in ("fused", "stepwise"):
        model = language_model(engine, made, parameters)
        passed = model.forward(batch, model.zero_state(3), noise_of(batch))
        found.append((passed.loss, model.backward_(passed)[0].vector))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-12)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=0, atol=1e-12)


def test_a_command_is_a_file_and_a_line(monkeypatch):
    @click.command()
    @click.argument("name")
    def greet(name):
        """Greet NAME."""
        click.echo(json.dumps({"hello": name}))

    monkeypatch.setitem(cli.COMMANDS, "greet", "Greet somebody.")
    monkeypatch.setitem(sys.modules, "rnncli.cli.greet", SimpleNamespace(greet=greet))
    runner = CliRunner()
    assert json.loads(runner.invoke(cli.main, ["greet", "you"]).stdout) == {"hello": "you"}
    assert "greet" in runner.invoke(cli.main, ["--help"]).stdout
    assert "Did you mean greet?" in runner.invoke(cli.main, ["greets"]).stderr
