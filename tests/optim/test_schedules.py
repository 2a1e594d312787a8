"""Learning-rate schedules at given moments of a run, and over a run."""

import math

import pytest
from support.small_run import last_bytes, learns_by_heart, metrics, settings, train

from rnncli.errors import ConfigError
from rnncli.optim.schedules import SCHEDULES, Moment


def factors(name, moments, **options):
    schedule = SCHEDULES[name](SCHEDULES[name].Options(**options))
    return [schedule.factor(moment) for moment in moments]


def at(*shares, step=0.0):
    return [Moment(share, share + step) for share in shares]


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_stays_between_0_and_1(name):
    moments = [Moment(k / 100, (k + 1) / 100, epoch=k // 10, stalls=k // 30) for k in range(100)]
    for options in ({}, {"warmup": 0.1}, {"annealing": 0.2}, {"warmup": 0.1, "annealing": 0.2}):
        found = factors(name, moments, **options)
        assert all(0 < factor <= 1 for factor in found)  # the last step is taken too
        if name != "one_cycle":
            assert max(found) == pytest.approx(1, abs=0.01)
        if "warmup" in options:
            assert found[0] < 0.11
        if "annealing" in options:
            assert found[-1] < 0.06


@pytest.mark.parametrize(
    ("name", "options", "moments", "expected"),
    [
        ("constant", {}, at(0, 0.5, 1), [1, 1, 1]),
        ("constant", {"warmup": 0.1}, at(0, 0.04, 0.5, step=0.01), [0.1, 0.5, 1]),
        ("constant", {"annealing": 0.25}, at(0.5, 0.75, 0.875, 1), [1, 1, 0.5, 0]),
        ("step", {"after": 4}, [Moment(0, 0, epoch) for epoch in (0, 3, 4, 5, 12)], [1, 1, 0.5, 0.25, 0.5**9]),
        ("step", {"gamma": 0.1, "every": 3}, [Moment(0, 0, epoch) for epoch in (0, 1, 3, 4)], [1, 0.1, 0.1, 0.01]),
        ("plateau", {}, [Moment(0, 0, 9, stalls) for stalls in (0, 1, 2)], [1, 0.25, 0.0625]),
        ("cosine", {}, at(0, 0.5, 1), [1, 0.5, 0]),
        ("cosine", {"final": 0.1}, at(0, 0.25, 1), [1, 0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2, 0.1]),
        ("cosine", {"warmup": 0.2}, at(0.1, 0.2, 0.6, 1), [0.5, 1, 0.5, 0]),
        ("linear", {"final": 0.5}, at(0, 0.5, 1), [1, 0.75, 0.5]),
        ("one_cycle", {"peak": 0.5}, at(0, 0.25, 0.5, 0.75, 1), [0.04, 0.52, 1, 0.5, 0]),
    ],
)
def test_the_factor_at_a_moment(name, options, moments, expected):
    assert factors(name, moments, **options) == pytest.approx(expected, abs=1e-12)


def test_zaremba_halves_from_the_fifth_epoch_on(tmp_path):
    schedule = {"name": "step", "gamma": 0.5, "after": 4}
    config = settings(tmp_path, training__epochs=6, optimizer__schedule=schedule, optimizer__name="sgd")
    _, events = train(config, tmp_path / "run")
    rates = [event.learning_rate for event in events if type(event).__name__ == "Epoch"]
    assert rates == [0.01] * 4 + [0.005, 0.0025]


def test_a_plateau_lowers_the_rate_and_is_resumed(tmp_path):
    changes = {"optimizer__schedule": {"name": "plateau", "patience": 2}, "training__epochs": 14}
    config = learns_by_heart(tmp_path, **changes)
    whole, events = train(config, tmp_path / "whole")
    epochs = [event for event in events if type(event).__name__ == "Epoch"]
    gains = [event.best for event in epochs]
    without, stalls = 0, 0
    for before, after, gain in zip(epochs, epochs[1:], gains, strict=False):
        without = 0 if gain else without + 1
        stalls += without > 0 and without % 2 == 0
        assert after.learning_rate == pytest.approx(0.1 * 0.25**stalls), before
    assert stalls >= 2
    assert whole.progress.measured.stalls in (stalls, stalls + 1)
    stop = next(event.step for event in epochs[8:]) + 1
    train(config, tmp_path / "run", stop_at=stop)
    train(config, tmp_path / "run", resume=True)
    assert last_bytes(tmp_path / "run") == last_bytes(tmp_path / "whole")
    assert metrics(tmp_path / "run") == metrics(tmp_path / "whole")


def test_a_plateau_needs_a_validation_text(tmp_path):
    with pytest.raises(ConfigError, match=r"optimizer\.schedule is plateau, which needs data\.valid"):
        settings(tmp_path, optimizer__schedule="plateau")
