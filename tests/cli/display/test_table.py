"""Tables: alignment by width, and what a narrow terminal leaves out."""

import os
import sys

import pytest

from rnncli.cli.display.characters import width
from rnncli.cli.display.table import print_table

ROWS = [
    ["run", "state", "step", "model"],
    ["中文", "finished", "1,000", "lstm 1x32"],
    ["שָׁלוֹם", "no checkpoint yet", None, None],
    ["a\x1b[31m\n", "stopped", "5", "gru 2x8"],
]


def test_columns_are_aligned_by_width(capsys):
    print_table(ROWS, right="2")
    assert capsys.readouterr().out.splitlines() == [
        "run          state      step  model",
        "中文         finished  1,000  lstm 1x32",
        "שָׁלוֹם         no checkpoint yet",
        r"a\x1b[31m\n  stopped       5  gru 2x8",
    ]


@pytest.mark.parametrize(
    ("columns", "heads", "name"),
    [
        (39, ["run", "state", "step", "model"], r"a\x1b[31m\n"),
        (38, ["run", "state", "step"], r"a\x1b[31m\n"),
        (28, ["run", "state", "step"], r"a\x1b[31m\n"),
        (27, ["run", "state", "step"], r"a\x1b[31m…"),
        (20, ["run", "state", "step"], r"a\x1b[3…"),  # not shorter than that
    ],
)
def test_a_narrow_terminal_leaves_out_columns_and_then_cuts_names(capsys, monkeypatch, columns, heads, name):
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns, 25)))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(ROWS, left_out=["model"])
    head, chinese, _, last = capsys.readouterr().out.splitlines()
    assert head.split() == heads
    assert last.split()[0] == name
    assert chinese.startswith("中文" + " " * (len(name) - 2))
    assert max(map(width, (head, chinese, last))) <= max(columns, 25)
