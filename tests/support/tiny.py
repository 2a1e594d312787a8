"""A tiny training for the fault tests, in this process or in another, and checks of its folder afterwards."""

import hashlib
import os
import subprocess
import sys

from click.testing import CliRunner

from rnncli.cli import main
from rnncli.config import yaml_file
from rnncli.config.config import portable_dict
from rnncli.errors import RunError
from rnncli.runs import checkpoint_file
from rnncli.runs.folder import RunFolder
from support.small_run import metrics

TEXT = "mango is yellow color\nbanana is pink color\nhair has black color\n"
CONTRADICTS_IT = "yellow is mango\npink mango has hair\n"  # so that an early checkpoint stays the best
CONFIG = """\
data: {{train: text.txt, valid: valid.txt}}
model: {{cell: rnn, hidden_size: 3}}
optimizer: {{name: {optimizer}, learning_rate: {rate}, schedule: {{name: constant}}}}
training: {{epochs: {epochs}, batch_size: 1, random_seed: 7}}
guard: {{every: {guard}, rollbacks: 20, learning_rate_factor: 0.7}}
run: {{keep: {keep}, checkpoint_every: {every} steps}}
"""
DIVERGES = {"optimizer": "adam", "rate": 4.0}  # at the first step, until the learning rate is reduced


def config_in(folder, optimizer="sgd", rate=0.5, epochs=3, keep=2, every=2, guard=4):
    """Path of a config with 3 steps an epoch; its texts are in the same folder."""
    (folder / "text.txt").write_text(TEXT)
    (folder / "valid.txt").write_text(CONTRADICTS_IT)
    path = folder / "tiny.yaml"
    options = {"optimizer": optimizer, "rate": rate, "epochs": epochs, "keep": keep, "every": every, "guard": guard}
    path.write_text(CONFIG.format(**options))
    return path


def train_words(config, run, *words):
    """Arguments of `rnncli` that train in the folder `run`."""
    return ["train", str(config), "--set", f"run.dir={run}", "--quiet", *map(str, words)]


def start(folder, words, before=(), program=("-m", "rnncli")):
    """Start a command in another process; it makes the same system calls each time."""
    return subprocess.Popen(
        [*before, sys.executable, *program, *map(str, words)],
        cwd=folder,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def here(*words):
    """Run a command in this process; returns its output and exit code, and fails if it prints a traceback."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.stderr
    return result


def verified(run):
    """The checkpoints and guards that verify."""
    return [path for path in sorted(run.glob("*/step-*.npz")) if _verifies(path)]


def _verifies(path):
    try:
        checkpoint_file.verify(path)
    except RunError:
        return False
    return True


def hashed(run):
    """SHA-256 of the last checkpoint."""
    return hashlib.sha256(RunFolder(run).checkpoints()[-1].read_bytes()).hexdigest()


def other_files(run):
    """Names in the folder other than checkpoints and guards."""
    return {str(path.relative_to(run)) for path in run.rglob("*")} - {
        str(path.relative_to(run)) for path in run.glob("*/step-*.npz")
    }


def config_and_vocabulary(run):
    """Contents of config.yaml and vocabulary.txt, without the paths of the texts."""
    folder = RunFolder(run)
    return portable_dict(yaml_file.read(str(folder.config), [])), folder.vocabulary.read_bytes()


class Whole:
    """Result of an uninterrupted run."""

    def __init__(self, config, run, *words):
        self.config, self.words = config, words
        result = here(*train_words(config, run, *words))
        assert result.exit_code == 0, result.stderr
        self.hash, self.metrics = hashed(run), metrics(run)
        self.other_files, self.config_and_vocabulary = other_files(run), config_and_vocabulary(run)

    def assert_resuming_reproduces_it(self, run):
        """Resume to the end, and compare all files."""
        result = here(*train_words(self.config, run, *self.words, "--resume"))
        assert result.exit_code == 0, result.stderr
        self.assert_same_as(run)

    def assert_same_as(self, run):
        assert hashed(run) == self.hash, f"{run}: the last checkpoint differs"
        assert metrics(run) == self.metrics, f"{run}: metrics.jsonl differs"
        found = other_files(run)
        assert found == self.other_files, f"{run}: other files differ: {sorted(found ^ self.other_files)}"
        assert config_and_vocabulary(run) == self.config_and_vocabulary, f"{run}: config.yaml or vocabulary.txt differs"


def assert_only_genuine(run, genuine):
    """Every checkpoint that verifies has one of the contents in `genuine`, {path in the run: contents}."""
    for path in verified(run):
        assert path.read_bytes() in genuine[str(path.relative_to(run))], f"{path} verifies, but is wrong"
