"""Invisible characters are found where none belongs, and escaped there."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.languages import JOINED

from rnncli.text.invisible import INVISIBLE, misplaced, pattern, shown

BAD = (
    "no\u200cgood",
    "می\u200c",
    "\u200cمی",
    "a \u200b b",
    "x\u200d",
    "so\u00adft",
    "\u200fשלום",
    "é\ufe0f",
    "\u2060a",
)


@pytest.mark.parametrize("text", JOINED)
def test_joiners_where_they_belong(text):
    assert not misplaced().search(text)
    assert not misplaced().search(f"a {text} b")
    if present := INVISIBLE & set(text):
        assert not re.search(pattern(present, set(text)), text)


@pytest.mark.parametrize("text", BAD)
def test_invisible_characters_where_none_belongs(text):
    assert [found.group() for found in misplaced().finditer(text)] == [c for c in text if c in INVISIBLE]


PARTS = st.lists(
    st.sampled_from([*JOINED, *sorted(INVISIBLE), "a", "é", " ", "می", "क", "👨", "\n", "漢"]), max_size=12
)


@given(PARTS.map("".join))
def test_the_expression_for_a_text_alone_finds_the_same(text):
    present = INVISIBLE & set(text)
    places = [found.start() for found in re.finditer(pattern(present, set(text)), text)] if present else []
    assert places == [found.start() for found in misplaced().finditer(text)]


@given(st.lists(st.sampled_from(JOINED), min_size=1).map(" ".join), st.sampled_from(sorted(INVISIBLE)))
def test_what_is_removed_is_what_was_put_in(text, character):
    for spoilt in (f"{character} {text}", f"{text} {character} b", f"{text} so{character}ft"):
        clean = misplaced().sub("", spoilt)
        assert clean == spoilt.replace(f"{character} {text}", f" {text}").replace(f" {character} b", "  b").replace(
            f"so{character}ft", "soft"
        )


def test_invisible_characters_have_no_glyph():
    assert {unicodedata.category(c) for c in INVISIBLE} <= {"Cf", "Mn"}


SEEN = [
    *("plain", "naïve", "cafe\u0301", "שָׁלוֹם", "中文", "한글", "a\xa0b", "a\u3000b", "👍🏽", "\u0600\u0661"),
    *JOINED,
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
        ("a\u200db é\ufe0f", r"a\u200db é\ufe0f"),
        ("a\U000e0067\U000e0068", r"a\U000e0067\U000e0068"),
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
