"""Classes of characters, and the tokens that follow from them, against the word boundaries of `regex`."""

import sys
import unicodedata

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from rnncli.text.character_classes import class_table
from rnncli.text.tokenize import words

WHOLE = "".join(map(chr, [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]))
# What either Unicode version does not have is left out, and the two iteration marks, which to UAX 29 are letters of an
# alphabet: here they go with the ideographs that they repeat.
ASSIGNED = "".join(regex.findall(r"[\P{C}\p{Cc}\p{Cf}]", WHOLE)).translate(
    dict.fromkeys(ord(c) for c in WHOLE if unicodedata.category(c) == "Cn" or c in "々〻")
)
BOUNDARY = regex.compile(r"\b", regex.V1 | regex.WORD)


@pytest.mark.parametrize(
    ("classes", "pattern"),
    [
        ("X", r"[\p{WB=Extend}\p{WB=Format}]"),
        ("Z", r"\p{WB=ZWJ}"),
        ("R", r"\p{WB=Regional_Indicator}"),
        ("h", r"\p{WB=Hebrew_Letter}"),
        ("n", r"\p{WB=Numeric}"),
        ("le", r"\p{WB=ALetter}"),
        ("e", r"[\p{WB=ALetter}&&\p{Extended_Pictographic}]"),
        ("'", r"\p{WB=Single_Quote}"),
        ('"', r"\p{WB=Double_Quote}"),
        (",", r"\p{WB=MidNum}"),
        (".", r"\p{WB=MidNumLet}"),
        (":", r"\p{WB=MidLetter}"),
        # Letters that dictionaries cut, or that no rule joins to the next.
        ("K", r"[\p{WB=Katakana}[[\p{L}\p{Nl}]--[\p{WB=ALetter}\p{WB=Hebrew_Letter}\p{WB=Extend}]]]"),
        (
            "E",
            r"[[\p{So}--[\p{WB=ALetter}\p{WB=Katakana}\p{WB=Regional_Indicator}]][\p{Extended_Pictographic}--\p{WB=ALetter}]]",
        ),
        (" \n", r"[\p{White_Space}\x1c-\x1f]"),
    ],
)
def test_classes_of_unicode(classes, pattern):
    table = class_table(2)
    found = {c for c in ASSIGNED if chr(table[ord(c)]) in classes}
    assert found == set(regex.findall(pattern, ASSIGNED, regex.V1))


def test_classes_of_the_first_version():
    def class_of(c):
        if c.isspace():
            return "\n" if c == "\n" else " "
        if c in "'’.,":
            return "'" if c in "'’" else ","
        if c.isalpha():
            return "l"
        if c.isdecimal():
            return "n"
        return "X" if unicodedata.category(c)[0] == "M" else "@"

    table = class_table(1)
    assert [c for c in WHOLE if chr(table[ord(c)]) != class_of(c)] == []


@pytest.mark.parametrize("version", [1, 2])
def test_the_table_of_ascii_is_the_beginning_of_the_whole(version):
    assert class_table(version, ascii_only=True)[:128] == class_table(version)[:128]


def test_an_emoji_newer_than_this_unicode_joins_others():
    newer = next(c for c in map(chr, range(0x1FAF9, 0x1FB00)) if unicodedata.category(c) == "Cn")
    assert words(f"a {newer}\u200d{newer}\ufe0f b") == ["a", f"{newer}\u200d{newer}\ufe0f", "b"]


PIECES = ["a", "é", "e\u0301", "'", "’", '"', "1", ".", ",", ":", ";", "_", " ", "-", "\u0301", "\u200d", "\u200c"]
PIECES += ["\xad", "א", "צה״ל", "ש\u05b8", "मि", "क्\u200dष", "ක්\u200dර", "می\u200cخ", "カ", "ｶﾞ", "漢", "か"]
PIECES += ["ไทย", "가", "ᄀ", "ᅡ", "😀", "❤️", "👍🏽", "👩\u200d👧", "🏴\U000e0067\U000e007f", "🇩", "🇪🇫", "1️⃣", "Ⓜ"]
PIECES += ["🅰", "©", "\u200b", "\u0600", "½"]
LINES = st.lists(st.sampled_from(PIECES) | st.sampled_from(ASSIGNED.replace("<", "")), max_size=15).map("".join)


def starts_of(tokens, line):
    """Where tokens begin in a line, and the ends of those that white space follows."""
    found, at = set(), 0
    for token in tokens:
        at = line.index(token, at)
        found |= {at, at + len(token)}
        at += len(token)
    return found


def base(line, i):
    """The last character before i that is no mark, joiner or format character, or the first of the line."""
    while i > 1 and regex.match(r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]", line[i - 1]):
        i -= 1
    return line[i - 1]


@given(LINES)
@example("a_b c_1 __ 1_000 カ_カ")
@example("' א' א'א א\"א א\"1 א'1 1'1 1:1 a:a a,a 1,1 a.1 a..a a' 'a")
@example("🇩🇪🇫\u200d🇷🇩 🇩a🇪")
@example("\u0301a \u200d😀 \u200da a\u200d😀 a\u200da😀\u200da Ⓜ\u200dⓂa")
def test_words_end_where_unicode_ends_them(line):
    ours, unicodes = starts_of(words(line), line), {found.start() for found in BOUNDARY.finditer(line)}
    table = class_table(2)
    for i in range(1, len(line)):
        before, last, after = line[i - 1], base(line, i), line[i]
        if before.isspace() or after.isspace():
            continue
        if i in ours - unicodes:
            assert regex.search(r"\p{WB=ExtendNumLet}", last + after), (line, i)
        if i in unicodes - ours:
            kinds = bytes(table[ord(c)] for c in (before, last, after))
            assert (kinds[1:] == b"KK") or (before == "\u200d" and kinds[2:] == b"E"), (line, i)


@given(LINES)
def test_what_is_seen_as_one_character_is_in_one_token(line):
    ours = starts_of(words(line), line)
    for seen in regex.finditer(r"\X", line):
        first, *marks = seen.group()
        if not (first.isspace() or regex.match(r"\p{GCB=Prepend}", first)):
            assert not ours & set(range(seen.start() + 1, seen.end())), (line, seen.start(), marks)


@given(LINES)
def test_no_token_begins_with_what_belongs_to_the_character_before(line):
    at = 0
    for token in words(line):
        at = line.index(token, at)
        if regex.match(r"[\p{M}\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]", token):
            assert at == 0 or line[at - 1].isspace()
        at += len(token)
