"""When a bar or a line is shown, and how often."""

from unittest import mock

import pytest
from tqdm import tqdm

from rnncli.cli.display import progress
from rnncli.cli.display.progress import Style


@pytest.mark.parametrize(
    ("quiet", "terminal", "no_color", "expected"),
    [
        (False, True, False, Style.BAR),
        (False, True, True, Style.LINES),
        (False, False, False, Style.LINES),
        (True, True, False, Style.SILENT),
        (True, False, False, Style.SILENT),
    ],
)
def test_the_style_that_fits_stderr(monkeypatch, quiet, terminal, no_color, expected):
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "")
    with mock.patch("rnncli.cli.display.progress.sys") as system:
        system.stderr.isatty.return_value = terminal
        assert progress.style(quiet) is expected


def test_a_queued_line_is_written_once_and_first():
    written = []
    with mock.patch("time.monotonic", return_value=100.0) as clock:
        pace = progress.Pace(written.append)
        pace.write(lambda: "too early")
        clock.return_value = 104.0
        pace.write()
        assert written == []
        pace.queue("an epoch")
        pace.write(lambda: "a step")
        clock.return_value = 108.0
        pace.write()
        pace.write(lambda: "another step")
    assert written == ["an epoch", "another step"]


def test_a_bar_is_erased_at_the_end(capsys):
    bar = progress.Bar(total=10, mininterval=0)
    bar.describe("reading")
    bar.advance_to(4)
    bar.advance_to(6)
    bar.write("a line above it")
    assert bar.done == 6
    bar.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert "reading" in err
    assert "a line above it\n" in err
    assert err.endswith("\r")


def test_a_bar_where_no_thread_can_start(monkeypatch):
    monkeypatch.setattr(tqdm, "monitor", None)
    monkeypatch.setattr(tqdm, "monitor_interval", 10)
    monkeypatch.setattr("threading.Thread.start", mock.Mock(side_effect=RuntimeError("can't start new thread")))
    bar = progress.Bar(total=3)  # a warning is an error here
    bar.advance_to(2)
    assert bar.done == 2
    bar.close()
