"""A run keeps the tokenizer and the head of its adaptive softmax that it began with; a new one has the defaults."""

import json

import pytest
from click.testing import CliRunner

from rnncli.cli import main
from rnncli.runs import checkpoint
from rnncli.runs.folder import RunFolder

TEXT = "the 2nd İ می\u200cخواهم ❤️\nthe 3.14 don't\n"
FIRST = {"2", "nd", "i\u0307", "می", "\u200c", "خواهم", "❤", "\ufe0f"}
SECOND = {"2nd", "i", "می\u200cخواهم", "❤️"}


@pytest.fixture
def rnncli(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text(TEXT)
    data = {"train": "text", "tokenizer": "words", "lowercase": True}
    config = {"data": data, "model": {"hidden_size": 3}, "training": {"epochs": 1, "random_seed": 1}}
    (tmp_path / "c.yaml").write_text(json.dumps(config))

    def call(*arguments):
        result = CliRunner().invoke(main, [*arguments])
        assert result.exit_code == 0, (result.output, result.exception)
        return result

    return call


def words_of(path):
    return set(path.read_text().split("\n"))


def test_a_run_keeps_its_tokenizer(rnncli, tmp_path):
    run = tmp_path / "runs" / "c"
    rnncli("train", "c.yaml", "--set", "data.tokenizer_version=1")
    first = run / "checkpoints" / "step-00000001.npz"
    assert b"tokenizer_version" not in first.read_bytes()  # as in the checkpoints of before there was another
    assert "finished already" in rnncli("train", "c.yaml").stderr  # the config is that of the run
    resumed = rnncli("train", "c.yaml", "--resume", "--epochs", "2")
    assert "runs/c began with data.tokenizer_version 1, and keeps it\n" in resumed.stderr
    assert words_of(run / "vocabulary.txt") >= FIRST
    assert "tokenizer_version: 1" in (run / "config.yaml").read_text()
    assert b"tokenizer_version" not in (run / "checkpoints" / "step-00000002.npz").read_bytes()
    assert "not in the vocabulary" not in rnncli("predict", "--seed", "2nd İ ❤️").stderr

    rnncli("train", "c.yaml", "--fresh")
    assert words_of(run / "vocabulary.txt") >= SECOND
    assert checkpoint.read_metadata(first).config.data.tokenizer_version == 2
    assert "keeps it" not in rnncli("train", "c.yaml", "--resume", "--epochs", "2").stderr
    assert "not in the vocabulary" not in rnncli("predict", "--seed", "2nd İ ❤️").stderr


def test_a_run_keeps_the_head_of_its_softmax(rnncli, tmp_path):
    run = tmp_path / "runs" / "c"
    (tmp_path / "text").write_text(" ".join(f"w{k}" for k in range(2000)) + "\n")
    adaptive = ("train", "c.yaml", "--set", "model.output=adaptive", "--resume")
    rnncli(*adaptive, "--set", "model.output.head=0.15")
    first = RunFolder(run).checkpoints()[-1]
    assert b'"head"' not in first.read_bytes()  # as in the checkpoints of before it was a setting
    stored = checkpoint.read(first)
    assert (stored.config.model.output.options.head, stored.parameters.shapes["output.Wya"][0]) == (0.15, 302)
    resumed = rnncli(*adaptive, "--epochs", "2")
    assert "runs/c began with model.output.head 0.15, and keeps it\n" in resumed.stderr
    assert "head: 0.15" in (run / "config.yaml").read_text()
    assert b'"head"' not in RunFolder(run).checkpoints()[-1].read_bytes()

    refused = CliRunner().invoke(main, [*adaptive, "--epochs", "3", "--set", "model.output.head=0.2"])
    assert refused.exit_code == 5
    rnncli("train", "c.yaml", "--set", "model.output=adaptive", "--fresh")
    stored = checkpoint.read(first)
    assert (stored.config.model.output.options.head, stored.parameters.shapes["output.Wya"][0]) == (0.075, 152)
