"""Divergence is detected in its step, the run is rolled back with a lower rate, and stopping it changes no bits."""

import math

import numpy as np
import pytest
from support.models import noise_of, progress
from support.small_run import last_bytes, metrics, settings, train, trainer

from rnncli.errors import NumericalError
from rnncli.runs import checkpoint
from rnncli.runs.events import Done, Rollback, Step
from rnncli.runs.folder import RunFolder
from rnncli.training import divergence
from rnncli.training.divergence import Diverged

GUARDED = {"guard__every": 5, "training__epochs": 3, "run__checkpoint_every": "4 steps", "data__valid": 0.2}


@pytest.mark.parametrize(
    ("loss", "norm", "at", "expected"),
    [
        (math.nan, 1.0, progress(), "the loss is nan"),
        (math.inf, 1.0, progress(step=500), "the loss is inf"),
        (800.0, 1.0, progress(), "the loss is 800, far above its running level of 5"),  # its perplexity overflows
        (2.0, math.nan, progress(), "the gradient norm is nan"),
        (2.0, math.inf, progress(), "the gradient norm is inf"),
        (9.9, 1.0, progress(), None),
        (10.1, 1.0, progress(), "the loss is 10.1, far above its running level of 5"),
        (9.9, 1.0, progress(loss_steps=19, loss_level=1.0), None),
        (9.9, 1.0, progress(loss_steps=20, loss_level=1.0), "the loss is 9.9, far above its running level of 1"),
        (4.1, 1.0, progress(loss_steps=20, loss_level=1.0), "the loss is 4.1, far above its running level of 1"),
        (3.9, 1.0, progress(loss_steps=20, loss_level=1.0), None),
        (7.9, 1.0, progress(loss_steps=20, loss_level=4.0), None),
        (8.1, 1.0, progress(loss_steps=20, loss_level=4.0), "the loss is 8.1, far above its running level of 4"),
        (8.1, 1.0, progress(loss_steps=20, loss_level=4.0, loss_spread=0.42), None),
        (9.9, 1.0, progress(loss_steps=500, loss_level=300.0), None),
        (10.1, 1.0, progress(loss_steps=500, loss_level=300.0), "the loss is 10.1, far above its running level of 5"),
    ],
)
def test_the_fault_of_a_step(loss, norm, at, expected):
    assert divergence.fault(loss, norm, at, jump=3.0, uniform=5.0) == expected


def test_without_a_jump_every_finite_loss_passes():
    for loss in (700.0, 841.8):  # the perplexity of the second is not a float
        assert divergence.fault(loss, 1.0, progress(loss_steps=500, loss_level=1.0), jump=None, uniform=5.0) is None
    assert divergence.fault(math.nan, 1.0, progress(), jump=None, uniform=5.0) == "the loss is nan"


def test_the_running_level_is_a_mean_at_first_and_follows_later():
    p, losses = progress(), np.random.default_rng(1).normal(4, 1, 100)
    for loss in losses:
        divergence.update_running_loss_(p.running, loss, calm=True, position=p.position)
    assert p.running.loss_level == pytest.approx(losses.mean())
    assert 0.5 < p.running.loss_spread < 1.2  # the mean distance of a normal number is 0.8
    for _ in range(2000):
        divergence.update_running_loss_(p.running, 1.0, calm=True, position=p.position)
    assert p.running.loss_level == pytest.approx(1.0)
    assert p.running.loss_spread < 0.01


def test_the_tensor_and_the_sentence_that_are_named(tmp_path):
    made = trainer(settings(tmp_path), tmp_path / "run")
    batch = next(made.batches.epoch(0))
    passed = made.model.forward(batch, made.model.entering(batch, ()), noise_of(batch))
    gradients, _ = made.model.backward_(passed)
    norms = {name: np.linalg.norm(gradient) for name, gradient in gradients.items()}
    assert divergence.worst_tensor(gradients) == max(norms, key=norms.get)
    gradients["layer0.Waa"][1, 2] = np.inf
    assert divergence.worst_tensor(gradients) == "layer0.Waa"
    real = np.ones(batch.targets.shape, bool) if batch.mask is None else batch.mask
    for bad in (1e3, np.nan):
        for column in range(batch.targets.shape[1]):
            losses = np.ones(batch.words)
            losses[np.flatnonzero(np.nonzero(real)[1] == column)[-1]] = bad
            words = [made.texts.vocabulary.words[k] for k in batch.targets[real[:, column], column]]
            assert divergence.worst_sentence(batch, losses, made.texts.vocabulary) == " ".join(words)


@pytest.fixture
def diverges(monkeypatch):
    """Make runs diverge at these steps, this number of times each: `diverges({17: 2})`."""

    def when(steps):
        def fault(loss, norm, progress, jump, uniform):
            before = sum(times for step, times in steps.items() if step < progress.position.step + 1)
            at = steps.get(progress.position.step + 1, 0)
            return "forced" if before <= progress.recovery.rollbacks < before + at else None

        monkeypatch.setattr(divergence, "fault", fault)

    return when


def test_a_run_that_diverges_returns_to_its_guard_with_a_lower_rate(tmp_path, diverges):
    diverges({13: 2})
    config = settings(tmp_path, **GUARDED)
    made, events = train(config, tmp_path / "run")
    back = [event for event in events if isinstance(event, Rollback)]
    assert [(event.diverged_at, event.step, event.rollbacks) for event in back] == [(13, 10, 1), (13, 5, 2)]
    assert [event.learning_rate for event in back] == [0.005, 0.0025]
    assert back[0].reason == "forced"
    assert back[0].tensor in made.model.parameters.shapes
    assert set(back[0].sentence.split()) <= set(made.texts.vocabulary.words)
    rates = {row["step"]: row["learning_rate"] for row in metrics(tmp_path / "run") if row["event"] == "step"}
    assert rates == {step: 0.01 if step <= 5 else 0.0025 for step in range(1, events[-1].steps + 1)}
    steps = [row["step"] for row in metrics(tmp_path / "run") if row["event"] != "epoch"]
    assert steps == [*range(1, 13), 10, 11, 12, 5, *range(6, events[-1].steps + 1)]  # all rows are kept
    assert isinstance(events[-1], Done)


def test_after_a_rollback_training_equals_a_run_with_that_rate(tmp_path, diverges):
    diverges({13: 1})
    train(settings(tmp_path, **GUARDED), tmp_path / "run")
    diverges({})
    slow = settings(tmp_path, **GUARDED | {"optimizer__learning_rate": 0.005})
    made = trainer(slow, tmp_path / "slow")
    fast, _ = train(settings(tmp_path, **GUARDED), tmp_path / "fast", stop_at=10)
    made.resume(fast.folder.checkpoint_at(10))
    list(made.train())
    ours, theirs = (checkpoint.read(RunFolder(tmp_path / name).last().path) for name in ("run", "slow"))
    assert np.array_equal(ours.parameters.vector, theirs.parameters.vector)
    assert ours.progress.recovery.rollbacks == 1
    assert theirs.progress.recovery.rollbacks == 0


def test_a_run_that_diverges_before_its_first_guard_restarts(tmp_path, diverges):
    diverges({3: 1})
    _, events = train(settings(tmp_path, **GUARDED), tmp_path / "run")
    assert [(event.diverged_at, event.step) for event in events if isinstance(event, Rollback)] == [(3, 0)]
    diverges({})
    train(settings(tmp_path, **GUARDED | {"optimizer__learning_rate": 0.005}), tmp_path / "slow")
    ours, theirs = (checkpoint.read(RunFolder(tmp_path / name).last().path) for name in ("run", "slow"))
    assert np.array_equal(ours.parameters.vector, theirs.parameters.vector)


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_wherever_it_is_stopped_it_ends_in_the_same_bits(tmp_path, diverges, how):
    diverges({3: 1, 13: 2, 14: 1})
    config = settings(tmp_path, **GUARDED)
    _, events = train(config, tmp_path / "whole")
    assert sum(isinstance(event, Rollback) for event in events) == 4
    for stop_after in range(1, len(events) - 1, 3 if how == "stopped" else 2):
        run = tmp_path / f"{stop_after}"
        seen = []
        if how == "stopped":
            made = trainer(config, run)
            list(made.train(lambda seen=seen, n=stop_after: seen.append(0) or ("stopped" if len(seen) >= n else None)))
        else:
            killed = trainer(config, run).train()
            for _ in range(stop_after):
                next(killed)
            killed.close()
        made = trainer(config, run)
        if last := made.folder.last():
            made.resume(last.path)
        list(made.train())
        assert last_bytes(run) == last_bytes(tmp_path / "whole"), stop_after
        assert metrics(run) == metrics(tmp_path / "whole"), stop_after
        best = [RunFolder(folder).preferred()[0].read_bytes() for folder in (run, tmp_path / "whole")]
        assert best[0] == best[1], stop_after


def test_the_error_after_the_last_rollback(tmp_path, diverges):
    diverges({13: 99})
    config = settings(tmp_path, **GUARDED)
    made = trainer(config, tmp_path / "run")
    events = []
    with pytest.raises(NumericalError) as raised:
        events.extend(made.train())
    message = str(raised.value)
    for piece in (
        *("diverged at step 13: forced", "learning rate 0.000625, lowered 4 times from 0.01"),
        *("the tensor to inspect first: ", "the sentence of that batch with the highest loss: "),
        *("its checkpoints are intact", "--fresh"),
    ):
        assert piece in message
    assert made.folder.last().metadata.progress.position.step == 12
    with pytest.raises(NumericalError, match=r"diverged at step 13: forced\n.* lowered 4 times"):
        train(config, tmp_path / "run", resume=True)


def test_the_best_model_outlives_a_run_that_has_diverged(tmp_path, diverges):
    config = settings(tmp_path, **GUARDED | {"guard__every": 1000, "run__checkpoint_every": "1 epoch", "run__keep": 1})
    steps = trainer(config, tmp_path / "probe").batches.steps(0)
    diverges({steps + 3: 99})
    made = trainer(config, tmp_path / "run")
    with pytest.raises(NumericalError):
        list(made.train())
    best = made.folder.preferred()[0]
    assert best == made.folder.checkpoint_at(steps)
    assert checkpoint.read(best, resume=False).progress.measured.best_step == steps


def test_a_lost_guard_does_not_restart_the_run(tmp_path, diverges):
    diverges({14: 1})
    config = settings(tmp_path, **GUARDED)
    for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(b"half")):
        made = trainer(config, tmp_path / damage.__code__.co_names[0])
        events = made.train()
        while next(events).step < 13:
            pass
        damage(made.folder.guard_at(10))
        assert next(event for event in events if isinstance(event, Rollback)).step == 5
        made.folder.guard_at(5).unlink()
    made = trainer(config, tmp_path / "both")
    events = made.train()
    while next(events).step < 13:
        pass
    for path in made.folder.guards():
        path.unlink()
    assert next(event for event in events if isinstance(event, Rollback)).step == 12


def test_a_guard_costs_no_checkpoint(tmp_path):
    made, _ = train(settings(tmp_path, **GUARDED), tmp_path / "run", stop_at=11)
    assert [path.name for path in made.folder.guards()] == ["step-00000005.npz", "step-00000010.npz"]
    assert len(made.folder.checkpoints()) <= 5


def test_a_parameter_that_is_not_finite_reaches_no_file(tmp_path):
    config = settings(tmp_path, **GUARDED | {"guard__rollbacks": 0})
    made = trainer(config, tmp_path / "run")
    events = made.train()
    while next(events).step < 4:
        pass
    tensors = made.model.parameters["layer0.Waa"], made.optimizer.moments["v"], made.learner.state[0][0]
    for tensor, text in zip(tensors, ("layer0.Waa", "the moment v of embedding.E", "the state layer0.a"), strict=True):
        before = tensor.flat[0]
        tensor.flat[0] = np.nan
        with pytest.raises(Diverged) as diverged:
            made.save()
        assert diverged.value.what == f"{text} is not finite"
        tensor.flat[0] = before
    assert made.folder.checkpoints() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"training__batch_size": 4},
        {"training__batch_size": 1, "optimizer__learning_rate": 0.003},
        {"training__batch_size": 1, "data__mode": "stream", "training__bptt": 5},
        {
            "training__batch_size": 2,
            "data__tokenizer": "characters",
            "data__mode": "stream",
            "optimizer__learning_rate": 0.005,
        },
    ],
    ids=str,
)
def test_an_odd_batch_is_no_divergence(tmp_path, changes):
    """The loss is far above the others, but the parameters are undamaged."""
    text = "the job ended well\n" * 399 + "a b c d e f g h\n" + "the job ended well\n" * 50
    config = settings(tmp_path, text, **{"optimizer__learning_rate": 0.02, "training__epochs": 3} | changes)
    _, events = train(config, tmp_path / "run")
    losses = [event.loss for event in events if isinstance(event, Step)]
    assert max(losses[len(losses) // 3 :]) > 4 * np.median(losses)  # the odd batch exists
    assert not [event for event in events if isinstance(event, Rollback)]


def test_another_language_in_mid_text_is_no_divergence(tmp_path):
    text = "the job ended well\n" * 300 + "die sonne scheint heute\n" * 300
    config = settings(tmp_path, text, data__mode="stream", training__batch_size=1, optimizer__learning_rate=0.02)
    _, events = train(config, tmp_path / "run")
    assert max(event.loss for event in events if isinstance(event, Step)) > 3
    assert not [event for event in events if isinstance(event, Rollback)]


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("rate", [30, 1000])
def test_a_learning_rate_that_is_far_too_high_is_lowered(tmp_path, cell, rate):
    plain = {"model__cell": cell, "optimizer__name": "sgd", "optimizer__clip_norm": None, "guard__rollbacks": 8}
    config = settings(tmp_path, **plain, optimizer__learning_rate=rate, guard__every=7, training__epochs=6)
    _, events = train(config, tmp_path / "run")
    back = [event for event in events if isinstance(event, Rollback)]
    assert back
    assert [event.learning_rate for event in back] == [rate / 2 ** (n + 1) for n in range(len(back))]
    assert events[-1].train_perplexity < 1e5  # 1e8 and more without
    whole = last_bytes(tmp_path / "run"), metrics(tmp_path / "run")
    train(config, tmp_path / "again", stop_at=20)
    train(config, tmp_path / "again", resume=True)
    assert (last_bytes(tmp_path / "again"), metrics(tmp_path / "again")) == whole


def test_a_guard_whose_rollback_failed_is_not_used_again(tmp_path):
    """The step before the guard damaged the parameters, which no lower learning rate repairs."""
    config = settings(tmp_path, **GUARDED | {"guard__rollbacks": 3})
    made = trainer(config, tmp_path / "run")
    events, back = made.train(), []
    for event in events:
        if isinstance(event, Step) and event.step == 10 and not back:
            made.model.parameters.vector *= 1000  # between the step and its guard
        if isinstance(event, Rollback):
            back.append((event.diverged_at, event.step))
    assert back == [(11, 10), (11, 5)]


def test_the_rollback_target_does_not_depend_on_checkpoints(tmp_path):
    """A number that is not finite when a guard is due: the run returns to the previous guard."""
    for every in ("3 steps", "100 steps"):
        config = settings(tmp_path, **GUARDED | {"run__checkpoint_every": every, "data__valid": None})
        made = trainer(config, tmp_path / every)
        events = made.train()
        for event in events:
            if isinstance(event, Rollback):
                break
            if isinstance(event, Step) and event.step == 10:
                made.model.parameters["layer0.Waa"][0, 0] = np.inf
        assert (event.step, event.diverged_at) == (5, 10)


def test_a_run_of_a_version_without_a_running_level_resumes(tmp_path):
    config = settings(tmp_path, data__mode="stream", training__batch_size=1, training__epochs=3)
    made = trainer(config, tmp_path / "run")
    events = made.train()
    while next(events).step < 30:
        pass
    p = made.progress
    p.running.loss_level = p.running.loss_spread = 0.0
    p.running.loss_steps = 0
    assert not [event for event in events if isinstance(event, Rollback)]


def test_the_best_of_every_guard_stays(tmp_path, diverges):
    diverges({13: 2, 19: 2})
    config = settings(tmp_path, **GUARDED | {"guard__every": 4, "run__keep": 1, "training__epochs": 4})
    made = trainer(config, tmp_path / "run")
    named = set()
    for _ in made.train():
        for guard in made.folder.guards():
            best = checkpoint.read_metadata(guard).progress.measured.best_step
            named.add(best)
            assert best is None or made.folder.checkpoint_at(best).exists()
    assert len(named) > 2
