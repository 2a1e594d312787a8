"""The peak memory that `--dry-run` predicts, against that of the process which then trains; memory that runs out."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rnncli.config import corpora
from rnncli.model.language_model import LanguageModel
from rnncli.system import process, threads

pytestmark = pytest.mark.skipif(process.resident_memory() is None, reason="the size of a process is unknown here")

VOCABULARY = 4000
WIDE = {"model.hidden_size": 128, "model.embedding_size": 96, "model.layers": 2, "training.batch_size": 24}
STREAM = {"data.mode": "stream"}
MEASURED = {"data.valid": "valid.txt", "data.test": "valid.txt"}

CASES = {
    "tiny": {"training.epochs": 3, "model.hidden_size": 16, "data.train": "valid.txt"},
    "lstm": WIDE | STREAM | MEASURED,
    "sentences of a gru": WIDE | MEASURED | {"model.cell": "gru"},
    "adaptive": WIDE | STREAM | MEASURED | {"model.output": "adaptive"},
    "sampled": WIDE | STREAM | MEASURED | {"model.output": "sampled"},
    "sampled, not validated": WIDE | STREAM | {"model.output": "{name: sampled, samples: 500}"},
    "one-hot": WIDE | STREAM | {"model.embedding_size": "null", "model.layers": 1},
    "float64 rnn by sgd": WIDE | STREAM | {"model.cell": "rnn", "optimizer.name": "sgd", "training.dtype": "float64"},
    "one thread": WIDE | STREAM | {"--threads": 1},
}


@pytest.fixture
def corpus(work):
    """9,000 words by Zipf's law, with every word of the vocabulary, and a part of them."""
    rng, shares = np.random.default_rng(0), 1 / np.arange(1, VOCABULARY + 1)
    ids = np.concatenate([np.arange(VOCABULARY), rng.choice(VOCABULARY, 5_000, p=shares / shares.sum())])
    words = [f"w{id}" for id in rng.permutation(ids)]
    lines = [" ".join(words[start : start + 20]) for start in range(0, len(words), 20)]
    (work / "train.txt").write_text("\n".join(lines) + "\n")
    (work / "valid.txt").write_text("\n".join(lines[:100]) + "\n")
    (work / "config.yaml").write_text("data: {train: train.txt}\nvocabulary: {unknown: true}\ntraining: {epochs: 1}\n")


def last(process):
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr.decode()
    return stdout.decode()


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("name", CASES)
def test_the_prediction_is_within_15_percent(start, name):
    words = ["config.yaml", "--json"]
    for key, value in CASES[name].items():
        words += [key, value] if key.startswith("--") else ["--set", f"{key}={value}"]
    predicted = json.loads(last(start("train", *words, "--dry-run")))
    done = json.loads(last(start("train", *words)).splitlines()[-1])
    assert done["reason"] == "epochs"
    measured = done["peak_memory"]
    assert 0.85 * measured < predicted["predicted_peak_memory"] < 1.15 * measured, predicted["memory"]
    own = measured - predicted["memory"]["process"]  # what Python, NumPy and the texts do not have already
    forecast = predicted["predicted_peak_memory"] - predicted["memory"]["process"]
    assert abs(forecast - own) < 0.3 * own + 8e6


@pytest.mark.usefixtures("corpus")
def test_a_resumed_run_takes_no_more(start):
    words = ["config.yaml", "--json"]
    for key, value in (WIDE | STREAM | MEASURED).items():
        words += ["--set", f"{key}={value}"]
    predicted = json.loads(last(start("train", *words, "--dry-run")))["predicted_peak_memory"]
    last(start("train", *words, "--max-time", "0s"))
    done = json.loads(last(start("train", *words, "--resume")).splitlines()[-1])
    assert (done["epochs"], done["peak_memory"]) == (1, pytest.approx(predicted, rel=0.15))


def test_the_table(rnncli, fruit_config):
    result = rnncli("train", fruit_config, "--dry-run", "--set", "optimizer.name=sgd")
    rows = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    assert rows["memory: process"].strip().endswith(" MB")
    assert "memory: moments" not in rows  # there are none
    assert rows["peak memory"].strip().endswith(" MB, predicted for the whole process")


def too_much(*_, **__):
    np.ones(1 << 57)


def too_much_elsewhere(*_, **__):
    threads.each(too_much, range(2))


def no_memory(*_, **__):
    raise MemoryError


def no_mapping(*_, **__):
    raise OSError(errno.ENOMEM, "Cannot allocate memory")


LOWER = "free some, raise the limit, or lower training.batch_size, model.hidden_size or vocabulary.max_size"


@pytest.mark.parametrize("place", [(corpora, "texts"), (LanguageModel, "forward")], ids=["reading", "training"])
@pytest.mark.parametrize(
    ("lack", "what"),
    [
        (too_much, ": Unable to allocate 1.00 EiB for an array"),
        (too_much_elsewhere, ": Unable to allocate 1.00 EiB for an array"),
        (no_memory, f"; {LOWER}"),
        (no_mapping, f": Cannot allocate memory; {LOWER}"),
    ],
)
def test_memory_that_runs_out_is_one_line(rnncli, fruit_config, monkeypatch, place, lack, what):
    monkeypatch.setattr(*place, lack)
    monkeypatch.setattr(threads, "count", lambda: 2)
    result = rnncli("train", fruit_config, "--quiet")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith(f"out of memory{what}")
    assert result.stderr.endswith(f"; {LOWER}\n")
    assert result.stderr.count("\n") == 1


def test_a_run_goes_on_after_memory_ran_out(rnncli, fruit_config):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LanguageModel, "forward", no_memory)
        assert rnncli("train", fruit_config, "--epochs", 2).exit_code == 3
    assert rnncli("train", fruit_config, "--epochs", 2, "--resume").exit_code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on address space")
@pytest.mark.parametrize(
    ("kilobytes", "code", "stderr"), [(100_000, 3, "NumPy needs 140 MB of address space"), (250_000, 0, "")]
)
def test_a_limit_on_address_space(fruit_config, kilobytes, code, stderr):
    """`ulimit -v`: OpenBLAS would end the process where it cannot map its work space."""
    words = f"ulimit -v {kilobytes}; exec {sys.executable} -m rnncli train {fruit_config} --epochs 1 --json --quiet"
    result = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr[: len(stderr)]) == (code, stderr)
    assert Path("runs").exists() == (code == 0)
