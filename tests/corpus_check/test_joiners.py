"""Invisible characters are found where none belongs; the command advised leaves alone those that belong."""

import pytest
from support.languages import JOINED, TEXTS, follow

from rnncli.corpus_check.joiners import for_perl


def test_the_command_leaves_emoji_and_words_alone(look, tmp_path):
    good = " ".join(JOINED)
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


def test_an_expression_in_ascii():
    assert for_perl("[\u200b-é]") == r"[\x{200b}-\x{e9}]"
