"""The encoding of a text that is not UTF-8, and the commands that make it UTF-8: they are run."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.languages import TEXTS, follow

from rnncli.errors import TextError
from rnncli.text.encodings import advice, filtering, readings, sample, utf16
from rnncli.text.languages import GOOD, fit
from rnncli.text.lines import read_lines

PLAIN = str.maketrans({"’": "'", "“": '"', "”": '"', "„": '"', "—": "-"})
CASES = [(name, codec) for name, (_, codecs) in TEXTS.items() for codec in codecs]


def in_encoding(name, codec):
    """The text of a language and its bytes; older encodings have no typographic quotes."""
    text = TEXTS[name][0]
    if codec.startswith(("iso", "koi8", "cp86")):
        text = text.translate(PLAIN)
    return text, text.encode(codec)


def refusal(path):
    with pytest.raises(TextError) as error:
        list(read_lines(path))
    return error.value


@pytest.mark.parametrize(("name", "codec"), CASES)
def test_the_encoding_of_a_text_is_found(name, codec):
    text, data = in_encoding(name, codec)
    found = readings([data])
    assert found[0].text == text, found[:3]
    assert len(found) == 1 or found[0].fit > found[1].fit + 0.1


@pytest.mark.parametrize("name", ["French", "Polish", "Russian", "Greek", "Turkish", "Chinese", "Japanese", "Korean"])
def test_the_command_makes_it_utf8(tmp_path, name):
    for codec in TEXTS[name][1]:
        text, data = in_encoding(name, codec)
        path = tmp_path / f"{codec} it's.txt"
        path.write_bytes(data + b"\n")
        made = follow(refusal(path).remedy, tmp_path)
        assert list(read_lines(made)) == [(1, text)]


def test_bytes_80_to_9f_of_western_text_are_windows_1252(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("it’s “good” — 5 €, œuvre and Œdipe\n".encode("cp1252"))
    remedy = refusal(path).remedy
    assert "WINDOWS-1252" in remedy
    assert follow(remedy, tmp_path).read_text() == "it’s “good” — 5 €, œuvre and Œdipe\n"


def test_a_text_that_ends_with_such_a_byte():
    assert "it looks like WINDOWS-1252" in advice("a", "naïve café".encode("cp1252"), 2, True)
    assert "it looks like WINDOWS-1252" in advice("a", "café".encode("cp1252"), 3, True)


def test_two_likely_encodings_are_both_named():
    remedy = advice("a", "très\n".encode("cp1252"), 2, True)
    assert "it may be WINDOWS-1252 ('très') or WINDOWS-1250 ('trčs')" in remedy
    assert remedy.endswith("if the first is right: iconv -f WINDOWS-1252 -t UTF-8 a > utf8.txt")


def test_bytes_that_fit_no_language_are_not_guessed():
    assert advice("a", b"\x81\xff\x00 b", 0, False) == "it is in no encoding known here; get the text again as UTF-8"
    assert "iconv -f ENCODING -t UTF-8" in advice("a", bytes(range(128, 256)), 0, False)


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["ab\ncd\n", "Привет, мир\n", "你好，世界的人\n", "été\n"])
def test_utf16_without_a_mark(tmp_path, codec, text):
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode(codec))
    assert follow(refusal(path).remedy, tmp_path).read_text() == text


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30))
def test_utf8_is_not_taken_for_utf16_by_its_nuls(text):
    data = text.encode()
    assert "\0" not in text
    assert not (utf16(data) and all(c < "\x80" for c in text))


def test_lines_of_another_encoding_among_lines_of_utf8(tmp_path):
    path = tmp_path / "joined.txt"
    french, russian = "été à la plage, c’est bien\n", "Мальчик шёл через мост и увидел большую собаку\n"
    path.write_bytes(russian.encode() * 3 + french.encode() * 3 + french.encode("cp1252") + b"ascii\n")
    remedy = refusal(path).remedy
    assert "other lines are UTF-8, but this one looks like WINDOWS-1252" in remedy
    assert follow(remedy, tmp_path).read_text() == russian * 3 + french * 4 + "ascii\n"


def test_stray_bytes_in_a_line_of_utf8(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("été à la pl".encode() + b"\xff" + "age, été\n".encode())
    remedy = refusal(path).remedy
    assert remedy.startswith("the letters around it are UTF-8")
    assert follow(remedy, tmp_path).read_text() == "été à la plage, été\n"


def test_commands_read_compressed_files_and_quote_names(tmp_path):
    path = tmp_path / "a b's.txt.gz"
    path.write_bytes(gzip.compress(TEXTS["French"][0].encode("cp1252") + b"\n"))
    remedy = refusal(path).remedy
    assert "gzip -dc '" in remedy
    assert follow(remedy, tmp_path).read_text() == TEXTS["French"][0] + "\n"
    assert filtering("-", "one", "two") == "one | two > utf8.txt"
    assert filtering("a b", "tr a b", "two", new="c", before_file="<") == "tr a b < 'a b' | two > c"


def test_the_sample_has_the_line_and_others_around_it():
    data = b"ascii\n" * 9 + "é\n".encode() * 200 + b"x\xe9y\n" + "ü\n".encode() * 200
    lines = sample(data, data.index(b"\xe9y"))
    assert b"x\xe9y" in lines
    assert {"é".encode(), "ü".encode()} < set(lines)
    assert all(not line.isascii() for line in lines)
    assert len(lines) <= 100
    long = sample(b"a" * 5000 + b"\xe9" + b"b" * 5000, 5000)
    assert [len(line) for line in long] == [1000]
    assert b"\xe9" in long[0]


@pytest.mark.parametrize("name", [name for name in TEXTS if name not in ("Hindi", "Sinhala", "Georgian")])
def test_texts_fit_a_language_whatever_their_case_and_form(name):
    text = TEXTS[name][0]
    for other in (text, text.upper(), text.lower()):
        assert fit(other) >= GOOD, other
