"""The sections of a step: each second is counted once, in its section."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from support.models import noise_of
from support.small_run import settings, trainer

from rnncli.model.costs import operations
from rnncli.model.engines import fused, stepwise
from rnncli.model.parameters import Gradients
from rnncli.system import profile
from rnncli.system.profile import SECTIONS, Profile, StepProfile
from rnncli.training import trainer as training
from rnncli.training.speed import FIRST_TIMED_STEP
from rnncli.training.trainer import Done, Step


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves; `clock.spending(function, seconds)` is the function with a cost."""

    class Clock:
        now = 1000.0

        def perf_counter(self):
            return self.now

        def monotonic(self):
            return self.now

        def spending(self, function, seconds):
            def spent(*arguments):
                self.now += seconds
                return function(*arguments)

            return spent

    made = Clock()
    monkeypatch.setattr(profile, "time", made)
    monkeypatch.setattr(training, "time", made)
    return made


def sections(report):
    return {each["name"]: each for each in report["sections"]}


def test_time_counts_for_the_previous_section(clock):
    made = StepProfile()
    made.begin()
    clock.now += 1
    for section, seconds in (("input", 2), ("output", 4), ("output", 8), ("input", 16)):
        made.enter(section)
        clock.now += seconds
    made.count(lambda: {"output": 36 * 10**9})
    made.end()
    report = made.report()
    found = sections(report)
    assert list(found) == list(SECTIONS)
    assert [found[name]["milliseconds"] for name in ("data", "input", "output")] == [1000, 18000, 12000]
    assert all(found[name]["milliseconds"] == 0 for name in SECTIONS if name not in ("data", "input", "output"))
    assert (report["steps"], report["milliseconds"]) == (1, 31000)
    assert found["output"]["percent"] == pytest.approx(100 * 12 / 31)
    assert sum(each["percent"] for each in found.values()) == pytest.approx(100)
    assert found["output"]["gflops"] == 3
    assert found["input"]["gflops"] is None
    assert report["gflops"] == pytest.approx(36 / 31)


def test_time_between_steps_is_not_counted(clock):
    made = StepProfile()
    for _ in range(3):
        made.enter("output")  # of a validation
        clock.now += 100
        made.begin()
        clock.now += 50
        made.enter("cells forward")
        clock.now += 50
        made.begin()  # the previous step had no batch
        clock.now += 2
        made.end()
        clock.now += 1000
        made.end()
    assert made.report()["steps"] == 3
    assert made.report()["milliseconds"] == 2000


@pytest.mark.parametrize(("steps", "expected"), [(1, 1), (3, 2), (4, 4), (6, 5)])
def test_the_first_steps_are_discarded_as_soon_as_there_are_others(clock, steps, expected):
    made = StepProfile(first=3)
    for step in range(1, steps + 1):
        made.begin()
        clock.now += step
        made.count(lambda step=step: {"data": step * 10**9})
        made.end()
    assert made.report()["milliseconds"] == 1000 * expected
    assert made.report()["steps"] == (steps if steps <= 3 else steps - 3)
    assert sections(made.report())["data"]["gflops"] == 1


def test_without_steps_the_report_is_none():
    for made in (Profile(), StepProfile()):
        assert made.report() is None
        made.end()
        assert made.report() is None
    silent = Profile()
    silent.begin()
    silent.count(lambda: pytest.fail("called without need"))
    silent.end()
    assert silent.report() is None


MODELS = [
    {"model__engine": engine, "model__output": output, "model__embedding_size": embedding}
    for engine in ("fused", "stepwise")
    for output, embedding in (("full", 3), ("full", None), ("sampled", 3), ({"name": "adaptive", "cutoffs": [4, 7]}, 3))
]


@pytest.mark.parametrize("mode", ["sentences", "stream"])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: " ".join(map(str, model.values())))
def test_sections_of_training_add_up_to_its_steps(tmp_path, clock, monkeypatch, model, mode):
    config = settings(tmp_path, data__mode=mode, data__valid=0.2, training__epochs=3, model__layers=2, **model)
    made = trainer(config, tmp_path / "run")
    output = made.model.output

    def entering(spent, owner, name):
        monkeypatch.setattr(owner, name, clock.spending(getattr(owner, name), spent))

    entering(1, made.batches, "_batch")
    cell = made.model.architecture.cell if model["model__engine"] == "fused" else made.model.stack._cell
    for owner, name, seconds in (
        (cell, "forward", 2),  # for each layer
        (cell, "backward_" if model["model__engine"] == "fused" else "backward", 8),
        (output, "forward", 32),
        (output, "backward_", 64),
        (output, "score", 10**6),  # the validation is no part of a step
        (made.optimizer, "step_", 128),
    ):
        entering(seconds, owner, name)
    report, events = made.profiled().report, list(made.train())
    steps = [event for event in events if isinstance(event, Step)]
    assert {step.seconds for step in steps} == {1 + 2 * 2 + 2 * 8 + 32 + 64 + 128}
    found = {name: each["milliseconds"] / 1000 for name, each in sections(report()).items()}
    expected = {"data": 1, "input": 0, "cells forward": 4, "output": 96, "cells backward": 16, "clip and update": 128}
    assert found == expected
    assert report()["steps"] == len(steps) - FIRST_TIMED_STEP
    assert sum(found.values()) == report()["milliseconds"] / 1000 == steps[-1].seconds


def test_rows_of_embeddings_and_their_gradients_are_input(tmp_path, clock, monkeypatch):
    made = trainer(settings(tmp_path), tmp_path / "run")
    monkeypatch.setattr(fused, "Rows", clock.spending(fused.Rows, 3))
    monkeypatch.setattr(Gradients, "write_rows_", clock.spending(Gradients.write_rows_, 5))
    report, _ = made.profiled().report, list(made.train())
    assert sections(report())["input"]["milliseconds"] == 3000 + 5000
    made = trainer(settings(tmp_path, model__engine="stepwise"), tmp_path / "stepwise")
    monkeypatch.setattr(stepwise, "one_hot", clock.spending(stepwise.one_hot, 3))
    report, _ = made.profiled().report, list(made.train())
    assert sections(report())["input"]["milliseconds"] == 3000 + 3000  # forward and backward


def test_profiling_changes_nothing(tmp_path):
    plain, profiled = (trainer(settings(tmp_path), tmp_path / name) for name in ("plain", "profiled"))
    profiled.profiled()
    ends = [list(made.train())[-1] for made in (plain, profiled)]
    assert all(isinstance(end, Done) for end in ends)
    assert np.array_equal(plain.model.parameters.vector, profiled.model.parameters.vector)
    assert plain.profile.report() is None
    assert profiled.profile.report()["steps"] > 0


def test_a_run_that_is_stopped_has_a_profile(tmp_path):
    made = trainer(settings(tmp_path), tmp_path / "run")
    report = made.profiled().report
    list(made.train(lambda: "enough" if made.progress.position.step == 3 else None))
    assert report()["steps"] == 3  # too few steps to discard the first ones


def counted(tmp_path, **changes):
    """The floating-point operations of one step by section, and its sizes."""
    made = trainer(settings(tmp_path, **changes), tmp_path / "run")
    batch = next(made.batches.epoch(0))
    passed = made.model.forward(batch, made.model.entering(batch, ()), noise_of(batch))
    made.model.backward_(passed)
    words = len(made.texts.vocabulary)
    return operations(made.model, passed), SimpleNamespace(
        N=batch.words, computed=batch.inputs.size, V=words, batch=batch
    )


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("lstm", 4), ("gru", 3)])
@pytest.mark.parametrize("embedding", [3, None])
def test_operations_of_the_cells(tmp_path, cell, gates, embedding):
    flops, of = counted(tmp_path, model__cell=cell, model__embedding_size=embedding, model__layers=2)
    H = 5
    first = gates * H * (H + (embedding or 0))  # one-hot input is no product
    second = gates * H * (H + H)
    assert flops["cells forward"] == 2 * of.computed * (first + second)
    assert flops["cells backward"] == 2 * flops["cells forward"]
    assert {name for name, count in flops.items() if count} == {"cells forward", "cells backward", "output"}


def test_operations_of_an_adaptive_input(tmp_path):
    output = {"name": "adaptive", "cutoffs": [4, 7], "div_value": 2}
    flops, of = counted(tmp_path, model__output=output, model__embedding_size=5, model__tied=True)
    rows = [
        np.count_nonzero((of.batch.inputs >= start) & (of.batch.inputs < stop)) for start, stop in ((4, 7), (7, of.V))
    ]
    assert flops["input"] == 3 * 2 * (rows[0] * 2 * 5 + rows[1] * 1 * 5) > 0


def test_operations_of_the_full_softmax(tmp_path):
    for engine in ("fused", "stepwise"):
        flops, of = counted(tmp_path / engine, model__engine=engine)
        assert flops["output"] == 3 * 2 * of.N * of.V * 5


def test_operations_of_the_adaptive_softmax_are_those_of_the_rows_that_each_cluster_got(tmp_path):
    output = {"name": "adaptive", "cutoffs": [4, 7], "div_value": 2}
    flops, of = counted(tmp_path / "fused", model__output=output)
    targets = of.batch.targets if of.batch.mask is None else of.batch.targets[of.batch.mask]
    first, second = np.count_nonzero((targets >= 4) & (targets < 7)), np.count_nonzero(targets >= 7)
    assert 0 < first < of.N > second > 0
    head, tails = of.N * 6 * 5, first * (2 * 5 + 3 * 2) + second * (1 * 5 + (of.V - 7) * 1)
    assert flops["output"] == 3 * 2 * (head + tails)
    flops, of = counted(tmp_path / "stepwise", model__output=output, model__engine="stepwise")
    every = 6 * 5 + (2 * 5 + 3 * 2) + (1 * 5 + (of.V - 7) * 1)
    assert flops["output"] == 3 * 2 * of.N * every


def test_operations_of_the_sampled_softmax_are_those_of_the_words_drawn(tmp_path):
    output = {"name": "sampled", "samples": 3}
    flops, of = counted(tmp_path / "fused", model__output=output)
    drawn = flops["output"] / (3 * 2 * of.N * 5)
    assert drawn in (1, 2, 3)
    more, _ = counted(tmp_path / "more", model__output=output | {"samples": 1000})
    assert more["output"] == 3 * 2 * of.N * of.V * 5  # all of them, each once
    plain, _ = counted(tmp_path / "stepwise", model__output=output, model__engine="stepwise")
    assert plain["output"] == 2 * of.N * of.V * 5


def test_rates_are_finite(tmp_path):
    made = trainer(settings(tmp_path), tmp_path / "run")
    report = made.profiled().report
    list(made.train())
    rates = {name: each["gflops"] for name, each in sections(report()).items()}
    assert {name for name, rate in rates.items() if rate} == {"cells forward", "output", "cells backward"}
    assert all(math.isfinite(rate) and rate > 0 for rate in rates.values() if rate is not None)
