"""Texts from one file or many, compressed files, pipes and the cache."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.small_run import metrics

TEXT = "mango is pink color\nhair is black\n"


@pytest.fixture
def texts(fruit_config):
    """The fruit text in pieces: a folder of files, one of them compressed."""
    lines = Path("data/fruit.txt").read_text().splitlines(keepends=True)
    Path("texts/later").mkdir(parents=True)
    Path("texts/1.txt").write_text(lines[0])
    Path("texts/2.txt.gz").write_bytes(gzip.compress(lines[1].encode()))
    Path("texts/later/3.txt").write_text(lines[2])
    Path("texts/.notes").write_text("not a text\n")
    return fruit_config


def train(rnncli, config, run, *settings):
    words = [word for each in (f"run.dir={run}", "training.epochs=3", *settings) for word in ("--set", each)]
    result = rnncli("train", config, *words)
    assert result.exit_code == 0, result.output
    return Path(run, "vocabulary.txt").read_text(), metrics(run)


def test_one_file_a_folder_a_pattern_and_a_list(rnncli, texts):
    one = train(rnncli, texts, "one")
    listed = "texts/1.txt, texts/2.txt.gz, texts/later"
    for number, value in enumerate(
        ["texts", "texts/**", "texts/**/*[0-9].tx*", f"[{listed}]", '["texts/[12]*", "texts/l*/*"]']
    ):
        assert train(rnncli, texts, f"run{number}", f"data.train={value}") == one, value


def test_a_pattern_in_a_config_is_relative_to_the_config(rnncli, texts):
    expected = train(rnncli, texts, "one")
    Path(texts).write_text(Path(texts).read_text().replace("../data/fruit.txt", "../texts/**/?.*"))
    assert train(rnncli, texts, "two") == expected


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train", "texts/*.tex", "texts/*.tex: no file matches this pattern"),
        ("valid", "text/*.txt", "text/*.txt: no file matches this pattern; there is no folder"),
        ("test", "empty", "empty: a folder without a text"),
        ("train", "texts/1.tx", "texts/1.tx: no such file; did you mean"),
    ],
)
def test_a_missing_text(refused, texts, key, value, message):
    Path("empty").mkdir()
    refused(4, message, "train", texts, "--set", f"data.{key}={value}")
    assert not Path("runs").exists()


def test_a_cache(rnncli, texts):
    used = ("data.train=texts", "data.cache=cache", "data.valid=data/fruit.txt")
    first = train(rnncli, texts, "one", *used)
    [entry] = Path("cache").iterdir()
    made = (entry / "meta.json").stat().st_mtime_ns
    assert train(rnncli, texts, "two", *used) == first
    assert (entry / "meta.json").stat().st_mtime_ns == made
    (entry / "train.ids").write_bytes(b"damaged")
    assert train(rnncli, texts, "three", *used) == first
    assert [path.name for path in Path("cache").iterdir()] == [entry.name]
    assert train(rnncli, texts, "four", used[0], used[2]) == first


def test_a_cache_that_cannot_be_written(refused, texts):
    Path("cache").write_text("a file")
    message = "cache: cannot write: File exists; the encoded texts need about "
    pieces = [message, "make room there, or set data.cache to another folder"]
    refused(7, pieces, "train", texts, "--set", "data.cache=cache")
    refused(7, "the encoded texts need about", "train", texts, "--set", "data.cache=cache/in/it")
    assert Path("cache").read_text() == "a file"
    assert not Path("runs").exists()


def run(*words, stdin):
    """Run a command in a new process, with a real pipe."""
    command = [sys.executable, "-m", "rnncli", *map(str, words)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


def test_evaluate_reads_a_pipe(rnncli, fruit, work):
    Path("text.txt").write_text(TEXT)
    piped = run("evaluate", "--run", fruit, "--json", "-", stdin=TEXT.encode())
    assert (piped.returncode, piped.stderr) == (0, b"")
    named = json.loads(rnncli("evaluate", "--run", fruit, "--json", "text.txt").stdout)
    assert json.loads(piped.stdout) == named | {"files": ["-"]}
    for bad, message in ((b"mango \xff\n", b":1: not UTF-8: byte 0xff at byte 6"), (b"", b": no word in the text")):
        result = run("evaluate", "--run", fruit, "-", stdin=bad)
        assert result.returncode == 4
        assert message in result.stderr
        assert b"Traceback" not in result.stderr


@pytest.mark.parametrize("cache", [[], ["--set", "data.cache=cache"]])
def test_training_on_a_pipe_reads_it_once(rnncli, texts, cache):
    expected = train(rnncli, texts, "one")
    text = Path("data/fruit.txt").read_bytes()
    settings = ["--set", "data.train=/dev/stdin", "--set", "run.dir=piped", "--set", "training.epochs=3", *cache]
    result = run("train", texts, *settings, stdin=text)
    assert result.returncode == 0, result.stderr
    assert (Path("piped/vocabulary.txt").read_text(), metrics("piped")) == expected
    assert not Path("cache").exists()


def test_a_file_that_appears_twice_in_a_text(refused, rnncli, texts):
    for twice in ("[data/fruit.txt, data/fruit.txt]", "[data, data/fruit.txt]", '["data/*.txt", data]'):
        refused(
            4,
            ["fruit.txt: appears twice in data.train", "name it once"],
            "train",
            texts,
            "--set",
            f"data.train={twice}",
        )


def test_files_that_a_run_writes_are_not_among_its_texts(rnncli, texts):
    inside = ("--set", "data.train=data", "--set", "data.cache=data/cache", "--set", "run.dir=data/run")
    for _ in range(3):
        result = rnncli("train", texts, *inside, "--epochs", 1, "--fresh", "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout.splitlines()[-1])["train_tokens"] == 15
    assert sorted(path.name for path in Path("data").iterdir()) == ["cache", "fruit.txt", "run", "run.1", "run.2"]
