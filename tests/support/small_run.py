"""Small texts, configs and runs that several tests start from."""

import json
from pathlib import Path

import numpy as np

from rnncli.config import build, corpora, yaml_file
from rnncli.config.config import from_dict
from rnncli.runs.checkpoint import Checkpoint
from rnncli.runs.folder import RunFolder
from rnncli.text.vocabulary import Vocabulary
from rnncli.training.trainer import Trainer

TIMINGS = ("words_per_second", "seconds")
WORDS = ["sun", "moon", "über", "rain", "the", "falls", "rises", "on", "sea", "ice"]

BASE = {"model.hidden_size": 5, "model.embedding_size": 3, "training.batch_size": 4, "training.bptt": 6}
BASE |= {"training.epochs": 2, "training.random_seed": 7, "optimizer.learning_rate": 0.01}


def random_lines(lines, seed=0, longest=9):
    """Lines of 0 to `longest` words, the same for the same seed; the first has every word."""
    rng = np.random.default_rng(seed)
    drawn = [" ".join(rng.choice(WORDS, rng.integers(0, longest + 1))) for _ in range(lines - 1)]
    return "\n".join([" ".join(WORDS), *drawn]) + "\n"


def settings(folder, text=None, **changes):
    """The config of a small model on `folder/text.txt`; `data__mode="stream"` sets `data.mode`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.txt").write_text(random_lines(20) if text is None else text, encoding="utf-8")
    (folder / "config.yaml").write_text("data: {train: text.txt}\n")
    changed = BASE | {key.replace("__", "."): value for key, value in changes.items()}
    return yaml_file.read(folder / "config.yaml", [f"{key}={json.dumps(value)}" for key, value in changed.items()])


def trainer(config, folder):
    """A new trainer with its run in `folder`."""
    run = RunFolder(Path(folder))
    run.create()
    return Trainer(config, corpora.texts(config), config.training.random_seed, run)


def train(config, folder, stop_at=None, resume=False):
    """Train to the step `stop_at` or to the end; returns the trainer and its events."""
    made = trainer(config, folder)
    if resume:
        made.resume(made.folder.last()[0])
    stop = (lambda: "requested" if made.progress.position.step >= stop_at else None) if stop_at else (lambda: None)
    return made, list(made.train(stop))


def last_bytes(folder):
    """The content of the newest checkpoint."""
    return RunFolder(Path(folder)).checkpoints()[-1].read_bytes()


def metrics(folder):
    """The rows of metrics.jsonl without timings."""
    rows = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in TIMINGS} for row in rows]


def contents(progress):
    """A checkpoint, at this progress, of a model of three words."""
    config = from_dict({"data": {"train": ["text.txt"]}, "model": {"hidden_size": 2}, "optimizer": {"name": "sgd"}})
    architecture = build.architecture(config.model, 3)
    return Checkpoint(
        config=config,
        vocabulary=Vocabulary(("<end>", "a", "b"), np.array([3, 2, 1])),
        random_seed=1,
        progress=progress,
        data={"train": "0", "valid": None},
        parameters=architecture.initialise(1),
        moments={},
        state=architecture.flatten_state(architecture.zero_state(4, np.float32)),
    )


def learns_by_heart(folder, **changes):
    """A config that overfits: its few training sentences differ from the validation text, whose loss rises."""
    text = random_lines(8, seed=1) + "".join(f"{line[::-1]}\n" for line in random_lines(4, seed=5).splitlines())
    fixed = {"data__valid": 0.33, "vocabulary__unknown": True, "optimizer__learning_rate": 0.1, "training__epochs": 50}
    return settings(folder, text, **(fixed | changes))
