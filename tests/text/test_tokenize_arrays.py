import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnncli.text.letter_forms import LANGUAGES
from rnncli.text.tokenize import TOKENIZERS, Tokenizer
from rnncli.text.tokenize_arrays import cut

ALL = [Tokenizer(name, lowercase) for name in TOKENIZERS for lowercase in (False, True)]
ALL += [Tokenizer("words", lowercase, version=1) for lowercase in (False, True)]
ALL += [Tokenizer("words", lowercase=True, language=language) for language in LANGUAGES]
ALL += [Tokenizer("words", lowercase, normalize="nfc") for lowercase in (False, True)]
AFTER_LINE = ["\n", " ", None]

LITERALS = ["<unk>", "<end>", "<UNK>", "<End>", "<un", "<", "<<", ">", "<<unk>", "<unk<end>", "unk>"]
ENDS = ["\n", "\n\n", "\r\n", "\r", "\r\r\n", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1f"]
SPACES = [" ", "  ", "\t", "\u00a0", "\u3000", "\u200b", "\ufeff"]
ASCII = ["a", "Bc", "don't", "'", "''", "'t", "1", "2.5", "1,000", ".", ",", "1.", "_", "x1", "\x7f", "\x01", '"', ":"]
LETTERS = ["é", "e\u0301", "\u0301", "\u0301\u0302", "l’été", "’", "ς", "ΟΔΟΣ", "Σ", "İ", "I\u0307", "ß", "ǅ"]
LETTERS += ["ПРИВЕТ", "हिन्दी", "漢字", "\U00011000", "\U000e0100", "\U00010400"]
NUMERALS = ["½", "Ⅷ", "²", "٣", "٣.٤", "\U0001d7ce", "①"]
SYMBOLS = [
    "\U0001f600",
    "\U0001f468\u200d\U0001f469",
    "—",
    "\U0010ffff",
    "\ufffd",
    "\u200d",
    "\u200c",
    "\xad",
    "🇩",
    "🇪🇫",
]
LETTERS += ["א", "צה״ל", "ג'", "می\u200cخ", "क्\u200dष", "カ", "ｶﾞ", "か", "人々", "ไทย", "Ⓜ", "I\u0323\u0307", "J\u0301"]
PIECES = [*LITERALS, *ENDS, *SPACES, *ASCII, *LETTERS, *NUMERALS, *SYMBOLS]

ANY = st.characters(exclude_characters="\0", codec="utf-8")
TEXTS = st.lists(st.sampled_from(PIECES) | ANY, max_size=25).map("".join)
ASCII_TEXTS = st.lists(st.sampled_from([piece for piece in PIECES if piece.isascii()]), max_size=25).map("".join)


def tokens_of(found):
    """The tokens as strings."""
    return [found.data[start:end].decode() for start, end in zip(found.starts, found.ends, strict=True)]


def cut_by_hand(text, tokenizer, after_line):
    """Tokens, `through` and `characters` of each line, and the size. Text after the last `\\n` is not a line."""
    tokens, through, characters, read = [], [], [], 0
    *ended, rest = text.split("\n")
    for line in ended:
        line = line.removesuffix("\r")
        tokens += tokenizer.tokens(line) + ([] if after_line is None else [after_line])
        read += len(line) + 1
        through.append(len(tokens))
        characters.append(read)
    return tokens + tokenizer.tokens(rest), through, characters, read + len(rest)


def assert_cut(text, tokenizer, after_line):
    found = cut(text.encode(), tokenizer, after_line)
    tokens, through, characters, size = cut_by_hand(text, tokenizer, after_line)
    assert tokens_of(found) == tokens
    assert found.through.tolist() == through
    assert found.characters.tolist() == characters
    assert found.size == size


@pytest.mark.parametrize("tokenizer", ALL, ids=str)
@given(text=TEXTS | ASCII_TEXTS, after_line=st.sampled_from(AFTER_LINE))
def test_the_same_as_line_by_line(tokenizer, text, after_line):
    assert_cut(text, tokenizer, after_line)


@pytest.mark.parametrize("tokenizer", ALL, ids=str)
@pytest.mark.parametrize("after_line", AFTER_LINE)
def test_every_pair_of_pieces(tokenizer, after_line):
    """All pairs in one text, one pair a line: a line must not depend on its neighbours."""
    for pieces in (PIECES, [piece for piece in PIECES if piece.isascii()]):
        pairs = [one + other for one in pieces for other in pieces]
        assert_cut("\n".join(pairs), tokenizer, after_line)
        assert_cut("\r\n".join(pair + "b" for pair in reversed(pairs)), tokenizer, after_line)


@pytest.mark.parametrize("tokenizer", ALL, ids=str)
def test_empty_and_tiny_texts(tokenizer):
    for text in ("", "\n", "\r\n", "a", "é", "'", "<", "\u0301", "\r", "\n\n\n", "1.", "א'", "\u200d", "🇩"):
        for after_line in AFTER_LINE:
            assert_cut(text, tokenizer, after_line)


@given(TEXTS, st.sampled_from(sorted(TOKENIZERS)))
def test_the_joined_tokens_are_the_text_without_its_white_space(text, name):
    found = cut(text.encode(), Tokenizer(name, lowercase=False), None)
    if name == "characters":
        expected = "".join(line.removesuffix("\r") for line in text.split("\n")[:-1]) + text.split("\n")[-1]
    else:
        expected = "".join(text.split())
    assert "".join(tokens_of(found)) == expected
    edges = np.stack([found.starts, found.ends], axis=1).reshape(-1)
    assert (np.diff(edges) >= 0).all()  # sorted, and no character twice
    assert (found.ends > found.starts).all()
    gaps = zip([0, *found.ends], [*found.starts, len(found.data)], strict=True)
    assert all(found.data[end:start].decode().strip() == "" for end, start in gaps)
