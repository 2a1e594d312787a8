"""Escapes of characters that nobody can see, and the columns that text takes on a terminal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncli.cli.display.characters import cut, padded, shown, width

FAMILY, THUMB, HEART = "👨‍👩‍👧‍👦", "👍🏽", "❤️"
ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
SEEN = [
    *("plain", "naïve", "cafe\u0301", "שָׁלוֹם", "می‌خواهم", "क्‍ष", "中文", "한글", "a\xa0b", "a\u3000b"),
    *(FAMILY, THUMB, HEART, ENGLAND, "🇩🇪", "1\ufe0f\u20e3", "\u0600\u0661"),
]


@pytest.mark.parametrize("text", SEEN)
def test_text_that_can_be_seen_is_shown_as_it_is(text):
    assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m", r"\x9b31m"),  # the same, in one character
        ("two\nlines\r\t", r"two\nlines\r\t"),
        ("a\u200bb\ufeff\xad", r"a\u200bb\ufeff\xad"),
        ("\u202egnp.exe", r"\u202egnp.exe"),  # text from right to left
        ("\u2028\u2029", r"\u2028\u2029"),
        ("caf\udce9", r"caf\udce9"),  # a file name that is not UTF-8
        ("\u200ca \u200c b\u200d", r"\u200ca \u200c b\u200d"),  # joiners that join nothing
        ("a\U000e0067", r"a\U000e0067"),
        ("\u0378", r"\u0378"),
    ],
)
def test_other_text_is_escaped(text, expected):
    assert shown(text) == expected


def test_line_ends_of_messages_stay():
    assert shown("one\ntwo\x07", keep="\n") == "one\ntwo\\x07"


@given(st.text(st.characters(codec=None)))
def test_no_control_character_is_left(text):
    left = shown(text)
    assert not {unicodedata.category(c) for c in left} & {"Cc", "Cs", "Zl", "Zp", "Cn"}
    left.encode()


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
    ],
)
def test_cutting(text, columns, expected):
    assert cut(text, columns) == expected


@given(st.text(st.sampled_from("ab中\u0301\u200d👨👩❤\ufe0f")), st.integers(1, 9))
def test_a_text_that_is_cut_fits(text, columns):
    assert width(cut(text, columns)) <= columns
