"""Display of perplexities."""

import math
from dataclasses import replace

import pytest

from rnncli.cli.display.perplexities import figure, in_a_line, print_done, print_evaluations
from rnncli.evaluation.perplexity import Evaluation
from rnncli.runs.events import Done

FOUND = Evaluation(
    tokens=8000,
    ends=False,
    oov=2,
    vocabulary=50,
    characters=32000,
    nll_spelling=8000 * math.log(2),
    nll=8000 * math.log(4),
    nll_oov=2 * math.log(8),
)


def test_the_table(capsys):
    print_evaluations({"valid": FOUND, "test": replace(FOUND, nll_oov=8000 * math.log(2)), "best valid": None})
    output = capsys.readouterr()
    assert output.out.splitlines() == [
        "",
        "measured on              valid   test",
        "tokens                   8,000  8,000",
        "<end>                     none   none",
        "unknown words                2      2",
        "perplexity                4.00   4.00",
        "  without unknown words   4.00   2.00",
        "  with their spelling     8.00   8.00",
        "bits per word            2.000  2.000",
        "  with spelling          3.000  3.000",
        "bits per character       0.500  0.500",
        "  with spelling          0.750  0.750",
    ]
    assert output.err == ""
    print_evaluations({"valid": None})
    assert capsys.readouterr().out == ""


def test_the_last_line(capsys):
    done = Done("epochs", 1, 20, 900.0, math.exp(271), 100, None, None, None, 1, None, None, None, None)
    for words_per_second, median, rate in (
        (None, False, ""),
        (12345.6, False, ", 12,346 words/s"),
        (12345.6, True, ", 12,346 words/s (900 in the median step)"),
    ):
        print_done(done, 47_000_000, words_per_second, median)
        assert capsys.readouterr().out == (
            f"1 epoch, 20 steps: perplexity train 4.941e+117{rate}, 47 MB at most; "
            "train over the 100 tokens read so far\n"
        )


def test_a_warning_not_to_compare_appears_once(capsys):
    unpaid = replace(FOUND, nll_spelling=None)
    print_evaluations({"valid": unpaid, "best valid": unpaid})
    output = capsys.readouterr()
    assert "  with their spelling        -           -" in output.out
    assert output.err == f"warning: {unpaid.incomparable}\n"


def test_a_line():
    assert in_a_line(FOUND) == (
        "8,000 tokens (no <end>, 2 unknown): 4.00 without them, 8.00 with their spelling, "
        "2.000 bits per word (3.000), 0.500 bits per character (0.750)"
    )
    known = replace(FOUND, oov=0, ends=True, nll_spelling=0.0)
    assert in_a_line(known) == (
        "8,000 tokens (<end> counted, 0 unknown): 2.000 bits per word, 0.500 bits per character"
    )


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (math.nan, "-"), (1234.567, "1,234.57"), (2.04e11, "2.040e+11"), (math.inf, "inf")]
)
def test_numbers(value, text):
    assert figure(value, 2) == text
