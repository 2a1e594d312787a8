"""The columns that text takes on a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncli.cli.display.characters import cut, padded, width

FAMILY, THUMB, HEART = "👨‍👩‍👧‍👦", "👍🏽", "❤️"
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        *(("", 0), ("abc", 3), ("naïve", 5), ("cafe\u0301", 4), ("שָׁלוֹם", 4), ("می‌خواهم", 7), ("中文", 4), ("한글", 4)),
        *(("\u1112\u1161\u11ab", 2), ("ｱ", 1), ("Ａ", 2), ("😀", 2), (FAMILY, 2), (THUMB, 2), (HEART, 2), (ENGLAND, 2)),
        *(("🇩🇪", 2), ("1\ufe0f\u20e3", 2), (f"a{FAMILY}中", 5), (f"{THUMB}{THUMB}", 4), ("\u0600\u0661", 2)),
    ],
)
def test_width(text, columns):
    assert width(text) == columns
    assert width(padded(text, columns + 3)) == columns + 3
    assert padded(text, columns + 2, right=True) == f"  {text}"


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        *(("abcdef", 6, "abcdef"), ("abcdef", 5, "abcd…"), ("中文字", 6, "中文字"), ("中文字", 5, "中文…")),
        *(("中文字", 4, "中…"), ("cafe\u0301s", 4, "caf…"), (f"a{FAMILY}b", 3, "a…"), ("abc", 1, "…")),
        *(
            (f"{THUMB}ab", 3, f"{THUMB}…"),
            (f"a{THUMB}bc", 3, "a…"),
            (f"{HEART}ab", 3, f"{HEART}…"),
            (f"{HEART}ab", 2, "…"),
        ),
        *(("क्\u200dषab", 2, "…"), ("क्\u200dषab", 3, "क्\u200dष…"), ("ab" * 10**6, 3, "ab…")),
    ],
)
def test_cutting(text, columns, expected):
    assert cut(text, columns) == expected


@given(st.text(st.sampled_from("ab中\u0301\u200d👨👩❤\ufe0f")), st.integers(1, 9))
def test_a_text_that_is_cut_fits(text, columns):
    assert width(cut(text, columns)) <= columns
