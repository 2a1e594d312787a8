import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnncli.text.letter_forms import LANGUAGES
from rnncli.text.tokenize import NEWEST, TOKENIZERS, Tokenizer

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
    """The rule of version 1 of `words`, one character at a time."""
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


WORDS = [
    "mango is yellow color",
    "Don't stop .",
    "l’été , rock'n'roll",
    "the dogs ' ' tis ' '",
    "cafe\u0301 nai\u0308ve",
    "3.14 and 1,000,000 .",
    "snake _ case _ 2nd ½ x ² B2B",
    "U.S.A . e.g . a:b 10 : 30 www.example.com",
    "“ Well — no ! ”",
    "a <unk> b < unk > < UNK > <end>",
    "می\u200cخواهم نمی\u200cروم ،",
    "ක්\u200dරම ශ්\u200dරී",
    "हिन्दी में क्\u200dष र्\u200d , नहीं ।",
    "צה״ל צה\"ל ג' ג׳ ' א ' \" ש\u05c1ל\u05d5\u05b9ם \"",
    "👩\u200d👩\u200d👧 👨🏽\u200d🚀 👍🏽 😀 😀 ❤️ ☎️ 1️⃣ #️⃣",
    "🏳️\u200d🌈 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f 🇩🇪 🇫🇷 🇯",
    "col·lecció co\u00adop ,\u0301 >\u0301",
    "カタカナ 漢字かな 人々 ไทย ； iPhone 手机 2024 年",
    "\u200b a \u200b",
]


@pytest.mark.parametrize("line", WORDS)
def test_words(line):
    """Each line is its tokens with spaces between them; most of them are cut there without a space, too."""
    tokens = line.split(" ")
    assert Tokenizer("words", lowercase=False).tokens(line) == tokens


@pytest.mark.parametrize(
    ("line", "tokens"),
    [
        ("Don't stop.", ["Don't", "stop", "."]),
        ("the dogs' 'tis ''", ["the", "dogs", "'", "'", "tis", "'", "'"]),
        ("snake_case x² x1½", ["snake", "_", "case", "x", "²", "x1", "½"]),
        ("“Well—no!”", ["“", "Well", "—", "no", "!", "”"]),
        ("a<unk>b <unk>\u0301", ["a", "<unk>", "b", "<", "unk", ">\u0301"]),
        ("iPhone手机2024年", ["iPhone", "手机", "2024", "年"]),
        ("😀😀❤️🇩🇪🇫🇷🇯a", ["😀", "😀", "❤️", "🇩🇪", "🇫🇷", "🇯", "a"]),
        ("\u200da\u0301 \u0301\u0302b", ["\u200d", "a\u0301", "\u0301\u0302", "b"]),
        (" \t ", []),
    ],
)
def test_words_without_spaces(line, tokens):
    assert Tokenizer("words", lowercase=False).tokens(line) == tokens


@pytest.mark.parametrize(
    ("line", "tokens"),
    [
        ("Don't 2nd U.S. 3.14", ["Don't", "2", "nd", "U", ".", "S", ".", "3.14"]),
        ("می\u200cخواهم ❤️ 🇩🇪", ["می", "\u200c", "خواهم", "❤", "\ufe0f", "🇩", "🇪"]),
        ("צה״ל <unk>\u0301", ["צה", "״", "ל", "<unk>", "\u0301"]),
    ],
)
def test_words_of_the_first_version(line, tokens):
    assert Tokenizer("words", lowercase=False, version=1).tokens(line) == tokens


def test_whitespace_accepts_combining_marks_alone():
    tokens = Tokenizer("whitespace", lowercase=False).tokens(" the <unk>  a<unk>\u00a0b\u200bc ")
    assert tokens == ["the", "<unk>", "a<unk>", "b\u200bc"]


def test_characters_keeps_literals_whole():
    assert Tokenizer("characters", lowercase=False).tokens("a <unk>\r<") == ["a", " ", "<unk>", "\r", "<"]


@pytest.mark.parametrize(
    ("settings", "tokens"),
    [
        ({}, ["the", "<unk>", "οδος", "i", "is", "cafe\u0301"]),
        ({"language": "tr"}, ["the", "<unk>", "οδος", "i", "ıs", "cafe\u0301"]),
        ({"language": "tr", "normalize": "nfc"}, ["the", "<unk>", "οδος", "i", "ıs", "café"]),
        ({"normalize": "nfc"}, ["the", "<unk>", "οδος", "i", "is", "café"]),
        ({"version": 1}, ["the", "<unk>", "οδος", "i\u0307", "is", "cafe\u0301"]),
    ],
)
def test_lowercase_and_normal_form_come_first(settings, tokens):
    tokenizer = Tokenizer("words", lowercase=True, **settings)
    assert tokenizer.tokens("The <unk> ΟΔΟΣ İ IS cafe\u0301") == tokens


def test_join():
    assert Tokenizer("words", lowercase=False).join(["a", "b"]) == "a b"
    assert Tokenizer("whitespace", lowercase=False).join([]) == ""
    assert Tokenizer("characters", lowercase=False).join(["a", " ", "b"]) == "a b"


@given(LINES, st.sampled_from([None, *LANGUAGES]))
@example("J\u030c \u01f0", None)
@example("Î I\u0302", "tr")
def test_normalized_words_are_the_same_in_either_form(line, language):
    tokenizer = Tokenizer("words", lowercase=True, language=language, normalize="nfc")
    tokens = tokenizer.tokens(line)
    assert tokenizer.tokens(unicodedata.normalize("NFD", line)) == tokens
    assert all(unicodedata.is_normalized("NFC", token) for token in tokens)


@given(LINES)
def test_words_of_the_first_version_follow_the_rule(line):
    assert Tokenizer("words", lowercase=False, version=1).tokens(line) == words_by_hand(line)


@given(LINES, st.sampled_from(sorted(TOKENIZERS)), st.booleans(), st.sampled_from([1, NEWEST]))
def test_joined_tokens_are_the_text(line, name, lowercase, version):
    tokenizer = Tokenizer(name, lowercase, version=version)
    tokens = tokenizer.tokens(line)
    text = tokenizer.spelled(line)
    assert "".join(tokens) == (text if name == "characters" else "".join(text.split()))
    assert all(tokens)
