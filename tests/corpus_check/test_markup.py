"""Marks of other tools are found, and the commands advised remove or replace them."""

import pytest
from support.languages import follow

UNK = "<unk>"


@pytest.mark.parametrize(
    ("text", "kind", "count", "made"),
    [
        ("<s> a b </s>\n<s> c </s>\n", "sentence_marks", 4, "a b\nc\n"),
        ("<s>a b</s>\n", "sentence_marks", 2, "a b\n"),
        ("a <eos>\n\nb é <eos>\n", "sentence_marks", 2, "a\n\nb é\n"),
        ("<BOS> a <EOS> b <EOS>\n", "sentence_marks", 3, "a b\n"),
        ("[CLS] a [SEP]\n", "sentence_marks", 2, "a\n"),
        ("a <|endoftext|>\nb\n", "sentence_marks", 1, "a\nb\n"),
        ("a <UNK> <unk> b\n", "unknown_marks", 1, f"a {UNK} {UNK} b\n"),
        ("[UNK] UNK <Unk> <unknown>\n", "unknown_marks", 4, " ".join([UNK] * 4) + "\n"),
        ("a <pad> <pad>\nb c [PAD]\n", "padding", 3, "a \nb c\n"),
        ('<p>a b<br/>c</p> <a href="x">d</a> <unk>\n', "tags", 5, f" a b c   d  {UNK}\n"),
        ("a &amp; b&#39;s &quot;c&#x201d;\n", "entities", 4, "a & b's \"c”\n"),
    ],
)
def test_marks(look, tmp_path, text, kind, count, made):
    found = look(text)["train", kind]
    assert (found.severity, found.where.line, found.count) == ("warning", 1, count)
    result = follow(found.advice, tmp_path).read_text()
    assert result == made
    assert ("train", kind) not in look(result)


def test_what_is_no_mark(look):
    text = f"{UNK} a < b > c UNKNOWN UNKs the FUNK AT&T; [unk] <not a tag> a<b>c<d> x &; <3 {UNK}\n"
    kinds = {kind for _, kind in look(text.replace("<b>", "<bb>"))}
    assert not kinds & {"sentence_marks", "unknown_marks", "padding", "tags", "entities"}


def test_the_marks_are_named_with_their_counts(look):
    found = look("<s> a </s>\n" * 3)["train", "sentence_marks"]
    assert found.what == "6 marks of a sentence's beginning or end: </s> (3), <s> (3)"
    text = "".join(f"<h{n}>a\n" for n in range(1, 7))
    assert look(text)["train", "tags"].what.endswith(", …")


def test_what_the_config_makes_of_marks(look):
    assert ("train", "unknown_marks") not in look("a <UNK>\n", "data.lowercase=true")
    assert ("train", "unknown_marks") in look("a [UNK]\n", "data.lowercase=true")
    assert "each line ends in <end> already" in look("<s> a </s>\n")["train", "sentence_marks"].advice
    found = look("<s> a </s>\n", "data.mode=stream", "data.line_end=false")["train", "sentence_marks"]
    assert "data.line_end: true" in found.advice
