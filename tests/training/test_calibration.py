"""The temperature of the softmax: what it does to probabilities, how it is fitted, stored, resumed and used."""

import math
from dataclasses import replace

import numpy as np
import pytest
from support.models import architecture, language_model
from support.small_run import last_bytes, learns_by_heart, metrics, settings, train, trainer

from rnncli.api import load
from rnncli.errors import ConfigError
from rnncli.evaluation.evaluate import evaluate
from rnncli.model.engines import ENGINES
from rnncli.runs import checkpoint
from rnncli.runs import events as kinds
from rnncli.runs.events import Calibration
from rnncli.training import calibration


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("output", "tied"), [("full", False), ("full", True), ("sampled", False), ("adaptive", False)])
def test_logits_are_divided(engine, output, tied):
    made = architecture(9, "gru", 1, 4, 3, output, tied=tied)
    model = language_model(engine, made, made.parameters(np.float64), np.arange(9))
    model.parameters.vector[:] = np.random.default_rng(0).uniform(-1, 1, model.parameters.vector.size)
    ids, state = np.array([[1, 2, 3]]), model.zero_state(3)
    plain, _ = model.next_word(ids, state)
    model.temperature = 2.5
    found, _ = model.next_word(ids, state)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, rtol=1e-12)
    if output != "adaptive":
        expected = plain / 2.5 - np.log(np.exp(plain / 2.5).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert not np.allclose(found, plain)


CALIBRATED = {"training__calibrate": True, "training__epochs": 12}


def test_the_temperature_is_fitted_stored_and_used(tmp_path):
    config = learns_by_heart(tmp_path, **CALIBRATED)
    config = replace(config, data=replace(config.data, test=config.data.train[0]))
    made, events = train(config, tmp_path / "run")
    *_, fitted, test, done = events
    assert isinstance(fitted, Calibration)
    assert isinstance(test, kinds.Test)
    path = made.folder.checkpoint_at(fitted.measured_step)
    assert checkpoint.read_metadata(path).temperature == fitted.temperature > 1  # it was too sure
    assert done.best_valid_perplexity > fitted.perplexity
    for calibrated, perplexity in ((True, fitted.perplexity), (False, done.best_valid_perplexity)):
        loaded = load(made.folder.path, calibrated)
        assert loaded.checkpoint == path
        model = loaded.model
        assert evaluate(model, made.valid_batches, made.texts.valid, made.valid_counts).perplexity == perplexity
    losses = {}
    for ln_t in np.linspace(-0.7, 0.7, 29):
        model.temperature = math.exp(ln_t)
        losses[ln_t] = evaluate(model, made.valid_batches, made.texts.valid, made.valid_counts).cross_entropy
    assert fitted.loss < min(losses.values()) + 0.03
    assert load(made.folder.path).evaluate(config.data.train[0]).perplexity == test.perplexity
    assert checkpoint.verify(path).temperature == fitted.temperature


def test_an_interrupted_fit_is_repeated(tmp_path):
    config = learns_by_heart(tmp_path, **CALIBRATED)
    train(config, tmp_path / "whole")
    made = trainer(config, tmp_path / "run")
    asked = []

    def stop():
        if made.progress.position.epoch == 12:
            asked.append(0)
        return "stop" if len(asked) > 2 else None

    *_, done = made.train(stop)
    assert (done.reason, done.epochs) == ("stop", 12)
    assert calibration.due(config, made.folder)
    again = trainer(config, tmp_path / "run")
    again.resume(again.folder.last().path)
    *_, fitted, done = again.train()
    assert isinstance(fitted, Calibration)
    assert done.reason == "epochs"
    assert not calibration.due(config, made.folder)
    assert last_bytes(tmp_path / "run") == last_bytes(tmp_path / "whole")
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")


@pytest.mark.parametrize(
    ("losses", "lowest"), [((1.1, 1.0, 1.1), 0), ((1.2, 1.0, 1.1), 0.1 / 6), ((3, 2, 1), 1.5), ((1, 2, 3), -1.5)]
)
def test_the_lowest_point_of_a_parabola(losses, lowest):
    assert calibration._lowest(*losses) == pytest.approx(lowest)


def test_it_needs_a_validation_text(tmp_path):
    with pytest.raises(ConfigError, match=r"training\.calibrate fits a temperature on data\.valid"):
        settings(tmp_path, training__calibrate=True)


def test_a_temperature_that_makes_no_sense_is_refused(tmp_path):
    config = learns_by_heart(tmp_path, **CALIBRATED)
    made, _ = train(config, tmp_path / "run")
    path = made.folder.preferred()[0]
    stored = checkpoint.read(path)
    for value in (0.0, 20.0, -1.0):
        checkpoint.write(tmp_path / "step-00000001.npz", replace(stored, temperature=value), durable=False)
        with pytest.raises(Exception, match="the temperature is"):
            checkpoint.read(tmp_path / "step-00000001.npz")
