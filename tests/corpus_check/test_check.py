"""The findings of a corpus: errors exactly where training refuses it, and the contents of each other finding."""

import itertools
import json
import os
import random
import textwrap
import threading
from unittest import mock

import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rnncli.cli import main
from rnncli.config import yaml_file
from rnncli.corpus_check import Finding, check, ranked
from rnncli.corpus_check.facts import Place
from rnncli.corpus_check.finding import percent, refusal
from rnncli.errors import TextError
from rnncli.schema.suggestions import counted

# --- training refuses exactly the texts with errors -----------------------------------------------------------------

PIECES = [b"a", b"b", b"ab", b"a b", b"c", b" ", b"\n", b"\n", b"\n", b"\r\n", "é".encode(), b"<unk>", b"\t", b"A"]
ODD = [
    b"<end>",
    b"<END>",
    b"\xe9",
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xc3",
    b"\x85",
    b"\x1c",
    "\u2028".encode(),
    b"'",
]
CLEAN = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)
TEXTS = CLEAN | CLEAN | CLEAN | st.lists(st.sampled_from(PIECES + ODD), max_size=12).map(b"".join)
VOCABULARIES = st.sampled_from(
    [
        {},
        {},
        {"unknown": True},
        {"min_count": 2},
        {"min_count": 3},
        {"max_size": 3},
        {"max_size": 4, "min_count": 2},
        {"file": "words.txt"},
        {"file": "words.txt", "unknown": False},
        {"file": "words.txt", "unknown": True},
        {"file": "nowhere.txt"},
    ]
)
SETTINGS = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["sentences", "stream"]),
        "line_end": st.booleans(),
        "tokenizer": st.sampled_from(["whitespace", "words", "characters"]),
        "lowercase": st.booleans(),
        "valid": st.sampled_from([None, None, "valid.txt", "nowhere.txt", 0.1, 0.5, 0.9]),
        "test": st.sampled_from([None, None, "test.txt", "t*.gz"]),
        "batch_size": st.sampled_from([1, 2, 6]),
        "vocabulary": VOCABULARIES,
    }
)


def write(folder, texts, train, chosen):
    for name, content in texts.items():
        (folder / name).write_bytes(content)
    data = {key: chosen[key] for key in ("mode", "valid", "test", "tokenizer", "lowercase")}
    if chosen["mode"] == "stream":
        data["line_end"] = chosen["line_end"]
    config = {
        "data": {"train": train} | data,
        "vocabulary": chosen["vocabulary"],
        "model": {"hidden_size": 2},
        "training": {"batch_size": chosen["batch_size"], "random_seed": 1},
        "run": {"dir": "run"},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))
    return str(path)


PLAIN = {"mode": "sentences", "line_end": True, "tokenizer": "whitespace", "lowercase": False, "valid": None}
PLAIN |= {"test": None, "batch_size": 1, "vocabulary": {}}
SPACES = PLAIN | {"mode": "stream", "line_end": False, "tokenizer": "characters"}


@settings(max_examples=max(200, settings().max_examples), deadline=None)
@given(st.tuples(TEXTS, TEXTS), TEXTS, TEXTS, TEXTS, st.booleans(), SETTINGS, st.sampled_from([1 << 20, 1 << 20, 9]))
@example((b"a\n", b"\n"), b"", b"", b"", True, PLAIN | {"valid": 0.5}, 1 << 20)
@example((b"\n\n", b"a"), b"", b"", b"", True, PLAIN | {"valid": 0.5}, 1 << 20)
@example((b"a b\n\n", b""), b"", b"", b"", False, PLAIN | {"valid": 0.5}, 1 << 20)
@example((b"a b\n\n", b""), b"", b"", b"", False, SPACES | {"valid": 0.5}, 1 << 20)
@example((b"\na", b""), b"", b"", b"", False, SPACES | {"valid": 0.5}, 1 << 20)
@example(
    (b"ab", b""),
    b"",
    b"a",
    b"a\nb\n",
    False,
    SPACES | {"test": "test.txt", "vocabulary": {"file": "words.txt"}},
    1 << 20,
)
@example((b"a b", b""), b"", b"c", b"", False, PLAIN | {"test": "test.txt"}, 1 << 20)
@example((b"abababababababab", b""), b"", b"", b"", False, PLAIN | {"tokenizer": "characters"}, 9)
@example((b"\xff\xfea\0\n\0", b"a"), b"", b"", b"", True, PLAIN | {"valid": 0.5}, 1 << 20)
def test_training_refuses_exactly_the_texts_with_errors(
    tmp_path_factory, train, valid, test, words, both, chosen, longest
):
    folder = tmp_path_factory.getbasetemp() / "agreement"
    folder.mkdir(exist_ok=True)
    texts = {"train.txt": train[0], "more.txt": train[1], "valid.txt": valid, "test.txt": test, "words.txt": words}
    path = write(folder, texts, ["train.txt", "more.txt"] if both else "train.txt", chosen)
    with mock.patch("rnncli.text.lines.LONGEST_HELD", longest):  # lines come in pieces
        trained = CliRunner().invoke(main, ["train", path, "--dry-run"])
        looked = CliRunner().invoke(main, ["data", path, "--json"])
    assert trained.exit_code in (0, 3, 4), trained.output
    assert looked.exit_code == trained.exit_code, (trained.output, looked.output)
    if looked.exit_code == 3:
        return
    document = json.loads(looked.stdout)
    assert document["trainable"] == (looked.exit_code == 0)
    errors = [each["where"] for each in document["findings"] if each["severity"] == "error"]
    assert bool(errors) == (looked.exit_code == 4)
    if errors and trained.stderr.startswith(str(folder)):
        assert trained.stderr.split(": ")[0] in errors  # the location that training names
    if looked.exit_code == 0:
        sizes = json.loads(CliRunner().invoke(main, ["train", path, "--dry-run", "--json"]).stdout)
        assert sizes["vocabulary"] == document["vocabulary"]
        for name, there in (("train", "training"), ("valid", "validation"), ("test", "test")):
            if there in sizes["texts"]:
                here = document["splits"][name]
                counts = {"tokens": here["tokens"], "lines": here["lines"], "oov": here["unknown"]}
                assert sizes["texts"][there] == counts


# --- findings -------------------------------------------------------------------------------------------------------


def line(found, *key):
    return found[key].where.line


CLEAN_TEXT = "".join(f"word{i} is number {i % 7} of them\n" for i in range(100))


def test_a_clean_text_has_no_finding(look):
    assert look(CLEAN_TEXT) == {}
    assert look(CLEAN_TEXT, "data.valid=0.1", "vocabulary.unknown=true").keys() == {("valid", "unknown")}
    assert look.report.trainable


@pytest.mark.parametrize(
    ("text", "kind", "severity", "at", "count", "piece"),
    [
        ("a\r\nb\r\nc\n", "crlf", "note", 1, 2, "CRLF ends 2 of 3 lines"),
        ("a\r\nb\r\nc\r\n", "crlf", "note", 1, 3, "every line ends in CRLF"),
        ("a\nb\rc\n", "cr", "warning", 2, 1, "1 carriage return without"),
        ("\ufeffa\nb\n", "bom", "note", 1, 1, "begins with a byte-order mark"),
        ("a\nb\ufeff c\n", "bom_inside", "warning", 2, 1, "1 byte-order mark (U+FEFF) in the middle"),
        ("a\nb\0c\0\n", "nul", "error", 2, 2, "a NUL byte at byte 3, so it is binary (2 NULs in all)"),
        (b"a\nb \xe9\xe9\n", "not_utf8", "error", 2, 2, "not UTF-8: byte 0xe9 at byte 4 (2 such bytes in all)"),
        ("a\nb\u200bc d\u00ade\n", "glued", "warning", 2, 2, "U+00AD soft hyphen (1), U+200B zero width space (1)"),
        ("a\n\x08\x08 b\x07\n", "control", "warning", 2, 3, "3 control characters: U+0008 (2), U+0007 (1)"),
        ("a\n\nb\u00a0c\n", "spaces", "note", 3, 1, "U+00A0 no-break space (1)"),
        ("a\ncafÃ© itâ€™s\n", "mojibake", "warning", 2, 5, "the text is mojibake, UTF-8 that was read as WINDOWS-1252"),
        ("a\ncafÃ© 漢字\n", "mojibake", "warning", 2, 1, "1 sign of text that was encoded twice, the first 'Ã©'"),
        ("a\ncaf\ufffd\n", "replacement", "warning", 2, 1, "1 replacement character (U+FFFD)"),
        ("a\nb \ue000\n", "unassigned", "warning", 2, 1, "U+E000 (1)"),
        ("latin " * 100 + "\nππ\n", "scripts", "note", 2, 2, "U+03C0 π greek small letter pi (2)"),
        ("a\n\nb\n \n", "blank", "warning", 2, 2, "2 blank lines (50 %): each is a sentence without words"),
        ("a\nb <end> <end>\n", "literal_end", "error", 2, 2, "a literal <end> in the text (2 in all)"),
        ("a b\n" * 20 + "a " * 201 + "\n", "enormous", "warning", 21, 1, "this, the longest, has 201"),
        (
            "a\n" * 2 + "b\n" * 3,
            "duplicates",
            "warning",
            3,
            3,
            "3 lines repeat an earlier one (60 %); the most repeated",
        ),
        ("\n \n", "no_word", "error", None, 1, "no word in the text"),
        ("x" * (1 << 20 | 1), "endless", "error", 1, 1, "no space, tab or line end in 1048576 bytes from byte 0 on"),
    ],
)
def test_one_text(look, text, kind, severity, at, count, piece):
    found = look(text)["train", kind]
    assert found.severity == severity
    assert (found.where.line if isinstance(found.where, Place) else None) == at
    assert found.count == count
    assert piece in found.what
    assert look.report.trainable == (severity != "error")


def test_letters_of_one_script_give_no_finding(look):
    for text in ("latin π\n", "日本語カタカナひらがな\n" * 20 + "latin\n", "10 µm 2ª\n" * 3):
        assert ("train", "scripts") not in look(text)
    assert "East Asian" in look("日本語カタカナひらがな\n" * 200 + "latin\n")["train", "scripts"].advice


def test_white_space_with_and_without_the_tokenizer_characters(look):
    assert "nothing needs doing" in look("a\u00a0b\n")["train", "spaces"].advice
    assert "a different character" in look("a\u00a0b\n", "data.tokenizer=characters")["train", "spaces"].advice
    assert ("train", "control") not in look("a\x0cb\n")


def test_wrapped_prose(look):
    rng = random.Random(1)
    prose = " ".join(rng.choice(["It", "was", "the", "best", "of", "times,", "But", "nobody's"]) for _ in range(3000))
    text = textwrap.fill(prose, 70)
    found = look(text)["train", "wrapped"]
    assert "data.mode: stream" in found.advice
    assert ("train", "wrapped") not in look(text, "data.mode=stream", "data.line_end=false")
    assert ("train", "wrapped") not in look(text.lower())


def test_lines_that_two_texts_share(look):
    found = look("a b\nc d\ne f\n", valid="c d\nf e\n", test="\n f  e \nf e\nx y\na b\n")
    shares = {(each.what.split(",")[0], each.where.line) for each in look.report.findings if each.kind == "shared"}
    assert shares == {
        ("1 line of valid (50 %) is in train too", 1),
        ("1 line of test (25 %) is in train too", 5),
        ("1 line of test (25 %) is in valid too", 3),
    }
    shared = found["valid", "shared"]
    assert (shared.where.line, shared.count, shared.share, shared.severity) == (1, 1, 0.5, "warning")
    assert shared.what.endswith("train.txt:2")
    found = look("a b\n" * 3 + "c\n", "data.valid=0.5")
    assert (line(found, "valid", "shared"), found["valid", "shared"].count) == (3, 1)


def test_unknown_words(look):
    found = look("a b\nb c\n", test="b\nb x y\nx\n")["test", "unknown"]
    assert (found.severity, found.where.line, found.count, found.share) == ("error", 2, 3, 0.6)
    assert "the word 'x' is not in the vocabulary, which has no <unk>" in found.what
    assert "vocabulary.unknown: true" in found.advice
    found = look("a b\nb c\nb b\n", "vocabulary.min_count=2", test="b\nb a x y\nx\n")
    assert found["test", "unknown"].severity == "warning"
    assert (
        "4 words of test (67 %; 75 % of the distinct ones) are not in the vocabulary" in found["test", "unknown"].what
    )
    assert "2 distinct words of test in no line of train: 'x', 'y'" in found["test", "unknown"].what
    assert found["train", "unknown"].count == 2


def test_sizes_of_batches(look):
    found = look("a b c d e\n" * 3 + "a\n", "training.batch_size=8", "training.bptt=4")
    assert "4 sentences, fewer than one batch takes (training.batch_size 8)" in found["train", "small"].what
    assert found["train", "bptt"].count == 3
    assert "training.bptt: 6 reads 95 % of them whole" in found["train", "bptt"].advice
    stream = ("data.mode=stream", "training.batch_size=8")
    assert "22 positions" in look("a b c d e\n" * 3 + "a b c\n", *stream)["train", "small"].what
    found = look("a b\n", *stream)
    assert found.keys() == {("train", "columns")}
    assert "3 words (ends of lines counted), fewer than the 8" in found["train", "columns"].what
    assert look("a b\n" * 200, *stream).keys() == {("train", "duplicates")}


def test_a_missing_text_does_not_hide_the_others(look, tmp_path):
    found = look("a b\n\n", f"data.test={tmp_path / 'tran.txt'}", valid="b\0\n")
    assert "no such file" in found["test", "unreadable"].what
    assert "did you mean" in found["test", "unreadable"].advice
    assert found["test", "unreadable"].where == str(tmp_path / "tran.txt")
    assert found.keys() >= {("valid", "nul"), ("train", "blank")}
    assert [each.severity for each in look.report.findings][:2] == ["error", "error"]
    found = look("a b\n", f"data.train={tmp_path / 'no*.txt'}", test="x\n")
    assert found["train", "unreadable"].what == "no file matches this pattern"


def test_a_nul_hides_nothing(look):
    found = look("a\nb\0c o\u200bpen \x07\n")
    assert found.keys() == {("train", kind) for kind in ("nul", "glued", "control")}
    assert found["train", "control"].what == "1 control character: U+0007 (1)"


def test_a_file_with_a_name_like_a_message(look, tmp_path):
    path = tmp_path / "x: y; z.txt"
    path.write_bytes(b"a\n")
    (tmp_path / "x: y; z.xz").write_bytes(b"no xz")
    for bad, what in (("x: y; z.xz", "damaged or cut off"), ("x: y; a", "no such file")):
        found = look("", f"data.train=['{tmp_path / bad}']")["train", "unreadable"]
        assert str(found.where).removesuffix(":1") == str(tmp_path / bad)
        assert found.what.startswith(what)
    assert look("", f"data.train=['{path}']", "vocabulary.min_count=3")["train", "vocabulary"].where == str(path)
    found = look("b\n", f"data.test='{path}'")["test", "unknown"]
    assert (found.where, found.what) == (
        Place(str(path), 1),
        "the word 'a' is not in the vocabulary, which has no <unk>",
    )
    error = TextError("cannot be read: no; why", location="folder: a/file", remedy="do")
    found = refusal(error, "unreadable", "train", more=" (twice)")
    assert (found.severity, found.where) == ("error", "folder: a/file")
    assert (found.what, found.advice) == ("cannot be read: no; why (twice)", "do")


@pytest.mark.parametrize("valid", [None, "valid.txt", 0.25])
def test_progress(tmp_path, valid):
    content = "a b\n" * 20_000 + "c\u200bc\n"
    (tmp_path / "train.txt").write_text(content)
    (tmp_path / "valid.txt").write_text("a b\n")
    (tmp_path / "config.yaml").write_text(json.dumps({"data": {"train": "train.txt", "valid": valid}}))
    calls = {}
    with mock.patch("rnncli.text.lines.CHUNK", 1 << 10):
        check(
            yaml_file.read(tmp_path / "config.yaml"),
            lambda activity, done, total: calls.setdefault(activity, []).append((done, total)),
        )
    assert list(calls) == ["reading", "looking up lines"]
    for steps in calls.values():
        done = [size for size, _ in steps]
        assert done == sorted(done)
        (total,) = {total for _, total in steps}
        assert max(b - a for a, b in itertools.pairwise([0, *done])) <= 1 << 10
        assert abs(done[-1] - total) <= 1 << 10
    assert calls["looking up lines"][0][1] == len(content.encode()) + 4 * (valid == "valid.txt")


def test_a_pipe_is_read_once(look, tmp_path):
    def once(*overrides):
        pipe = tmp_path / "pipe"
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_text, args=("a b\n\nc d\n",))
        writer.start()
        found = look("", f"data.train={pipe}", *overrides)
        writer.join()
        return found

    found = once()
    assert (found.keys(), line(found, "train", "blank")) == ({("train", "blank")}, 2)
    assert "write it to a file" in once("data.valid=0.5")["train", "pipe"].advice


def test_the_end_of_a_long_line_is_shown_if_the_finding_is_there(look):
    found = look("a b\n" + "word " * 500 + "o\u200bpen " + "word " * 500 + "\n")["train", "glued"]
    text = look.report.texts[found]
    assert text.startswith("… word ")
    assert text.index("o\u200bpen") < 80
    found = look("x" * 500 + "\x07" + "y" * 500 + "\n")["train", "control"]
    assert "x\x07y" in look.report.texts[found][:80]


def test_ranks():
    def finding(severity, share):
        return Finding(severity, "kind", "train", "", "", "", 1, share)

    order = [finding("error", 0.1), finding("warning", 0.9), finding("warning", 0.2), finding("note", 1.0)]
    assert ranked(reversed(order)) == order


def test_numbers_in_words():
    assert [percent(share) for share in (1, 0.5, 0.1234, 0.0123, 0.00123, 0.00001)] == [
        *("100 %", "50 %", "12 %", "1.2 %", "0.12 %"),
        "under 0.01 %",
    ]
    assert (counted(1, "line"), counted(2000, "line"), counted(2, "NUL", "bytes")) == (
        "1 line",
        "2,000 lines",
        "2 bytes",
    )
