"""Invisible characters are found where none belongs; the command advised leaves alone those that belong."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.languages import TEXTS, follow

from rnncli.corpus_check.joiners import INVISIBLE, MISPLACED, for_perl, pattern

GOOD = (
    *("می\u200cخواهم", "کتاب\u200cها را", "CD\u200cها", "۲۰\u200cساله"),  # Persian
    *("क्\u200dष", "क्\u200cष", "ශ්\u200dරී", "അവന്\u200d", "র\u200d্য", "क्\u200c"),  # Indic
    *(
        "👨\u200d👩\u200d👧\u200d👦",
        "🏃🏽\u200d♀\ufe0f",
        "❤\ufe0f",
        "❤\ufe0f\u200d🔥",
        "🏳\ufe0f\u200d🌈",
        "1\ufe0f\u20e3",
        "☎\ufe0e",
    ),
    *("🇫🇷", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "葛\ufe00", "កខ\u200bគង"),
)
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


@pytest.mark.parametrize("text", GOOD)
def test_joiners_where_they_belong(text):
    assert not MISPLACED.search(text)
    assert not MISPLACED.search(f"a {text} b")
    if present := INVISIBLE & set(text):
        assert not re.search(pattern(present, set(text)), text)


@pytest.mark.parametrize("text", BAD)
def test_invisible_characters_where_none_belongs(text):
    assert [found.group() for found in MISPLACED.finditer(text)] == [c for c in text if c in INVISIBLE]


PARTS = st.lists(st.sampled_from([*GOOD, *sorted(INVISIBLE), "a", "é", " ", "می", "क", "👨", "\n", "漢"]), max_size=12)


@given(PARTS.map("".join))
def test_the_expression_for_a_text_alone_finds_the_same(text):
    present = INVISIBLE & set(text)
    places = [found.start() for found in re.finditer(pattern(present, set(text)), text)] if present else []
    assert places == [found.start() for found in MISPLACED.finditer(text)]


@given(st.lists(st.sampled_from(GOOD), min_size=1).map(" ".join), st.sampled_from(sorted(INVISIBLE)))
def test_what_is_removed_is_what_was_put_in(text, character):
    for spoilt in (f"{character} {text}", f"{text} {character} b", f"{text} so{character}ft"):
        clean = MISPLACED.sub("", spoilt)
        assert clean == spoilt.replace(f"{character} {text}", f" {text}").replace(f" {character} b", "  b").replace(
            f"so{character}ft", "soft"
        )


def test_the_command_leaves_emoji_and_words_alone(look, tmp_path):
    good = " ".join(GOOD)
    found = look(f"{good}\nbo\u200dth no\u200cgood \u200b {good} so\u00adft می\u200c a\ufe0f\n")["train", "glued"]
    assert (found.count, found.where.line) == (6, 2)
    assert "U+200C zero width non-joiner (2)" in found.what
    made = follow(found.advice, tmp_path).read_text()
    assert made == f"{good}\nboth nogood  {good} soft می a\n"
    assert ("train", "glued") not in look(made)


@pytest.mark.parametrize("text", [f"{text}\n" for text, _ in TEXTS.values()])
def test_plain_texts_have_none(look, text):
    assert ("train", "glued") not in look(text)


def test_a_mark_of_byte_order_in_the_text(look, tmp_path):
    found = look("a\n\ufeffb é\n")["train", "bom_inside"]
    assert follow(found.advice, tmp_path).read_text() == "a\nb é\n"


def test_control_characters(look, tmp_path):
    found = look("a \x1b[31mred\x1b[0m é\x08\x7f\n")["train", "control"]
    assert follow(found.advice, tmp_path).read_text() == "a red é\n"


def test_invisible_characters_have_no_glyph():
    assert {unicodedata.category(c) for c in INVISIBLE} <= {"Cf", "Mn"}
    assert for_perl("[\u200b-é]") == r"[\x{200b}-\x{e9}]"
