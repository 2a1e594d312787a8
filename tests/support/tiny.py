"""A tiny training that faults are tried on, in this process and in others, and what must hold of its folder after."""

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
DIVERGES = {"optimizer": "adam", "rate": 4.0}  # at the first step, until the learning rate is lower


def config_in(folder, optimizer="sgd", rate=0.5, epochs=3, keep=2, every=2, guard=4):
    """The path of a config that takes 3 steps an epoch, with its texts beside it."""
    (folder / "text.txt").write_text(TEXT)
    (folder / "valid.txt").write_text(CONTRADICTS_IT)
    path = folder / "tiny.yaml"
    options = {"optimizer": optimizer, "rate": rate, "epochs": epochs, "keep": keep, "every": every, "guard": guard}
    path.write_text(CONFIG.format(**options))
    return path


def train_words(config, run, *words):
    """The words behind `rnncli` which train in the folder `run`."""
    return ["train", str(config), "--set", f"run.dir={run}", "--quiet", *map(str, words)]


def start(folder, words, before=(), program=("-m", "rnncli")):
    """Start a command in another process, which does the same each time, down to its system calls."""
    return subprocess.Popen(
        [*before, sys.executable, *program, *map(str, words)],
        cwd=folder,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def here(*words):
    """A command in this process: what it wrote and its exit code; it never shows a traceback."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.stderr
    return result


def believed(run):
    """The checkpoints and guards that are found whole."""
    return [path for path in sorted(run.glob("*/step-*.npz")) if _whole(path)]


def _whole(path):
    try:
        checkpoint_file.verify(path)
    except RunError:
        return False
    return True


def hashed(run):
    """SHA-256 of the last checkpoint."""
    return hashlib.sha256(RunFolder(run).checkpoints()[-1].read_bytes()).hexdigest()


def others(run):
    """The names of what is in the folder beside checkpoints and guards."""
    return {str(path.relative_to(run)) for path in run.rglob("*")} - {
        str(path.relative_to(run)) for path in run.glob("*/step-*.npz")
    }


def said(run):
    """What config.yaml and vocabulary.txt say, without where the texts stand."""
    folder = RunFolder(run)
    return portable_dict(yaml_file.read(str(folder.config), [])), folder.vocabulary.read_bytes()


class Whole:
    """How a run ends that nothing stops."""

    def __init__(self, config, run, *words):
        self.config, self.words = config, words
        result = here(*train_words(config, run, *words))
        assert result.exit_code == 0, result.stderr
        self.hash, self.metrics = hashed(run), metrics(run)
        self.others, self.said = others(run), said(run)

    def is_what_resuming_gives(self, run):
        """Resume to the end, and compare all that is left."""
        result = here(*train_words(self.config, run, *self.words, "--resume"))
        assert result.exit_code == 0, result.stderr
        self.is_what_stands_in(run)

    def is_what_stands_in(self, run):
        assert hashed(run) == self.hash, f"{run}: the last checkpoint is another"
        assert metrics(run) == self.metrics, f"{run}: metrics.jsonl has other rows"
        assert others(run) == self.others, f"{run} holds other files: {sorted(others(run) ^ self.others)}"
        assert said(run) == self.said, f"{run}: config.yaml or vocabulary.txt is another"


def only_true_ones(run, true):
    """Every checkpoint that is believed has bytes which `true`, {path in the run: contents}, knows for its step."""
    for path in believed(run):
        assert path.read_bytes() in true[str(path.relative_to(run))], f"{path} is believed, and wrong"
