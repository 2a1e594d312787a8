import getpass
import itertools
import json
import math
import os
import socket
from dataclasses import replace

import numpy as np
import pytest
from support.models import noise_of
from support.small_run import last_bytes, learns_by_heart, metrics, settings, train, trainer

from rnncli.config import build, yaml_file
from rnncli.errors import NumericalError
from rnncli.runs import checkpoint, checkpoint_file
from rnncli.training.trainer import Done, Epoch, Step

CELLS = ("rnn", "lstm", "gru")
VALID = {"data__valid": 0.2, "training__patience": 3}
STREAM = {"data__mode": "stream", "training__epochs": 4}


def saved(made):
    """Steps of the existing checkpoints."""
    return [checkpoint_file.verify(path)["step"] for path in made.folder.checkpoints()]


def test_what_is_yielded_and_written(tmp_path):
    config = settings(tmp_path, **VALID)
    made, events = train(config, tmp_path / "run")
    *_, done = events
    steps = [event for event in events if isinstance(event, Step)]
    epochs = [event for event in events if isinstance(event, Epoch)]
    first, second = made.batches.steps(0), made.batches.steps(1)
    assert [step.step for step in steps] == list(range(1, first + second + 1))
    assert [step.epoch for step in steps] == [1] * first + [2] * second
    assert sum(step.words for step in steps) == 2 * made.texts.train.tokens == made.words_done == made.words_planned
    assert [(epoch.step, epoch.epoch) for epoch in epochs] == [(first, 1), (first + second, 2)]
    for epoch in epochs:  # the perplexity of an epoch is that of its words, not the mean over its steps
        of_it = [step for step in steps if step.epoch == epoch.epoch]
        nats = sum(step.loss * step.words for step in of_it)
        assert epoch.perplexity == pytest.approx(math.exp(nats / sum(step.words for step in of_it)))
    assert all(step.perplexity == pytest.approx(math.exp(step.loss)) for step in steps)
    assert all(step.learning_rate == 0.01 and step.gradient_norm > 0 for step in steps)
    assert isinstance(done, Done)
    assert (done.reason, done.epochs, done.steps, done.random_seed) == ("epochs", 2, first + second, 7)
    assert done.train_perplexity == epochs[-1].perplexity
    assert done.best_valid_perplexity == min(epoch.valid_perplexity for epoch in epochs)
    rows = metrics(tmp_path / "run")
    assert [row["event"] for row in rows] == ["step"] * first + ["epoch"] + ["step"] * second + ["epoch"]
    assert [row["loss"] for row in rows if row["event"] == "step"] == [step.loss for step in steps]


@pytest.mark.parametrize("seed", [7, 8])
def test_loss_starts_near_that_of_a_guess(tmp_path, seed):
    config = settings(tmp_path, training__random_seed=seed, training__batch_size=1000)
    made, events = train(config, tmp_path / "run", stop_at=1)
    assert events[0].loss == pytest.approx(math.log(len(made.texts.vocabulary)), rel=0.02)


def test_same_bytes_in_any_folder_and_however_the_text_is_named(tmp_path):
    for name in ("here", "a/much/longer/path/than/there"):
        folder = tmp_path / name
        train(settings(folder), folder / "run")
    config = settings(tmp_path / "set", text="not read", data__train=str(tmp_path / "here" / "text.txt"))
    train(config, tmp_path / "set" / "elsewhere")
    runs = [tmp_path / "here" / "run", folder / "run", tmp_path / "set" / "elsewhere"]
    assert len({last_bytes(run) for run in runs}) == 1
    assert metrics(runs[0]) == metrics(runs[1]) == metrics(runs[2])
    other = settings(tmp_path / "other", training__random_seed=8)
    train(other, tmp_path / "other")
    assert last_bytes(tmp_path / "other") != last_bytes(runs[0])


def test_nothing_of_this_machine_or_time_is_in_a_checkpoint(tmp_path):
    made, _ = train(settings(tmp_path, run__dir=str(tmp_path / "run")), tmp_path / "run")
    content = last_bytes(tmp_path / "run")
    meta = checkpoint_file.verify(made.folder.last()[0])
    for word in (str(tmp_path), tmp_path.name, os.path.expanduser("~"), socket.gethostname()):
        if len(word) > 3:
            assert word.encode() not in content
    assert not {getpass.getuser(), socket.gethostname()} & set(json.dumps(meta).replace('"', " ").split())
    assert meta["config"]["data"]["train"] == ["text.txt"]
    assert meta["config"]["run"]["dir"] is None
    assert not any("second" in key or "time" in key for key in meta)


EPOCH_ENDS = [5, 10, 15, 20]  # a stream of 4 columns, in windows of 6


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        ("1 epoch", EPOCH_ENDS),
        ("2 epochs", [10, 20]),
        ("3 epochs", [15, 20]),
        ("7 steps", [7, 14, 20]),
        ("100 steps", [20]),
    ],
)
def test_checkpoint_every(tmp_path, every, expected):
    config = settings(tmp_path, **STREAM, run__checkpoint_every=every, run__keep=100)
    assert saved(train(config, tmp_path / "run")[0]) == expected


def test_checkpoint_every_few_seconds(tmp_path, monkeypatch):
    seconds = itertools.count()  # every reading of the clock is a second later
    monkeypatch.setattr("rnncli.training.trainer.time.monotonic", lambda: next(seconds))
    made, _ = train(settings(tmp_path, **STREAM, run__checkpoint_every="4s", run__keep=100), tmp_path / "run")
    assert saved(made)[0] == 4
    assert 3 <= len(saved(made)) <= 6
    assert saved(made)[-1] == 20


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_keep(tmp_path, keep):
    made, _ = train(settings(tmp_path, **STREAM, run__keep=keep), tmp_path / "run")
    assert saved(made) == EPOCH_ENDS[-keep:]


def test_patience_and_the_best_checkpoint(tmp_path):
    config = learns_by_heart(tmp_path, training__patience=3, run__keep=1)
    made, events = train(config, tmp_path / "run")
    epochs = [event for event in events if isinstance(event, Epoch)]
    valid = [epoch.valid_perplexity for epoch in epochs]
    best = int(np.argmin(valid))
    done = events[-1]
    assert done.reason == "patience"
    assert done.epochs == best + 1 + 3 == len(epochs) < 50
    assert done.best_valid_perplexity == valid[best]
    assert [epoch.best for epoch in epochs] == [v == min(valid[: n + 1]) for n, v in enumerate(valid)]
    assert saved(made) == [epochs[best].step, done.steps]
    assert made.folder.preferred()[0] == made.folder.checkpoint_at(epochs[best].step)
    assert checkpoint_file.verify(made.folder.last()[0])["best_step"] == epochs[best].step
    # the run is complete: resuming it writes the same file
    before = last_bytes(tmp_path / "run")
    assert [type(event) for event in train(config, tmp_path / "run", resume=True)[1]] == [Done]
    assert last_bytes(tmp_path / "run") == before


def test_the_test_text_is_measured_by_the_best_checkpoint(tmp_path):
    config = learns_by_heart(tmp_path, training__patience=3, training__bptt=20)
    config = replace(config, data=replace(config.data, test=str(tmp_path / "text.txt")))
    made, events = train(config, tmp_path / "run")
    model = build.model(config, checkpoint.read(made.folder.preferred()[0]).parameters, made.texts.vocabulary)
    end_id = made.texts.vocabulary.end_id
    nats = words = 0
    for batch in build.training_batches(config, made.texts.test, end_id, 0).epoch(0):
        nats += float(model.forward(batch, model.zero_state(batch.inputs.shape[1]), noise_of(batch)).loss) * batch.words
        words += batch.words
        assert batch.fresh
    assert events[-1].test_perplexity == pytest.approx(math.exp(nats / words), rel=1e-5)


def test_max_time_zero_still_takes_a_step(tmp_path):
    made = trainer(settings(tmp_path), tmp_path / "run")
    events = list(made.train(lambda: "max_time"))
    assert [type(event) for event in events] == [Step, Done]
    assert events[-1].reason == "max_time"
    assert saved(made) == [1]
    made = trainer(settings(tmp_path), tmp_path / "run")
    made.resume(made.folder.checkpoint_at(1))
    assert [event.step for event in made.train(lambda: "max_time") if isinstance(event, Step)] == [2]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # it diverges by overflow
def test_a_diverged_run_stops_before_its_parameters_are_touched(tmp_path):
    config = settings(
        tmp_path,
        model__cell="rnn",
        optimizer__name="sgd",
        optimizer__learning_rate=1e38,
        optimizer__clip_norm=None,
        guard__rollbacks=0,
    )
    config = replace(config, run=replace(config.run, checkpoint_every=config.run.checkpoint_every.parse("1 step")))
    made = trainer(config, tmp_path / "run")
    seen = []

    def follow():
        for event in made.train():
            seen.append((event, made.model.parameters.vector.copy()))

    with pytest.raises(NumericalError, match=r"diverged at step \d+: .*\n.*learning rate 1e\+38\n"):
        follow()
    last, before = seen[-1]
    assert np.array_equal(made.model.parameters.vector, before)
    assert saved(made)[-1] == last.step
    good = checkpoint.read(made.folder.last()[0])
    assert np.array_equal(good.parameters.vector, before)
    assert metrics(tmp_path / "run")[-1]["step"] == last.step


def test_a_gradient_that_is_not_finite_is_reported_by_name(tmp_path, monkeypatch):
    made = trainer(settings(tmp_path), tmp_path / "run")
    backward = made.model.backward_

    def broken(passed):
        gradients, dstate = backward(passed)
        gradients["layer0.Waa"][0, 0] = np.nan
        return gradients, dstate

    monkeypatch.setattr(made.model, "backward_", broken)
    before = made.model.parameters.vector.copy()
    with pytest.raises(NumericalError, match=r"step 1: the gradient norm is nan\n.*\n.* layer0\.Waa"):
        list(made.train())
    assert np.array_equal(made.model.parameters.vector, before)


def test_the_order_of_batches_is_that_of_the_seed(tmp_path):
    """The order of an epoch depends on the seed alone: no generator state is carried."""
    made = trainer(settings(tmp_path), tmp_path / "run")
    firsts = [next(made.batches.epoch(epoch)).positions[0] for epoch in range(3)]
    assert not np.array_equal(firsts[0], firsts[1])
    again = trainer(settings(tmp_path), tmp_path / "run").batches
    assert np.array_equal(next(again.epoch(2)).positions[0], firsts[2])


def test_the_config_that_is_written_trains_to_the_same_bytes(tmp_path):
    config = settings(tmp_path, **VALID)
    train(config, tmp_path / "run")
    yaml_file.write(config, tmp_path / "run" / "config.yaml")
    train(yaml_file.read(tmp_path / "run" / "config.yaml"), tmp_path / "again")
    assert last_bytes(tmp_path / "again") == last_bytes(tmp_path / "run")


def test_a_sampled_loss_has_no_perplexity(tmp_path):
    config = settings(tmp_path, model__output="sampled", **VALID)
    _, events = train(config, tmp_path / "run")
    *rows, done = events
    assert all(math.isnan(row.perplexity) and math.isfinite(row.loss) for row in rows)
    assert {row["perplexity"] for row in metrics(tmp_path / "run")} == {None}
    assert done.train_perplexity is None
    valid = [row.valid_perplexity for row in rows if isinstance(row, Epoch)]
    assert done.best_valid_perplexity == min(valid) < 100  # measured with the full softmax
    stopped = train(config, tmp_path / "stopped", stop_at=2)[1][-1]
    assert (stopped.steps, stopped.train_perplexity) == (2, None)
