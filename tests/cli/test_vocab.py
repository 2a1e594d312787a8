import json
import os
from pathlib import Path

import pytest

LAST = ["parameters", "memory", "words/s", "an", "epoch"]


@pytest.fixture
def words(work):
    Path("text.txt").write_text("a a a b b c <unk>\n" * 20 + "d e f\n")
    Path("valid.txt").write_text("a b z\n")
    Path("words.yaml").write_text("data: {train: text.txt, valid: valid.txt}\nmodel: {hidden_size: 4}\n")
    return "words.yaml"


def test_the_table(rnncli, words):
    result = rnncli("vocab", words, "--no-trial")
    assert result.exit_code == 0
    head, columns, *rows = result.stdout.splitlines()
    assert head == "164 tokens to train on, <end> counted; coverage is the share of words"
    assert columns.split() == [*["rule", "words", "train", "covered", "valid", "covered", "unknown"], *LAST]
    assert rows[0].split()[:8] == ["min_count", "1", "(config)", "8", "100.00%", "66.67%", "1", "(33.33%)"]
    assert rows[1].split()[:5] == ["min_count", "2", "5", "97.90%", "66.67%"]
    assert rows[0].split()[-2:] == ["-", "-"]


def test_a_terminal_of_80_columns(rnncli, words, monkeypatch):
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((80, 25)))
    monkeypatch.setattr("rnncli.cli.display.streams.Sink.isatty", lambda sink: True)
    lines = rnncli("vocab", words, "--no-trial").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["rule", "words", "valid", "covered", "unknown", "words/s", "an", "epoch"]


def test_json_has_every_row(rnncli, words):
    document = json.loads(rnncli("vocab", words, "--json", "--max-size", "3,4").stdout)
    assert document["tokens"] == 164
    assert [(row["max_size"], row["words"]) for row in document["vocabularies"]] == [(None, 8), (3, 3), (4, 4)]
    chosen = document["vocabularies"][0]
    assert chosen["chosen"] is True
    assert chosen["epoch_seconds"] == pytest.approx(164 / chosen["words_per_second"])


def test_refused_words_are_marked(rnncli, words):
    Path("text.txt").write_text("a a b\n" * 20)
    result = rnncli("vocab", words, "--no-trial")
    assert " 1 (33.33%) !" in result.stdout.splitlines()[2]
    assert "vocabulary.unknown: true" in result.stderr


def test_training_accepts_a_written_list(rnncli, words):
    assert rnncli("vocab", words, "--no-trial", "--write", "list.txt", "--set", "vocabulary.min_count=2").exit_code == 0
    assert Path("list.txt").read_text() == "a\t60\nb\t40\n<unk>\t23\n<end>\t21\nc\t20\n"
    taken = ["--set", "vocabulary.file=list.txt"]
    document = json.loads(rnncli("vocab", words, "--json", "--no-trial", *taken).stdout)
    assert document["vocabularies"][0]["words"] == 5
    done = rnncli("train", words, *taken, "--set", "training.epochs=1", "--quiet")
    assert done.exit_code == 0, done.output
    assert Path("runs/words/vocabulary.txt").read_text().split() == ["a", "b", "<unk>", "<end>", "c"]


def test_bad_input(refused, words):
    refused(2, "already exists", "vocab", words, "--write", "text.txt")
    refused(2, "give whole numbers from 3 on", "vocab", words, "--max-size", "2")
    refused(2, "give whole numbers from 1 on", "vocab", words, "--min-count", "1,x")
    refused(7, "cannot write", "vocab", words, "--write", "nowhere/list.txt")
    refused(4, "no such file", "vocab", words, "--set", "data.train=none.txt")
    refused(3, "data.trian", "vocab", words, "--set", "data.trian=none.txt")
