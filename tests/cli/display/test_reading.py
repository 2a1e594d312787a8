"""Display of reading: on stderr only, and only if it takes long."""

from unittest import mock

import pytest

from rnncli.cli.display import reading

CALLS = [("checking", 10, 30), ("checking", 30, 30), ("reading", 10, 30), ("reading", 30, 30), ("reading", 5, None)]


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    with mock.patch("rnncli.cli.display.progress.sys") as system:
        system.stderr.isatty.return_value = True
        yield


def test_a_bar_for_each_thing_on_a_terminal(terminal):
    bars = []

    def tqdm(total, desc, delay, **_):
        assert delay == 1.0
        bar = mock.Mock(n=0, total=total, desc=desc)
        bar.update.side_effect = lambda more: setattr(bar, "n", bar.n + more)
        bars.append(bar)
        return bar

    with mock.patch("tqdm.tqdm", tqdm), reading.reading_display() as watch:
        for what, done, total in CALLS:
            watch(what, done, total)
    # A text that is read again has a new bar.
    assert [(bar.desc, bar.n, bar.total) for bar in bars] == [
        ("checking", 30, 30),
        ("reading", 30, 30),
        ("reading", 5, None),
    ]
    assert all(bar.close.called for bar in bars)


def test_lines_elsewhere_every_few_seconds(capsys):
    with mock.patch("time.monotonic") as clock, reading.reading_display() as watch:
        for seconds, done, total in (
            (100.0, 0, 90_000_000),
            (101.0, 10_000_000, 90_000_000),
            (104.0, 40_000_000, 90_000_000),
            (105.0, 50_000_000, 90_000_000),
            (109.0, 90_000_000, None),
        ):
            clock.return_value = seconds
            watch("reading", done, total)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["reading: 40 of 90 MB, 10.0 MB/s", "reading: 90 MB, 10.0 MB/s"]


def test_nothing_where_it_is_quiet(terminal, capsys):
    with mock.patch("tqdm.tqdm") as bar, reading.reading_display(quiet=True) as watch:
        watch("reading", 10, 10)
    assert not bar.called
    assert capsys.readouterr() == ("", "")


def test_no_bar_without_colour(terminal, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    with mock.patch("tqdm.tqdm") as bar, reading.reading_display() as watch:
        watch("reading", 10, 10)
    assert not bar.called
