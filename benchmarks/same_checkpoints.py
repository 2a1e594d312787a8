"""Check that this checkout writes the same checkpoints as an earlier revision, byte for byte.

    python benchmarks/same_checkpoints.py REVISION

A dozen small configs (every cell, mode, output layer, optimizer, engine and dtype; rollbacks; early stopping) are
trained by both revisions, in separate processes. The script compares the bytes of every checkpoint and guard, and the
rows of metrics.jsonl without timings. Then it stops runs of the revision half-way and resumes them with this checkout:
the last checkpoints must again be the same. If bytes differ, it reports whether the arrays do.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from revision import ROOT, extract

PROGRAM = "from rnncli.cli import main; main(prog_name='rnncli')"
TIMINGS = ("words_per_second", "seconds")
BASE = ["model.hidden_size=12", "training.batch_size=4", "training.bptt=6", "training.epochs=3"]
BASE += ["training.random_seed=7", "optimizer.learning_rate=0.02", "data.valid=0.2", "vocabulary.unknown=true"]
CONFIGS = {
    "lstm": [],
    "rnn, stream": ["model.cell=rnn", "data.mode=stream"],
    "gru, embedded, 2 layers": ["model.cell=gru", "model.layers=2", "model.embedding_size=8"],
    "lstm, embedded, stream": ["model.embedding_size=8", "data.mode=stream", "data.line_end=false"],
    "adaptive": ["model.output={name: adaptive, cutoffs: [5, 20], div_value: 2}", "model.embedding_size=8"],
    "sampled": ["model.output={name: sampled, samples: 9}", "model.embedding_size=8"],
    "sampled, unigram, stream": ["model.output={name: sampled, samples: 9, proposal: unigram}", "data.mode=stream"],
    "lazy_adam": ["optimizer.name=lazy_adam", "model.embedding_size=8"],
    "sgd, no clipping": ["optimizer.name=sgd", "optimizer.clip_norm=null", "optimizer.learning_rate=0.5"],
    "stepwise, float64": ["model.engine=stepwise", "training.dtype=float64", "model.embedding_size=5"],
    "stepwise, gru, adaptive": [
        "model.engine=stepwise",
        "model.cell=gru",
        "model.output={name: adaptive, cutoffs: [9]}",
    ],
    "float64, 3 layers": ["training.dtype=float64", "model.layers=3"],
    "words, min_count": ["data.tokenizer=words", "vocabulary.min_count=2", "data.lowercase=true"],
    "characters": ["data.tokenizer=characters", "training.bptt=20", "training.epochs=1"],
    "diverges": ["optimizer.learning_rate=6", "optimizer.clip_norm=null", "guard.every=10", "training.epochs=2"],
    "patience, checkpoints by step": ["training.patience=1", "run.checkpoint_every=7 steps", "training.epochs=30"],
}


def corpus() -> str:
    """Lines of 0 to 12 words by Zipf's law, the same on every machine."""
    rng = random.Random(1)
    words = [f"w{k}{'x' * (k % 4)}" for k in range(60)]
    weights = [1 / (k + 1) for k in range(60)]
    return "".join(" ".join(rng.choices(words, weights, k=rng.randrange(13))) + "\n" for _ in range(90))


def rnncli(source: Path, folder: Path, *arguments: str) -> None:
    """Run a command of the package in `source`."""
    environment = os.environ | {"PYTHONPATH": str(source), "XDG_CACHE_HOME": str(folder / "cache")}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode not in (0, 6):
        raise SystemExit(f"{source}: rnncli {' '.join(arguments)}: exit code {result.returncode}\n{result.stderr}")


def train(source: Path, folder: Path, run: str, settings: list[str], *arguments: str) -> dict[str, str]:
    """Train in `folder/run`: SHA-256 of each checkpoint and guard, and of the metrics without timings."""
    options = [word for setting in [*BASE, *settings, f"run.dir={run}"] for word in ("--set", setting)]
    rnncli(source, folder, "train", "config.yaml", *options, "--quiet", *arguments)
    return left(folder / run)


def left(run: Path) -> dict[str, str]:
    found = {path.relative_to(run).as_posix(): path.read_bytes() for path in sorted(run.glob("*/step-*.npz"))}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows = [{key: value for key, value in row.items() if key not in TIMINGS} for row in rows]
    found["metrics.jsonl"] = json.dumps(rows).encode()
    return {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}


def arrays(run: Path) -> dict[str, list[str]]:
    """SHA-256 of every array of every checkpoint."""
    found = {}
    for path in sorted(run.glob("*/step-*.npz")):
        with np.load(path, allow_pickle=False) as archive:
            names = [name for name in archive.files if name != "meta"]
            found[path.name] = [hashlib.sha256(archive[name].tobytes()).hexdigest() for name in names]
    return found


def main(revision: str) -> int:
    different = 0
    with tempfile.TemporaryDirectory() as temporary:
        before, folder = extract(revision, Path(temporary)), Path(temporary, "runs")
        folder.mkdir()
        (folder / "text.txt").write_text(corpus())
        (folder / "config.yaml").write_text("data: {train: text.txt}\n")
        for number, (name, settings) in enumerate(CONFIGS.items()):
            old = train(before, folder, f"old{number}", settings)
            new = train(ROOT, folder, f"new{number}", settings)
            verdict = "equal" if old == new else "DIFFERENT"
            if old != new and arrays(folder / f"old{number}") == arrays(folder / f"new{number}"):
                verdict = "equal arrays, other meta data"
            train(before, folder, f"half{number}", settings, "--set", "training.epochs=1")
            resumed = train(ROOT, folder, f"half{number}", settings, "--resume")
            last = max(name for name in old if name.startswith("checkpoints/"))
            again = "equal" if resumed.get(last) == old[last] else "DIFFERENT"
            different += (verdict, again) != ("equal", "equal")
            print(f"{name:30} {len(old) - 1:3} checkpoints {verdict}; resumed {again}", flush=True)
    print(f"{len(CONFIGS) - different} of {len(CONFIGS)} equal to {revision}")
    return 1 if different else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    raise SystemExit(main(sys.argv[1]))
