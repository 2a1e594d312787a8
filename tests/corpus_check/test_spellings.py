"""Words that a text writes in two ways, letters that lowercasing spoils, and text without spaces between words."""

import unicodedata

import pytest
from support.languages import TEXTS, follow

TOKENIZERS = ("whitespace", "words", "characters")


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_composed_and_decomposed_words(look, tmp_path, tokenizer):
    text = "un café noir\nun cafe\u0301 et un cafe\u0301\n"
    found = look(text, f"data.tokenizer={tokenizer}")["train", "decomposed"]
    assert (found.where.line, found.count, found.about) == (2, 2, "cafe\u0301")
    assert "data.normalize: nfc" in found.advice
    if tokenizer != "characters":
        assert found.severity == "warning"
        assert r"1 word is written in both ways: 'caf\xe9' and 'cafe\u0301' look alike, and are two words" in found.what
    assert ("train", "decomposed") not in look(text, "data.normalize=nfc", f"data.tokenizer={tokenizer}")


def test_decomposed_words_alone(look):
    text = unicodedata.normalize("NFD", TEXTS["Vietnamese"][0]) + "\n"
    assert look(text)["train", "decomposed"].severity == "note"
    for name in ("Vietnamese", "Korean", "Hindi", "Thai", "Arabic", "Hebrew"):
        assert ("train", "decomposed") not in look(unicodedata.normalize("NFC", TEXTS[name][0]) + "\n"), name


@pytest.mark.parametrize("tokenizer", ["whitespace", "words"])
def test_straight_and_curly_apostrophes(look, tmp_path, tokenizer):
    found = look("I don't\nwe don’t don’t ‘so’ l’été\n", f"data.tokenizer={tokenizer}")["train", "apostrophes"]
    assert (found.severity, found.where.line, found.count) == ("warning", 2, 1)
    assert "1 word is written with two apostrophes: don't (1) and don’t (2)" in found.what
    made = follow(found.advice, tmp_path).read_text()
    assert made == "I don't\nwe don't don't ‘so' l'été\n"
    assert ("train", "apostrophes") not in look(made)
    assert ("train", "apostrophes") not in look("don’t 'tis\n")


def test_straight_and_curly_quotes(look, tmp_path):
    found = look('a "b" "c"\n“é” d\n')["train", "quotes"]
    assert (found.severity, found.where.line, found.count) == ("note", 2, 2)
    assert follow(found.advice, tmp_path).read_text() == 'a "b" "c"\n"é" d\n'


def test_full_width_letters_and_ligatures(look, tmp_path):
    found = look("ab 12\nＡｂ １２ 漢\n")["train", "full_width"]
    assert (found.where.line, found.count) == (2, 4)
    assert follow(found.advice, tmp_path).read_text() == "ab 12\nAb 12 漢\n"
    found = look("find\nﬁnd oﬃce é\n")["train", "ligatures"]
    assert (found.where.line, found.count) == (2, 2)
    assert follow(found.advice, tmp_path).read_text() == "find\nfind office é\n"


TURKISH, AZERBAIJANI = "ISPARTA İSTANBUL ile ılık\n", "Bakı İran və ölkə, sən də gəl\n"
LITHUANIAN = "ėjo šunį ųĮ kÌ\n"


@pytest.mark.parametrize(
    ("text", "language"),
    [(TURKISH, "tr"), (AZERBAIJANI, "az"), (LITHUANIAN, "lt"), (TEXTS["Turkish"][0] + "\n", "tr")],
)
def test_lowercase_in_a_language_with_rules_of_its_own(look, text, language):
    found = look(text, "data.lowercase=true")["train", "language"]
    assert found.advice.endswith(f"set data.language: {language}")
    assert ("train", "language") not in look(text)
    assert ("train", "language") not in look(text, "data.lowercase=true", f"data.language={language}")


@pytest.mark.parametrize("name", ["English", "French", "German", "Lithuanian", "Romanian", "Polish", "Russian"])
def test_lowercase_in_other_languages(look, name):
    assert ("train", "language") not in look(TEXTS[name][0] + "\n", "data.lowercase=true")


# --- text without spaces between its words ------------------------------------------------------------------------

LAO = "ເດັກຊາຍຍ່າງຂ້າມຂົວແລະເຫັນໝາໃຫຍ່"
BURMESE = "ကောင်လေးသည်တံတားကိုဖြတ်၍ခွေးကြီးတစ်ကောင်ကိုမြင်သည်။"
KHMER = "ក្មេងប្រុសដើរឆ្លងស្ពានហើយឃើញឆ្កែធំមួយ។"
WHOLE = [TEXTS[name][0] for name in ("Chinese", "Taiwanese", "Japanese", "Thai")] + [LAO, BURMESE, KHMER]


@pytest.mark.parametrize("tokenizer", ["whitespace", "words"])
@pytest.mark.parametrize("text", WHOLE)
def test_unsegmented_text(look, text, tokenizer):
    found = look(f"{text}\n", f"data.tokenizer={tokenizer}", "vocabulary.unknown=true", valid=f"{text[2:]}\n")
    assert found["train", "unsegmented"].severity == "warning"
    assert found["train", "unsegmented"].advice.startswith("set data.tokenizer: characters")
    if ("valid", "unknown") in found:
        assert "training text" not in found["valid", "unknown"].advice
        assert "data.tokenizer: characters" in found["valid", "unknown"].advice
    assert look.report.findings[0].kind in ("unsegmented", "unknown")
    assert ("train", "unsegmented") not in look(f"{text}\n", "data.tokenizer=characters")


SEGMENTED = (
    "小 男孩 走 过 桥 的 时候 看见 了 一 只 很 大 的 狗",
    "男 の 子 は 橋 を 渡っ て 大きな 犬 を 見 まし た",
    "เด็กชาย เดิน ข้าม สะพาน และ เห็น สุนัข ตัว ใหญ่",
    "ក្មេង ប្រុស ដើរ ឆ្លង ស្ពាន ហើយ ឃើញ ឆ្កែ ធំ មួយ",
    "a report on 漢字 and かな in an English text of words",
)


@pytest.mark.parametrize("text", [*SEGMENTED, TEXTS["Korean"][0], TEXTS["Hindi"][0], TEXTS["Vietnamese"][0]])
def test_segmented_text(look, text):
    for tokenizer in ("whitespace", "words"):
        assert ("train", "unsegmented") not in look(f"{text}\n", f"data.tokenizer={tokenizer}")


def test_words_that_a_zero_width_space_separates(look, tmp_path):
    found = look("ក្មេង\u200bប្រុស\u200bដើរ\u200bឆ្លង\u200bស្ពាន\n")
    assert ("train", "glued") not in found
    made = follow(found["train", "unsegmented"].advice, tmp_path).read_text()
    assert made == "ក្មេង ប្រុស ដើរ ឆ្លង ស្ពាន\n"
    assert ("train", "unsegmented") not in look(made)


def test_a_megabyte_without_a_space_is_no_fault_in_characters(look):
    text = "漢字仮名" * 200_000 + "\n"
    found = look(text, "data.tokenizer=characters", "data.mode=stream")
    assert found.keys() == set()
    assert look.report.trainable
    assert look.report.splits["train"].tokens == 800_000
    found = look(text)
    assert found["train", "endless"].severity == "error"
    assert "data.tokenizer: characters" in found["train", "endless"].advice
