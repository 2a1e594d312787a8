"""Averages of the parameters: over vectors, and over runs that are measured, stored, resumed and used on them."""

import numpy as np
import pytest
from support.small_run import last_bytes, learns_by_heart, metrics, settings, train

from rnncli.api import load
from rnncli.config import build
from rnncli.errors import ConfigError
from rnncli.evaluation.evaluate import evaluate
from rnncli.model.parameters import CHUNK
from rnncli.optim.averaging import AVERAGING, Asgd, Ema, average_
from rnncli.runs import checkpoint
from rnncli.training.trainer import Epoch

EMA = {"training__averaging": {"name": "ema", "decay": 0.9}}


def averaged(averaging, vectors):
    average = np.full_like(vectors[0], np.nan)
    for number, vector in enumerate(vectors, 1):
        average_(average, vector, averaging.share(number))
    return average


def test_asgd_is_the_mean():
    vectors = np.random.default_rng(0).normal(size=(50, CHUNK + 7))
    np.testing.assert_allclose(averaged(Asgd(), vectors), vectors.mean(axis=0), atol=1e-14)


def test_ema_weighs_steps_by_its_decay():
    """The weight of a vector is its share times the decays of all later steps."""
    vectors, decay = np.eye(300), 0.95
    decays = [0.0, *(min(decay, (1 + n) / (10 + n)) for n in range(1, 300))]
    expected = [(1 - decays[k]) * np.prod(decays[k + 1 :]) for k in range(300)]
    weights = averaged(Ema(Ema.Options(decay)), vectors)
    np.testing.assert_allclose(weights, expected, rtol=1e-12)
    assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "changes", [EMA, {"training__averaging": {"name": "asgd", "patience": 2}}], ids=["ema", "asgd"]
)
def test_a_run_is_measured_stored_resumed_and_used_on_the_average(tmp_path, changes):
    config = learns_by_heart(tmp_path, **changes, training__epochs=12)
    whole, events = train(config, tmp_path / "whole")
    stored = checkpoint.read(whole.folder.checkpoints()[-1])
    used = checkpoint.read(whole.folder.checkpoints()[-1], resume=False)
    np.testing.assert_array_equal(stored.parameters.vector, whole.model.parameters.vector)
    np.testing.assert_array_equal(used.parameters.vector, stored.moments["average"])
    assert not np.array_equal(used.parameters.vector, stored.parameters.vector)
    model = build.model(used.config, used.parameters, used.vocabulary)
    valid = evaluate(model, whole.valid_batches, whole.texts.valid, whole.valid_counts)
    assert [event.valid_perplexity for event in events if isinstance(event, Epoch)][-1] == valid.perplexity
    weights = tmp_path / "weights.npz"
    checkpoint.write_weights(weights, used)
    np.testing.assert_array_equal(load(weights).model.parameters.vector, stored.moments["average"])
    for stop in (1, len(events) // 2, len(events) - 9):
        train(config, tmp_path / f"{stop}", stop_at=stop)
        train(config, tmp_path / f"{stop}", resume=True)
        assert last_bytes(tmp_path / f"{stop}") == last_bytes(tmp_path / "whole")
        assert metrics(tmp_path / f"{stop}") == metrics(tmp_path / "whole")


def test_asgd_begins_when_validation_stalls(tmp_path):
    config = learns_by_heart(tmp_path, training__averaging={"name": "asgd", "patience": 3}, training__epochs=12)
    made, events = train(config, tmp_path / "run")
    epochs = [event for event in events if isinstance(event, Epoch)]
    best = max(
        k for k, event in enumerate(epochs) if event.best and event.step <= made.progress.measured.averaged_since
    )
    assert made.progress.measured.averaged_since == epochs[best + 3].step
    plain, _ = train(learns_by_heart(tmp_path, training__epochs=12), tmp_path / "plain")
    np.testing.assert_array_equal(made.model.parameters.vector, plain.model.parameters.vector)
    stored = checkpoint.read(made.folder.checkpoints()[0])
    assert stored.progress.measured.averaged_since == 0
    before = checkpoint.read(made.folder.checkpoints()[0], resume=False)
    np.testing.assert_array_equal(before.parameters.vector, stored.parameters.vector)


def test_averaging_needs_its_validation_text(tmp_path):
    with pytest.raises(ConfigError, match=r"training\.averaging is asgd, which begins when validation stalls"):
        settings(tmp_path, training__averaging="asgd")
    assert build.averaging(settings(tmp_path)).names == ()
    assert set(AVERAGING) == {"none", "ema", "asgd"}
