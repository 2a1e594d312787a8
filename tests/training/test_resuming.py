"""A run that is stopped and resumed ends in the bytes of one that never stopped."""

from dataclasses import replace

import numpy as np
import pytest
from support.small_run import last_bytes, learns_by_heart, metrics, random_lines, settings, train, trainer

from rnncli.model.engines import ENGINES
from rnncli.model.parameters import Parameters
from rnncli.runs import checkpoint
from rnncli.runs.metrics import figures_of_test
from rnncli.runs.progress import finished
from rnncli.training.trainer import Done, Epoch

CELLS = ("rnn", "lstm", "gru")
VALID = {"data__valid": 0.2, "training__patience": 3}


@pytest.mark.parametrize("mode", ["sentences", "stream"])
@pytest.mark.parametrize("cell", CELLS)
def test_resuming_anywhere_gives_the_same_bytes(tmp_path, cell, mode):
    config = settings(tmp_path, model__cell=cell, model__layers=2, data__mode=mode, training__epochs=3, **VALID)
    whole, events = train(config, tmp_path / "whole")
    last = events[-1].steps
    ends = set(np.cumsum([whole.batches.steps(epoch) for epoch in range(3)]))
    for stop_at in sorted({1, 2, last // 3, last // 2, last // 2 + 1, last - 1} - ends):
        run = tmp_path / f"stopped at {stop_at}"
        stopped, _ = train(config, run, stop_at)
        assert stopped.folder.checkpoints()[-1] == stopped.folder.checkpoint_at(stop_at)
        resumed, _ = train(config, run, resume=True)
        assert last_bytes(run) == last_bytes(tmp_path / "whole")
        assert metrics(run) == metrics(tmp_path / "whole")
        assert resumed.folder.preferred()[0].read_bytes() == whole.folder.preferred()[0].read_bytes()


def test_resuming_at_every_step_of_a_run_that_is_stopped_again_and_again(tmp_path):
    config = settings(tmp_path, data__mode="stream", **VALID)
    _, events = train(config, tmp_path / "whole")
    for step in range(1, events[-1].steps + 1):
        train(config, tmp_path / "run", stop_at=step, resume=step > 1)
    train(config, tmp_path / "run", resume=True)
    assert last_bytes(tmp_path / "run") == last_bytes(tmp_path / "whole")
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")


ALL_OF_IT = {
    "model__tied": True,
    "model__residual": True,
    "model__layers": 2,
    "dropout__input": 0.2,
    "dropout__hidden": 0.2,
    "dropout__output": 0.3,
    "dropout__word": 0.1,
    "dropout__recurrent": 0.2,
    "optimizer__weight_decay": 0.01,
    "optimizer__schedule": {"name": "cosine", "warmup": 0.1},
    "training__averaging": {"name": "ema", "decay": 0.9},
    "training__calibrate": True,
    "guard__every": 3,
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "changes", [{}, {"optimizer__name": "sgd", "optimizer__momentum": 0.9, "dropout__masks": "step"}]
)
def test_resuming_at_every_step_with_everything_on(tmp_path, engine, changes):
    config = settings(tmp_path, model__engine=engine, data__valid=0.2, **(ALL_OF_IT | changes))
    _, events = train(config, tmp_path / "whole")
    for step in range(1, events[-1].steps):
        train(config, tmp_path / "run", stop_at=step, resume=step > 1)
    train(config, tmp_path / "run", resume=True)
    assert last_bytes(tmp_path / "run") == last_bytes(tmp_path / "whole")
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")


@pytest.mark.parametrize("valid", [None, 0.2])
def test_checkpoints_by_steps_end_in_that_of_a_finished_run(tmp_path, valid):
    made, _ = train(settings(tmp_path, data__valid=valid, run__checkpoint_every="1 step"), tmp_path / "run")
    stored = checkpoint.read(made.folder.last()[0])
    assert finished(stored.progress, stored.config) == "epochs"
    train(settings(tmp_path, data__valid=valid), tmp_path / "by epochs")
    theirs = checkpoint.read(trainer(settings(tmp_path), tmp_path / "by epochs").folder.last()[0])
    assert stored.progress == theirs.progress


def test_no_duplicate_row_if_killed_after_a_checkpoint_at_the_end_of_an_epoch(tmp_path):
    config = settings(tmp_path, data__mode="stream", data__valid=0.2)
    steps = trainer(config, tmp_path / "probe").batches.steps(0)
    config = replace(
        config, run=replace(config.run, checkpoint_every=config.run.checkpoint_every.parse(f"{steps} steps"))
    )
    train(config, tmp_path / "whole")
    killed = trainer(config, tmp_path / "run").train()
    while next(killed).step <= steps:
        pass
    killed.close()
    train(config, tmp_path / "run", resume=True)
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")


@pytest.mark.parametrize(
    "changes",
    [
        {"model.layers": 11},  # sorted by name, its states are not in the order of the layers
        {"training.dtype": "float64", "model.embedding_size": None},
        {"optimizer.name": "sgd", "optimizer.clip_norm": None},
        {"model.output": {"name": "adaptive", "cutoffs": [3, 6]}},
        {"model.output": {"name": "sampled", "samples": 4}},
        {"model.output": {"name": "sampled", "samples": 4, "proposal": "unigram"}, "data.mode": "sentences"},
        {"data.mode": "stream", "data.line_end": False, "data.tokenizer": "characters"},
    ],
    ids=str,
)
def test_resuming_other_models(tmp_path, changes):
    config = settings(tmp_path, **({"data.mode": "stream", "training.bptt": 3} | changes))
    train(config, tmp_path / "whole")
    train(config, tmp_path / "run", stop_at=9)
    train(config, tmp_path / "run", resume=True)
    assert last_bytes(tmp_path / "run") == last_bytes(tmp_path / "whole")


def layouts(given):
    """Dtype, shape and strides of every array in nested arguments, in order."""
    if isinstance(given, np.ndarray):
        return [(given.dtype.str, given.shape, given.strides)]
    given = dict(given.items()) if isinstance(given, Parameters) else given
    parts = given.values() if isinstance(given, dict) else given if isinstance(given, tuple | list) else ()
    return [layout for part in parts for layout in layouts(part)]


def recorded(made, monkeypatch):
    """The layout of every array that the parts of a step are given, by step and part; grows as `made` trains."""
    seen = {}

    def record(of, method):
        called = getattr(of, method)

        def recording(*given, **named):
            where = made.progress.position.step + 1, type(of).__name__, method
            seen.setdefault(where, layouts(given))
            return called(*given, **named)

        monkeypatch.setattr(of, method, recording)

    for of in (made.model.stack, made.model.output):
        record(of, "forward")
        record(of, "backward_")
    record(made.optimizer, "step_")
    return seen


@pytest.mark.parametrize("mode", ["sentences", "stream"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cell", CELLS)
def test_every_array_of_a_step_has_the_same_layout_after_a_resume_and_a_rollback(
    tmp_path, monkeypatch, cell, engine, mode
):
    """Products of arrays with other strides may differ in the last bit: NumPy 1.26 has its own loops for some."""
    config = settings(tmp_path, random_lines(8), model__cell=cell, model__engine=engine, model__layers=2)
    config = replace(config, data=replace(config.data, mode=mode), training=replace(config.training, bptt=3))
    whole = trainer(config, tmp_path / "whole")
    seen = recorded(whole, monkeypatch)
    list(whole.train())
    expected, steps = last_bytes(tmp_path / "whole"), whole.progress.position.step
    stopped = train(config, tmp_path / "run", stop_at=steps - 3)[0].folder.last()[0]
    for made in (trainer(config, tmp_path / "run"), whole):  # the second goes back in mid-run, as a rollback does
        made.resume(stopped)
        again = recorded(made, monkeypatch)
        list(made.train())
        assert {step for step, *_ in again} == set(range(steps - 2, steps + 1))
        assert again == {where: seen[where] for where in again}
        assert all(array.flags.c_contiguous for array in made.contents().state.values())
        assert last_bytes(made.folder.path) == expected


def test_more_epochs_give_what_they_had_given_at_once(tmp_path):
    train(settings(tmp_path), tmp_path / "run")
    longer = settings(tmp_path, training__epochs=4)
    train(longer, tmp_path / "run", resume=True)
    train(longer, tmp_path / "at once")
    assert last_bytes(tmp_path / "run") == last_bytes(tmp_path / "at once")


def test_an_interrupted_write_of_rows_is_repaired(tmp_path):
    config = settings(tmp_path)
    train(config, tmp_path / "whole")
    train(config, tmp_path / "run", stop_at=3)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"event": "step", "step": 4}\n{"event": "st')
    train(config, tmp_path / "run", resume=True)
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")


def test_the_best_of_a_run_that_was_stopped_in_its_patience(tmp_path):
    config = learns_by_heart(tmp_path, training__patience=3)
    whole, events = train(config, tmp_path / "whole")
    train(config, tmp_path / "run", stop_at=events[-1].steps - 2)
    resumed, events_after = train(config, tmp_path / "run", resume=True)
    assert last_bytes(tmp_path / "run") == last_bytes(tmp_path / "whole")
    assert resumed.folder.preferred()[0].read_bytes() == whole.folder.preferred()[0].read_bytes()
    assert events_after[-1].best_valid_perplexity == events[-1].best_valid_perplexity
    before, after = (
        {name: getattr(found[-1], name) for name in ("train", "valid", "best_valid")}
        for found in (events, events_after)
    )
    assert before == after
    assert before["best_valid"].perplexity == events[-1].best_valid_perplexity < before["valid"].perplexity


def windows_scored(made, monkeypatch):
    """A list that grows by one with each window that a model evaluates."""
    scored, score = [], made.model.score
    monkeypatch.setattr(made.model, "score", lambda *given: scored.append(1) or score(*given))
    return scored


@pytest.mark.parametrize("windows", [1, 2, 6, 7, 8, 13])
def test_a_stop_while_validating(tmp_path, monkeypatch, windows):
    """Each validation has 7 windows; an interrupted one is repeated from the start when the run is resumed."""
    config = settings(tmp_path, random_lines(140), data__valid=0.75, training__patience=2)
    whole, events = train(config, tmp_path / "whole")
    assert whole.valid_batches.steps(0) == 7
    ends = [event.step for event in events if isinstance(event, Epoch)]
    made = trainer(config, tmp_path / "run")
    scored = windows_scored(made, monkeypatch)
    stopped = list(made.train(lambda: "max_time" if len(scored) >= windows else None))
    whole_validations = windows // 7  # a stop in the last window takes effect after the epoch has ended
    assert len(scored) == windows
    assert isinstance(stopped[-1], Done)
    assert stopped[-1].reason == "max_time"
    assert [event.step for event in stopped if isinstance(event, Epoch)] == ends[:whole_validations]
    assert stopped[-1].steps == (ends[0] if windows <= 7 else ends[1])
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")[: len(stopped) - 1]
    stored = checkpoint.read(made.folder.last()[0])
    assert (stored.progress.position.step, stored.progress.position.epoch) == (stopped[-1].steps, whole_validations)
    resumed, _ = train(config, tmp_path / "run", resume=True)
    assert last_bytes(tmp_path / "run") == last_bytes(tmp_path / "whole")
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")
    assert resumed.folder.preferred()[0].read_bytes() == whole.folder.preferred()[0].read_bytes()


def test_a_stop_while_the_test_text_is_measured(tmp_path):
    config = settings(tmp_path, random_lines(140))
    config = replace(config, data=replace(config.data, test=str(tmp_path / "text.txt")))
    train(config, tmp_path / "whole")
    made = trainer(config, tmp_path / "run")
    *_, done = made.train(lambda: "max_time" if made.progress.position.epoch == 2 else None)
    assert (done.reason, done.epochs, done.test_perplexity) == ("max_time", 2, None)
    assert last_bytes(tmp_path / "run") == last_bytes(tmp_path / "whole")
    assert figures_of_test(made.folder.metrics) is None
    again = trainer(config, tmp_path / "run")
    again.resume(again.folder.last().path)
    *_, measured, done = again.train()
    whole = figures_of_test(tmp_path / "whole" / "metrics.jsonl", made.texts.test.sha256)
    assert (done.reason, measured.measured_step, done.test.figures()) == ("epochs", done.steps, whole)
    assert figures_of_test(made.folder.metrics) == whole
    assert figures_of_test(made.folder.metrics, "another text") is None


def test_the_best_checkpoint_is_missing_when_the_test_text_is_measured(tmp_path):
    config = settings(tmp_path, random_lines(40), data__valid=0.3)
    config = replace(config, data=replace(config.data, test=str(tmp_path / "text.txt")))
    made = trainer(config, tmp_path / "run")
    events = made.train()
    for event in events:
        if isinstance(event, Epoch) and event.epoch == 2:
            break
    made.progress.measured.best_step = 1
    *_, test, done = events
    assert test.problems == (f"{made.folder.checkpoint_at(1)}: no such checkpoint",)
    assert (test.measured_step, done.test_perplexity) == (done.steps, test.perplexity)
