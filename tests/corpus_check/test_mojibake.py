"""Mojibake is found in texts of many languages, and in no good text; the command advised undoes it."""

import pytest
from support.languages import ODD, TEXTS, follow

from rnncli.corpus_check.mojibake import SIGNS, mended

# Python's names of encodings in which texts are read by mistake.
READ_AS = ("cp1252", "latin-1", "cp1251", "koi8_r", "gb18030", "mac_roman")
# Conversions that cannot be told from a good text, or of which too little is left to tell.
LOST = {
    *(("English", "cp1252", wrong) for wrong in ("koi8_r", "mac_roman")),
    ("Ukrainian", "koi8_u", "koi8_r"),
    *(("Hungarian", "cp1250", wrong) for wrong in ("cp1252", "latin-1")),
    *((name, "mac_roman", "koi8_r") for name in ("Finnish", "Italian", "Swedish")),
    *(("Japanese", "euc_jp", "gb18030"), ("Taiwanese", "cp950", "gb18030"), ("Vietnamese", "utf-8", "gb18030")),
}
BY_TWO = ("utf-8", "gb18030", "cp950", "cp932", "euc_jp", "cp949")  # other bytes are seldom read as Chinese


def misread(data, wrong):
    """Bytes read in a wrong encoding; Windows-1252 as browsers read it."""
    if wrong != "cp1252":
        return data.decode(wrong)
    return "".join(chr(byte) if byte in b"\x81\x8d\x8f\x90\x9d" else bytes([byte]).decode(wrong) for byte in data)


def mistakes():
    for name, (text, codecs) in TEXTS.items():
        for right in ("utf-8", *codecs):
            for wrong in READ_AS:
                try:
                    spoilt = misread(text.encode(right), wrong)
                except UnicodeError:  # nobody can read it so
                    continue
                if wrong == "gb18030" and right not in BY_TWO:
                    continue
                if spoilt != text and right != wrong and (name, right, wrong) not in LOST:
                    yield pytest.param(text, spoilt, id=f"{name}-{right}-{wrong}")


@pytest.mark.parametrize(("text", "spoilt"), list(mistakes()))
def test_mojibake_of_any_language_is_undone(text, spoilt):
    mending = mended([spoilt])
    assert mending is not None
    assert mending.text == text


@pytest.mark.parametrize("text", [*(text for text, _ in TEXTS.values()), *ODD])
def test_good_texts_are_no_mojibake(text):
    for other in (text, text.upper(), text.lower()):
        assert mended([other]) is None
        assert SIGNS.search(other) is None


def test_text_that_fits_no_language_well_is_undone_once():
    mending = mended([misread(ODD[1].encode(), "cp1252")])
    assert (mending.steps, mending.text) == ((("WINDOWS-1252", "UTF-8"),), ODD[1])


def test_no_language_and_no_evidence_is_no_mojibake():
    for lines in ([], ["a"], ["é"], ["ÄãºÃ"], ["½"]):
        assert mended(lines) is None


CASES = [
    ("Chinese", "gb18030", "latin-1", "iconv -f UTF-8 -t ISO-8859-1"),
    ("French", "utf-8", "cp1252", "iconv -f UTF-8 -t WINDOWS-1252"),
    ("French", "utf-8", "latin-1", "iconv -f UTF-8 -t ISO-8859-1"),
    ("Russian", "utf-8", "latin-1", "iconv -f UTF-8 -t ISO-8859-1"),
    ("Russian", "cp1251", "latin-1", "iconv -f WINDOWS-1251 -t UTF-8"),
    ("Russian", "koi8_r", "cp1251", "iconv -f KOI8-R -t UTF-8"),
    ("Korean", "cp949", "gb18030", "iconv -f UTF-8 -t GB18030"),
    ("Hindi", "utf-8", "latin-1", "iconv -f UTF-8 -t ISO-8859-1"),
    ("English", "cp1252", "latin-1", "iconv -f WINDOWS-1252 -t UTF-8"),
]


@pytest.mark.parametrize(("name", "right", "wrong", "piece"), CASES)
def test_the_command_undoes_it(look, tmp_path, name, right, wrong, piece):
    text = TEXTS[name][0] + "\n"
    found = look(misread(text.encode(right), wrong))
    assert found.keys() & {("train", kind) for kind in ("control", "glued", "scripts", "unassigned")} == set()
    finding = found["train", "mojibake"]
    assert (finding.severity, finding.share, finding.where.line) == ("warning", 1.0, 1)
    assert piece in finding.advice
    assert follow(finding.advice, tmp_path).read_text() == text


def test_text_that_was_converted_twice(look, tmp_path):
    text = TEXTS["French"][0] + "\n"
    twice = misread(misread(text.encode(), "cp1252").encode(), "cp1252")
    assert follow(look(twice)["train", "mojibake"].advice, tmp_path).read_text() == text


def test_a_part_of_a_text(look, tmp_path):
    """Text beside it that cannot come from the wrong encoding stays as it is."""
    good, bad = "It’s «CAFÉ» 漢字 Größe\n", "It’s a “café” à la Zoë\n"
    found = look(good * 50 + misread(bad.encode(), "cp1252") * 50)["train", "mojibake"]
    assert found.what.startswith("a part of the text is mojibake, UTF-8 that was read as WINDOWS-1252")
    assert follow(found.advice, tmp_path).read_text() == good * 50 + bad * 50
    found = look(good * 50 + misread(bad.encode(), "cp1252"))["train", "mojibake"]
    assert (found.where.line, found.count) == (51, 6)
    assert follow(found.advice, tmp_path).read_text() == good * 50 + bad


def test_a_part_in_another_encoding_is_to_be_mended_alone(look):
    spoilt = misread(TEXTS["Russian"][0].encode("koi8_r"), "cp1251") + "\n"
    found = look(spoilt * 5 + "😀 漢字\n")["train", "mojibake"]
    assert found.what.startswith("a part of the text is mojibake, KOI8-R that was read as WINDOWS-1251")
    command = "iconv -f UTF-8 -t WINDOWS-1251"
    assert found.advice.startswith(f"undo it in the part that has it, alone: {command}")
    assert look(spoilt * 5)["train", "mojibake"].advice.startswith(f"undo it: {command}")


def test_control_characters_of_windows_1252(look, tmp_path):
    """They are two bytes each in UTF-8."""
    found = look("漢字 it\x92s \x93good\x94\n" + TEXTS["Chinese"][0] + "\n")["train", "control"]
    assert found.count == 3
    made = follow(found.advice, tmp_path).read_text()
    assert made == "漢字 it’s “good”\n" + TEXTS["Chinese"][0] + "\n"
