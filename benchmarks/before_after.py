"""Words a second of this checkout against an earlier revision, on the models of `speed.py`.

    python benchmarks/before_after.py REVISION [ROW ...]

For each row both revisions train the same config in processes of their own, by turns: one is stopped (SIGSTOP) while
the other works for some seconds, so that both see the same machine. Each step's words a second come from
metrics.jsonl; the steps in which a process was stopped are outliers of the median, and the first turns warm up. A
second pair is started in the other order: the one started second gets the worse memory (a revision against itself was
seen at 0.93 with the sampled softmax).
"""

from __future__ import annotations

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import accumulate
from pathlib import Path

from revision import ROOT, extract

PROGRAM = "from rnncli.cli import main; main(prog_name='rnncli')"
TURNS, SECONDS = int(os.environ.get("TURNS", "8")), 2.0  # of each process, the first two turns left out
BASE = {"model.layers": 2, "model.hidden_size": 200, "model.embedding_size": 200, "training.batch_size": 20}
BASE |= {"training.bptt": 35, "training.epochs": 10**8, "training.random_seed": 1, "data.mode": "stream"}
BASE |= {"guard.every": 10**6, "run.checkpoint_every": "1000000 steps", "optimizer.learning_rate": 0.001}
ROWS: dict[str, tuple[int, dict[str, object]]] = {
    "LSTM 2 x 200, V 10,000, B 20": (10_000, {}),
    "B 64": (10_000, {"training.batch_size": 64}),
    "GRU": (10_000, {"model.cell": "gru"}),
    "RNN": (10_000, {"model.cell": "rnn"}),
    "H 650": (10_000, {"model.hidden_size": 650, "model.embedding_size": 650}),
    "V 33,278": (33_278, {}),
    "one-hot": (10_000, {"model.embedding_size": "null"}),
    "adaptive": (10_000, {"model.output": "adaptive"}),
    "sampled": (10_000, {"model.output": "sampled"}),
    "adaptive, V 33,278": (33_278, {"model.output": "adaptive"}),
    "fruit": (
        0,
        {"model.layers": 1, "model.hidden_size": 32, "model.embedding_size": "null", "data.mode": "sentences"},
    ),
}


def zipf(types: int, tokens: int) -> str:
    """Words by Zipf's law, each type at least once."""
    rng = random.Random(1)
    weights = list(accumulate(1 / (k + 1) for k in range(types)))
    words = [f"w{k}" for k in range(types)]
    drawn = [*words, *rng.choices(words, cum_weights=weights, k=tokens - types)]
    rng.shuffle(drawn)
    return "\n".join(" ".join(drawn[i : i + 20]) for i in range(0, tokens, 20)) + "\n"


class Training:
    """A training process that can be stopped and continued."""

    def __init__(self, source: Path, folder: Path, name: str, text: Path, settings: dict[str, object]) -> None:
        self.metrics = folder / name / "metrics.jsonl"
        options = [f"{key}={value}" for key, value in (BASE | settings).items()]
        options += [f"run.dir={folder / name}", f"data.train={text}"]
        environment = os.environ | {"PYTHONPATH": str(source), "XDG_CACHE_HOME": str(folder / "cache")}
        words = [word for option in options for word in ("--set", option)]
        command = [sys.executable, "-c", PROGRAM, "train", str(folder / "config.yaml"), *words, "--quiet"]
        self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        while not (self.metrics.exists() and self.metrics.stat().st_size):
            if self.process.poll() is not None:
                raise SystemExit(f"{source}: training ended early")
            time.sleep(0.05)
        self.process.send_signal(signal.SIGSTOP)
        self.rates: list[float] = []

    def turn(self, counted: bool) -> None:
        before = self.metrics.stat().st_size
        self.process.send_signal(signal.SIGCONT)
        time.sleep(SECONDS)
        self.process.send_signal(signal.SIGSTOP)
        with self.metrics.open("rb") as file:
            file.seek(before)
            rows = [json.loads(line) for line in file.read().split(b"\n")[1:-1]]
        if counted:
            self.rates += [row["words_per_second"] for row in rows if row["event"] == "step"][1:]

    def end(self) -> float:
        self.process.kill()
        self.process.wait()
        return statistics.median(self.rates)


def measure(before: Path, folder: Path, name: str) -> tuple[float, float]:
    """Words/s of the revision and of this checkout: medians of two pairs of processes, their geometric mean."""
    vocabulary, settings = ROWS[name]
    text = folder / f"zipf-{vocabulary}.txt"
    if not text.exists():
        text.write_text(zipf(vocabulary, 400_000) if vocabulary else (ROOT / "data/fruit.txt").read_text())
    place = folder / name.replace(" ", "")
    place.mkdir()
    (place / "config.yaml").write_text("data: {train: unused}\n")
    rates: dict[str, list[float]] = {"old": [], "new": []}
    for first, second in (("old", "new"), ("new", "old")):  # who starts second gets the worse memory
        sources = {"old": before, "new": ROOT}
        both = {each: Training(sources[each], place, f"{each}-{first}", text, settings) for each in (first, second)}
        for turn in range(TURNS):
            for each in both.values() if turn % 2 else reversed(both.values()):
                each.turn(turn >= 2)
        for label, each in both.items():
            rates[label].append(each.end())
    old, new = (statistics.geometric_mean(rates[each]) for each in ("old", "new"))
    return old, new


def main(revision: str, names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        before, folder = extract(revision, Path(temporary)), Path(temporary, "runs")
        folder.mkdir()
        print(f"| row | {revision}, words/s | this checkout | ratio |\n|---|---|---|---|")
        for name in names or ROWS:
            old, new = measure(before, folder, name)
            print(f"| {name} | {old:,.0f} | {new:,.0f} | {new / old:.3f} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2:])
