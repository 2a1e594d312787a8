"""`rnncli data`: check a corpus."""

import gzip
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from rnncli.cli import main
from rnncli.text.invisible import INVISIBLE

CONFIG = "data: {train: text.txt}\ntraining: {batch_size: 2}\n"


@pytest.fixture
def config(work):
    Path("config.yaml").write_text(CONFIG)
    Path("text.txt").write_text("a b c\nb c a\n")
    return "config.yaml"


def test_the_fruit(rnncli, fruit_config):
    result = rnncli("data", fruit_config, "--set", "training.batch_size=3")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "text   file            size  lines  blank  repeated  words  distinct  unknown",
        "train  data/fruit.txt  64 B      3      0         0     12         9        0",
        "",
        "words per line in train: median 4, 95th percentile 4; the longest has 4 (data/fruit.txt:1)",
        "words  lines",
        "    4      3  ########################################",
        "",
        "as the tokenizer sees it",
        "  data/fruit.txt:1  mango|is|yellow|color|<end>",
        "  data/fruit.txt:2  banana|is|pink|color|<end>",
        "",
        "ready to train: nothing found",
    ]


def test_all_findings_of_a_bad_text_are_shown(rnncli, config):
    Path("text.txt").write_bytes("a b\nb o\u200bne\n\n".encode() + b"caf\xe9\n")
    Path("test.txt").write_text("a\nb d\n")
    result = rnncli("data", config, "--set", "data.test=test.txt")
    assert result.exit_code == 4
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[:3] == [
        "text   file      size  lines  blank  repeated  words  distinct  unknown",
        "train  text.txt  19 B      4      1         0      5         4        0",
        "test   test.txt   6 B      2      0         0      3         3        1",
    ]
    heads = [line.split(":")[0] for line in lines if line.startswith(("error", "warning", "note"))]
    assert heads == ["error    text.txt", "error    test.txt", "warning  text.txt", "warning  text.txt"]
    assert "error    text.txt:4: not UTF-8: byte 0xe9 at byte 17 (1 such byte in all)" in lines
    assert r"         > b o\u200bne" in lines
    assert r"  text.txt:2  b|o\u200bne|<end>" in lines
    assert lines[-1] == "cannot be trained on: 2 errors, 2 warnings"


def test_json(rnncli, config):
    Path("text.txt").write_text("a b\r\n" * 3 + "\n" + "c <unk>\n")
    Path("valid.txt").write_text("a d\n")
    result = rnncli("data", config, "--json", "--set", "data.valid=valid.txt")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found.keys() == {"trainable", "vocabulary", "splits", "findings", "view"}
    assert (found["trainable"], found["vocabulary"]) == (True, 5)
    assert found["splits"]["train"] == {
        "files": [os.path.abspath("text.txt")],
        "bytes": 24,
        "lines": 5,
        "blank_lines": 1,
        "repeated_lines": 2,
        "words": 8,
        "tokens": 13,
        "distinct_words": 4,
        "unknown": 0,
        "lengths": {
            "median": 2,
            "percentile_95": 2,
            "longest": 2,
            "histogram": [{"from": 2, "to": 2, "lines": 4}],
        },
    }
    assert found["splits"]["valid"]["unknown"] == 1
    keys = {"severity", "kind", "split", "where", "file", "line", "text", "what", "advice", "count", "share"}
    assert all(each.keys() == keys for each in found["findings"])
    unknown = next(each for each in found["findings"] if each["kind"] == "unknown")
    assert (unknown["file"], unknown["line"], unknown["text"]) == (os.path.abspath("valid.txt"), 1, "a d")
    assert (unknown["severity"], unknown["count"], unknown["share"]) == ("warning", 1, 0.5)
    assert [each["tokens"] for each in found["view"]] == [["a", "b"], ["a", "b"]]


def test_keys_are_documented(rnncli, config):
    output = rnncli("data", "--help").stdout
    found = json.loads(rnncli("data", config, "--json").stdout)
    split = found["splits"]["train"]
    named = [*found, *split, *split["lengths"], *split["lengths"]["histogram"][0], *found["view"][0]]
    assert [key for key in named if f'"{key}"' not in output] == []


def test_a_text_that_cannot_be_read(rnncli, config):
    result = rnncli("data", config, "--set", "data.train=txet.txt", "--set", "data.valid=0.5")
    assert result.exit_code == 4
    assert "error    txet.txt: no such file" in result.stdout
    assert "did you mean text.txt?" in result.stdout
    assert result.stdout.endswith("cannot be trained on: 1 error\n")
    found = json.loads(rnncli("data", config, "--json", "--set", "data.train=txet.txt").stdout)
    assert (found["trainable"], found["vocabulary"], found["view"]) == (False, None, [])
    assert found["splits"]["train"]["unknown"] is None


def test_bad_configs_give_the_same_message_as_train(refused, config):
    for words in (["--set", "data.mode=strem"], ["--set", "x"]):
        message = refused(3, "--set ", "data", config, *words)
        assert message == refused(3, "--set ", "train", config, *words)
    refused(3, "confg.yaml: no such file", "data", "confg.yaml")
    refused(2, "Missing argument 'CONFIG'", "data")


def test_the_advice_about_an_encoding_is_that_of_every_command(rnncli, config):
    text = "Le garçon était très fatigué, c’est sûr\n".encode("cp1252")
    Path("it's.txt").write_bytes(text)
    command = "iconv -f WINDOWS-1252 -t UTF-8 'it'\"'\"'s.txt' > utf8.txt"
    chosen = ("--set", 'data.train="it\'s.txt"')
    found = json.loads(rnncli("data", config, "--json", *chosen).stdout)["findings"][0]
    here = f"{Path.cwd()}{os.sep}"
    assert found["advice"].replace(f"'{here}", "'").endswith(f"it looks like WINDOWS-1252: {command}")
    assert command in rnncli("data", config, *chosen).stdout.replace(f"'{here}", "'")
    assert rnncli("train", config, "--set", "run.dir=run", "--epochs", 1).exit_code == 0
    for words in (("train", config, *chosen), ("vocab", config, *chosen), ("evaluate", "--run", "run", "it's.txt")):
        result = rnncli(*words)
        assert result.exit_code == 4
        assert command in result.stderr.replace(f"'{here}", "'")


@pytest.mark.parametrize("text", ["小男孩走过桥的时候看见了一只很大的狗\n", "cafÃ© dÃ©jÃ\xa0 vu\n"])
def test_a_text_that_hardly_teaches_a_model_is_not_called_ready(rnncli, config, text):
    Path("text.txt").write_text(text)
    result = rnncli("data", config)
    assert result.exit_code == 0
    assert "can be trained on, but not as it is meant: 1 warning" in result.stdout.splitlines()[-1]
    assert "ready" not in result.stdout


def test_joiners_are_shown_where_they_do_not_belong(rnncli, config):
    Path("text.txt").write_text("a 👨\u200d👩\u200d👧 ❤\ufe0f b\u200dc می\u200cخواهم\n")
    output = rnncli("data", config).stdout
    assert "> a 👨\u200d👩\u200d👧 ❤\ufe0f b\\u200dc می\u200cخواهم" in output


def test_findings_in_json_are_ranked(rnncli, config):
    Path("text.txt").write_text('<s> I don\'t </s>\n<s> a “b” "c" </s>\n<s> I don’t cafe\u0301 café <UNK> ﬁn </s>\n')
    found = json.loads(rnncli("data", config, "--json").stdout)["findings"]
    kinds = [each["kind"] for each in found]
    assert kinds[0] == "sentence_marks"
    assert set(kinds) == {"sentence_marks", "unknown_marks", "apostrophes", "decomposed", "ligatures", "quotes"}
    assert kinds[-1] == "quotes"
    assert [each["severity"] for each in found] == ["warning"] * 5 + ["note"]


def test_files_and_folders(rnncli, config):
    Path("more").mkdir()
    Path("more/one.txt").write_text("d e\n")
    Path("more/two.gz").write_bytes(gzip.compress(b"f\n\ng\n"))
    found = json.loads(rnncli("data", config, "--json", "--set", "data.train=[text.txt, more]").stdout)
    split = found["splits"]["train"]
    names = [os.path.relpath(name) for name in split["files"]]
    assert names == ["text.txt", "more/one.txt", "more/two.gz"]
    assert (split["lines"], split["words"]) == (6, 10)
    assert [each["where"] for each in found["findings"] if each["kind"] == "blank"] == [
        os.path.abspath("more/two.gz:2")
    ]
    output = rnncli("data", config, "--set", "data.train=[text.txt, more]").stdout
    assert "\ntrain  3 files  21 B" in output


def test_a_held_out_part_is_named_by_its_first_line(rnncli, config):
    output = rnncli("data", config, "--set", "data.valid=0.5", "--set", "vocabulary.unknown=true").stdout
    assert "\nvalid  text.txt from line 2   6 B      1" in output


def test_the_view_has_no_line_end_if_the_tokenizer_has_none(rnncli, config):
    words = ("--set", "data.mode=stream", "--set", "data.line_end=false", "--set", "data.tokenizer=characters")
    output = rnncli("data", config, *words).stdout
    assert "  text.txt:1  a| |b| |c\n" in output
    assert "characters per line in train: median 5, " in output


def test_enormous_lines_are_cut(rnncli, config):
    Path("text.txt").write_text("a b\n" * 9 + "word " * 30_000 + "\n")
    output = rnncli("data", config).stdout
    assert max(map(len, output.splitlines())) < 200
    assert "the longest has 30,000 (text.txt:10)" in output


@given(
    st.binary(max_size=80) | st.text(max_size=40).map(str.encode),
    st.sampled_from(["whitespace", "words", "characters"]),
    st.booleans(),
)
def test_no_bytes_cause_a_traceback(tmp_path_factory, content, tokenizer, as_json):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(content)
    path.with_suffix(".yaml").write_text("data: {train: any.txt, test: any.txt, valid: 0.2}\n")
    words = ["--set", f"data.tokenizer={tokenizer}", *(["--json"] if as_json else [])]
    result = CliRunner().invoke(main, ["data", str(path.with_suffix(".yaml")), *words])
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert result.exit_code in (0, 4)
    if as_json:
        lines = content.count(b"\n") + 1
        assert all(each["line"] is None or 1 <= each["line"] <= lines for each in json.loads(result.stdout)["findings"])
    else:
        assert result.stdout.splitlines()[-1].startswith(("ready to train", "cannot be trained on"))
        assert all(c.isprintable() or c == "\n" or c in INVISIBLE for c in result.stdout)
