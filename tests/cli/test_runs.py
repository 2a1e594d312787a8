"""`rnncli runs`: the table, its JSON, and its columns on a narrow terminal."""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.terminal import terminal

from rnncli.cli.runs import _age
from rnncli.runs.folder import RunFolder


@pytest.fixture
def three(fruit, work):
    """A finished run, one whose newest checkpoint is damaged, and one without a checkpoint, written to last."""
    for seconds, name in enumerate(("fruit", "fruit.1", "begun"), 1_000_000_000):
        folder = RunFolder(work / "runs" / name)
        if name == "begun":
            folder.create()
            folder.begin()
        else:
            shutil.copytree(fruit, folder.path)
        if name == "fruit.1":
            folder.checkpoints()[-1].write_bytes(b"half")
        for file in folder.path.rglob("*"):
            os.utime(file, (seconds, seconds))
    return work / "runs"


def test_the_table(rnncli, three):
    result = rnncli("runs")
    assert result.exit_code == 0
    head, begun, damaged, finished = result.stdout.splitlines()
    assert head.split() == ["run", "state", "epoch", "step", "train", "best", "model", "MB", "age"]
    assert re.fullmatch(r"runs/begun +no checkpoint yet +0\.0  \d+ days", begun)
    assert re.fullmatch(r"runs/fruit\.1 +stopped +100/150 +100 +1\.\d\d +-  lstm 1x32 +0\.\d  \d+ days", damaged)
    assert re.fullmatch(r"runs/fruit +finished +150/150 +150 +1\.25 +-  lstm 1x32 +0\.\d  \d+ days", finished)
    passed_over, count = result.stderr.splitlines()
    assert passed_over.startswith("warning: skipped runs/fruit.1/checkpoints/step-00000150.npz: ")
    assert count == "3 runs; for details: rnncli inspect runs/fruit.1"


def test_json(rnncli, three):
    result = rnncli("runs", "--json")
    assert (result.exit_code, result.stderr.count("\n")) == (0, 1)
    begun, damaged, finished = json.loads(result.stdout)["runs"]
    assert [each["run"] for each in (begun, damaged, finished)] == ["runs/begun", "runs/fruit.1", "runs/fruit"]
    assert [each["state"] for each in (begun, damaged, finished)] == ["no checkpoint yet", "stopped", "finished"]
    for each, seconds in ((finished, 1_000_000_000), (damaged, 1_000_000_001)):
        assert datetime.fromisoformat(each["changed"]) == datetime.fromtimestamp(seconds, UTC)
    assert finished["age"] == pytest.approx(datetime.now(UTC).timestamp() - 1_000_000_000, abs=60)
    expected = {"reason": "epochs", "epoch": 150, "epochs": 150, "step": 150, "cell": "lstm", "layers": 1}
    expected |= {"hidden_size": 32, "output": "full", "best_valid_perplexity": None, "holder": None, "problems": []}
    expected |= {"checkpoint": "runs/fruit/checkpoints/step-00000150.npz"}
    assert expected.items() <= finished.items()
    assert finished["train_perplexity"] == pytest.approx(3 ** (1 / 5), rel=0.01)
    assert len(damaged["problems"]) == 1
    assert {begun[key] for key in ("checkpoint", "epoch", "step", "cell", "train_perplexity")} == {None}


def test_named_folders(rnncli, three, refused):
    assert rnncli("runs", three / "fruit").stdout.splitlines()[1].split()[0] == str(three / "fruit")
    assert len(rnncli("runs", ".").stdout.splitlines()) == 4
    shutil.rmtree(three)
    refused(5, ["no run found", "./runs", "current folder", "rnncli train CONFIG"], "runs")
    refused(5, "nope: no such folder", "runs", "nope")
    for words in ([], ["--json"]):
        refused(5, "no run found: looked in . and below", "runs", ".", *words)


def test_a_run_in_training_is_not_disturbed(rnncli, start, fruit_config):
    often = ("--set", "run.checkpoint_every=1 epoch")
    holder = start("train", fruit_config, "--epochs", 1000000, *often, "--json")
    while not RunFolder(Path("runs/fruit")).checkpoints():
        assert holder.stdout.readline()
    for _ in range(20):
        [found] = json.loads(rnncli("runs", "--json").stdout)["runs"]
        assert (found["state"], found["problems"]) == ("training", [])
        assert found["holder"].startswith(f"process {holder.pid} on ")
    assert rnncli("runs").stdout.splitlines()[1].split()[:2] == ["runs/fruit", "training"]
    assert holder.poll() is None
    holder.kill()
    holder.wait()
    [found] = json.loads(rnncli("runs", "--json").stdout)["runs"]
    assert (found["state"], found["holder"]) == ("stopped", None)


def on_a_terminal(columns):
    """The lines shown on a terminal of that width."""
    with terminal(columns) as (theirs, shown):
        words = [sys.executable, "-m", "rnncli", "runs"]
        # GNU readline, in this process, has set the C library's environment of 80 columns.
        process = subprocess.Popen(words, stdout=theirs, stderr=subprocess.DEVNULL, env=os.environ)
        lines = shown().splitlines()
        assert process.wait() == 0
    return lines


@pytest.mark.alone
def test_a_narrow_terminal(three, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    Path(three / "fruit").rename(three / "a-run-of-a-very-long-name-indeed")
    for columns, heads in [
        (120, ["run", "state", "epoch", "step", "train", "best", "model", "MB", "age"]),
        (100, ["run", "state", "epoch", "train", "best", "model", "MB", "age"]),
        (91, ["run", "state", "epoch", "train", "best", "model", "age"]),
        (80, ["run", "state", "epoch", "train", "best", "age"]),
        (60, ["run", "state", "epoch", "train", "best", "age"]),
    ]:
        head, *rows = on_a_terminal(columns)
        assert max(map(len, rows)) <= columns
        assert len(rows) == 3
        assert head.split() == heads
        assert ("…" in rows[2]) == (columns == 60)


def test_a_name_with_a_line_end(rnncli, work):
    RunFolder(work / "runs" / "two\nlines").create()
    RunFolder(work / "runs" / "two\nlines").begin()
    assert [line.split()[0] for line in rnncli("runs").stdout.splitlines()] == ["run", r"runs/two\nlines"]


def test_the_test_is_shown_if_a_run_has_measured_one(rnncli, fruit_config, three):
    settings = ("--epochs", 2, "--set", "data.test=data/fruit.txt", "--set", "run.dir=runs/tested")
    assert rnncli("train", fruit_config, *settings).exit_code == 0
    measured = json.loads(rnncli("inspect", "--run", "runs/tested", "--json").stdout)
    assert f", test {measured['test']['perplexity']:.2f}\n" in rnncli("inspect", "--run", "runs/tested").stdout
    head, row, *_ = rnncli("runs").stdout.splitlines()
    assert head.split()[:7] == ["run", "state", "epoch", "step", "train", "best", "test"]
    assert (row.split()[0], row.split()[6]) == ("runs/tested", f"{measured['test_perplexity']:.2f}")
    found = {run["run"]: run["test_perplexity"] for run in json.loads(rnncli("runs", "--json").stdout)["runs"]}
    others = dict.fromkeys(["runs/fruit", "runs/fruit.1", "runs/begun"])
    assert found == {"runs/tested": measured["test_perplexity"]} | others


def test_ages():
    expected = {0.2: "now", -5: "now", 1: "1 s", 59.9: "59 s", 60: "1 min", 3599: "59 min", 7200: "2 h"}
    expected |= {86400: "1 day", 172800: "2 days"}
    assert {seconds: _age(seconds) for seconds in expected} == expected
