import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncli.text.tokenize import TOKENIZERS, Tokenizer

PIECES = [
    "<unk>",
    "<end>",
    "<",
    "a",
    "Zoë",
    "e\u0301",
    "\u0301",
    "'",
    "’",
    "1",
    "2.5",
    ".",
    ",",
    "_",
    " ",
    "\t",
    "½",
    "²",
]
PIECES += [
    "\u200b",
    "\u2028",
    "ПРИВЕТ",
    "हिन्दी",
    "漢字",
    "Ⅷ",
    "٣",
    "\U0001f600",
    "\U000e0100",
    "\U00011000",
    "İ",
    "ΟΔΟΣ",
]
LINES = st.lists(st.sampled_from(PIECES) | st.characters(exclude_characters="\n", codec="utf-8"), max_size=20).map(
    "".join
)


def words_by_hand(line):
    """The rule of `words`, one character at a time."""
    tokens, i = [], 0

    def run(i, inside, joints, after):
        while i < len(line):
            if inside(line[i]):
                i += 1
            elif line[i] in joints and i + 1 < len(line) and after(line[i + 1]):
                i += 2
            else:
                break
        return i

    while i < len(line):
        if line[i].isspace():
            i += 1
            continue
        if line[i : i + 5] in ("<unk>", "<end>"):
            stop = i + 5
        elif line[i].isalpha():
            stop = run(i + 1, lambda c: c.isalpha() or unicodedata.category(c)[0] == "M", "'’", str.isalpha)
        elif line[i].isdecimal():
            stop = run(i + 1, str.isdecimal, ".,", str.isdecimal)
        else:
            stop = i + 1
        tokens.append(line[i:stop])
        i = stop
    return tokens


@pytest.mark.parametrize(
    ("line", "tokens"),
    [
        ("mango is yellow color", ["mango", "is", "yellow", "color"]),
        ("Don't stop.", ["Don't", "stop", "."]),
        ("l’été, rock'n'roll", ["l’été", ",", "rock'n'roll"]),
        ("the dogs' 'tis ''", ["the", "dogs", "'", "'", "tis", "'", "'"]),
        ("cafe\u0301 nai\u0308ve", ["cafe\u0301", "nai\u0308ve"]),
        ("3.14 and 1,000,000.", ["3.14", "and", "1,000,000", "."]),
        ("snake_case 2nd ½ x²", ["snake", "_", "case", "2", "nd", "½", "x", "²"]),
        ("“Well—no!”", ["“", "Well", "—", "no", "!", "”"]),
        ("a<unk>b < unk > <UNK>", ["a", "<unk>", "b", "<", "unk", ">", "<", "UNK", ">"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        (" \t ", []),
    ],
)
def test_words(line, tokens):
    assert Tokenizer("words", lowercase=False).tokens(line) == tokens


def test_whitespace_accepts_combining_marks_alone():
    tokens = Tokenizer("whitespace", lowercase=False).tokens(" the <unk>  a<unk>\u00a0b\u200bc ")
    assert tokens == ["the", "<unk>", "a<unk>", "b\u200bc"]


def test_characters_keeps_literals_whole():
    assert Tokenizer("characters", lowercase=False).tokens("a <unk>\r<") == ["a", " ", "<unk>", "\r", "<"]


def test_lowercase_comes_first():
    assert Tokenizer("words", lowercase=True).tokens("The <UNK> ΟΔΟΣ İ") == ["the", "<unk>", "οδος", "i\u0307"]


def test_join():
    assert Tokenizer("words", lowercase=False).join(["a", "b"]) == "a b"
    assert Tokenizer("whitespace", lowercase=False).join([]) == ""
    assert Tokenizer("characters", lowercase=False).join(["a", " ", "b"]) == "a b"


@given(LINES)
def test_words_follow_the_rule(line):
    assert Tokenizer("words", lowercase=False).tokens(line) == words_by_hand(line)


@given(LINES, st.sampled_from(sorted(TOKENIZERS)), st.booleans())
def test_joined_tokens_are_the_text(line, name, lowercase):
    tokens = Tokenizer(name, lowercase).tokens(line)
    text = line.lower() if lowercase else line
    assert "".join(tokens) == (text if name == "characters" else "".join(text.split()))
    assert all(tokens)


def test_each_character_of_unicode_is_in_the_right_class():
    """Exhaustive, because the classes of letters and marks come from Unicode tables and could miss a plane."""
    tokenizer = Tokenizer("words", lowercase=False)
    codes = (c for c in map(chr, range(sys.maxunicode + 1)) if not c.isspace() and not "\ud800" <= c <= "\udfff")
    wrong = [
        c
        for c in codes
        if (tokenizer.tokens("é" + c) == ["é" + c]) != (c.isalpha() or unicodedata.category(c)[0] == "M")
    ]
    assert wrong == []
