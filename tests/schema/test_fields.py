from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnncli.schema.fields import Choice, Duration, Interval, read_scalar, setting, settings_of


@dataclass(frozen=True)
class Several:
    folder: str = setting(kind="path")
    count: int = setting(3, minimum=1)
    sizes: tuple[int, ...] | None = setting(None, minimum=1)
    rate: float = setting(0.5, above=0, below=1)
    pause: Duration | None = setting(None)
    every: Interval = setting(Interval(1, "epoch"))
    held_out: str | float | None = setting(None, kind="path or fraction")
    pick: Choice = setting(Choice("a", None), choices={"a": None})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1h30m", 5400),
        (" 1 h 30 min ", 5400),
        ("1.5 hours", 5400),
        ("2D", 172800),
        ("0s", 0),
        ("1 minute", 60),
        ("250e-3s", 0.25),
    ],
)
def test_a_duration_is_its_seconds_and_prints_as_it_was_written(text: str, seconds: float) -> None:
    duration = Duration.parse(text)
    assert duration.seconds == seconds
    assert str(duration) == text.strip()
    assert duration == Duration(seconds)


@pytest.mark.parametrize("text", ["", "90", "m", "-1s", "1 month", "1:30", "1sm", "1s2", "infs", "nans", "1e99h", "٣s"])
def test_an_invalid_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no time"):
        Duration.parse(text)


@given(st.floats(0, 1e9, allow_subnormal=True) | st.integers(0, 10**9).map(float))
@example(5e-324)
def test_a_canonical_duration_reads_back_to_the_bit(seconds: float) -> None:
    assert Duration.parse(Duration(seconds).canonical()).seconds == seconds


@pytest.mark.parametrize(
    ("text", "count", "unit", "canonical"),
    [
        ("1 epoch", 1, "epoch", "1 epoch"),
        ("2 Epochs", 2, "epoch", "2 epochs"),
        ("500 steps", 500, "step", "500 steps"),
        ("1step", 1, "step", "1 step"),
        ("10m", 600, "second", "10m"),
        ("90 minutes", 5400, "second", "90m"),
    ],
)
def test_an_interval_is_epochs_steps_or_seconds(text: str, count: float, unit: str, canonical: str) -> None:
    interval = Interval.parse(text)
    assert (interval.count, interval.unit, str(interval)) == (count, unit, text)
    assert interval.canonical() == canonical
    assert Interval.parse(canonical) == interval


@pytest.mark.parametrize("text", ["", "500", "0 steps", "0s", "-1 steps", "1.5 epochs", "steps", "9999999999 steps"])
def test_an_invalid_interval_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no (time|interval)"):
        Interval.parse(text)


def test_the_annotation_gives_the_kind() -> None:
    kinds = {name: (each.kind, each.many, each.optional, each.required) for name, each in settings_of(Several).items()}
    assert kinds == {
        "folder": ("path", False, False, True),
        "count": ("int", False, False, False),
        "sizes": ("int", True, True, False),
        "rate": ("float", False, False, False),
        "pause": ("duration", False, True, False),
        "every": ("interval", False, False, False),
        "held_out": ("path or fraction", False, True, False),
        "pick": ("choice", False, False, False),
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 0),
        ("count", True),
        ("count", 1.0),
        ("count", "1"),
        ("count", 2**31),
        ("count", None),
        ("rate", 0),
        ("rate", 1),
        ("rate", float("nan")),
        ("rate", float("inf")),
        ("rate", 10**400),
        ("held_out", 0),
        ("held_out", 1.0),
        ("held_out", True),
        ("held_out", " "),
        ("folder", "a\0b"),
        ("folder", "\ud800"),
        ("folder", ["a"]),
        ("pause", 90),
        ("pick", "b"),
    ],
)
def test_a_value_outside_its_rule_is_refused(name: str, value: object) -> None:
    with pytest.raises((ValueError, OverflowError)):
        read_scalar(settings_of(Several)[name], value)


def test_a_fraction_is_a_number_and_a_path_is_text() -> None:
    held_out = settings_of(Several)["held_out"]
    assert Fraction(read_scalar(held_out, 0.25)) == Fraction(1, 4)
    assert read_scalar(held_out, "0.25", "/a") == "/a/0.25"


def test_a_path_is_resolved_against_the_folder_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    folder = settings_of(Several)["folder"]
    assert read_scalar(folder, "../x", "/a/b") == "/a/x"
    assert read_scalar(folder, "~/x", "/a/b") == "/home/me/x"
    assert read_scalar(folder, "../x") == "../x"


def test_a_misspelt_rule_stops_at_once() -> None:
    with pytest.raises(TypeError, match="minimun"):
        setting(1, minimun=1)
