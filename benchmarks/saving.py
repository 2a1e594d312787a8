"""Cost of durability: share of training time spent on saving, time from SIGTERM to the end, and time to resume.

The Penn Treebank (for its folder see `speed.py`), the model of PyTorch's word-language-model example: an
LSTM of 2 layers of 200, 20 columns, windows of 35; a checkpoint every minute, guards as they are by default.
`python benchmarks/saving.py`.
"""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from memory import environment, rnncli, write_config
from speed import PTB

from rnncli.config import corpora, yaml_file
from rnncli.runs.folder import RunFolder
from rnncli.training.retention import Keeper
from rnncli.training.trainer import Trainer

MINUTES = 3.05
TIMES = 10  # times that a run is stopped by SIGTERM
GOAL_SHARE, GOAL_SECONDS = 2, 1


@contextmanager
def timed(owner: Any, name: str, spent: list[float]) -> Iterator[None]:
    """Within the context, append the seconds of each call of owner.name to `spent`."""
    original: Callable[..., Any] = getattr(owner, name)

    def call(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*arguments, **named)
        finally:
            spent.append(time.perf_counter() - started)

    setattr(owner, name, call)
    try:
        yield
    finally:
        setattr(owner, name, original)


def share_section(config: str, folder: str) -> str:
    """Train for some minutes in this process, and add up the time spent in `Keeper`."""
    settings = yaml_file.read(config, ["run.checkpoint_every=1m", "training.epochs=10"])
    run = RunFolder(Path(folder, "share"))
    run.create()
    trainer = Trainer(settings, corpora.texts(settings), 1, run)
    names = {"saving": (Keeper, "save"), "guards": (Keeper, "guard")}

    spent: dict[str, list[float]] = {name: [] for name in names}
    entered = [timed(owner, name, spent[key]) for key, (owner, name) in names.items()]
    for each in entered:
        each.__enter__()
    started = time.perf_counter()
    try:
        for _ in trainer.train(lambda: "time" if time.perf_counter() - started > 60 * MINUTES else None):
            pass
    finally:
        seconds = time.perf_counter() - started
        for each in entered:
            each.__exit__(None, None, None)
    saves = [each for each in spent["saving"] if each > 1e-3]
    guards = [each for each in spent["guards"] if each > 1e-3]
    total = sum(spent["saving"]) + sum(spent["guards"])
    size = run.checkpoints()[-1].stat().st_size
    return "\n".join(
        [
            f"{trainer.progress.position.step:,} steps in {seconds:.0f} s, {len(saves)} checkpoints and "
            f"{len(guards)} guards of {size / 1e6:.1f} MB.",
            "",
            "| | seconds each, median | in all | of the time |",
            "|---|---|---|---|",
            row("checkpoints", saves, seconds),
            row("guards", guards, seconds),
            f"| both | | {total:.2f} | {100 * total / seconds:.2f} % (goal: under {GOAL_SHARE}) |",
        ]
    )


def row(name: str, spent: list[float], seconds: float) -> str:
    return f"| {name} | {statistics.median(spent):.3f} | {sum(spent):.2f} | {100 * sum(spent) / seconds:.2f} % |"


def stopping_section(config: str, folder: str) -> str:
    """Start a run, stop it by SIGTERM in the middle of its steps, resume it, and repeat."""
    ends, firsts = [], []
    for turn in range(TIMES):
        started = time.perf_counter()
        command = rnncli("train", config, "--json", "--resume", "--set", f"run.dir={folder}/stopped")
        with subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout
            rows = [json.loads(process.stdout.readline())]
            if turn:
                firsts.append(time.perf_counter() - started)
            rows += [json.loads(process.stdout.readline()) for _ in range(20 + turn)]
            asked = time.perf_counter()
            process.send_signal(signal.SIGTERM)
            rows += [json.loads(line) for line in process.stdout]
            assert process.wait() == 143
            ends.append(time.perf_counter() - asked)
        last = RunFolder(Path(folder, "stopped")).last()
        assert last
        assert last.metadata.progress.position.step == rows[-1]["steps"]
        step = statistics.median(each["seconds"] for each in rows[:-1])
    return "\n\n".join(
        [
            "From SIGTERM to the end of the process, its checkpoint durable: "
            f"{statistics.median(ends):.2f} s, the longest of {TIMES} {max(ends):.2f} s, with steps of "
            f"{1e3 * step:.0f} ms (goal: a step and {GOAL_SECONDS} s).",
            "From the start of `train --resume`, with every byte of the checkpoint verified, to its first step: "
            f"{statistics.median(firsts):.2f} s, median of {TIMES - 1}.",
        ]
    )


def measure() -> str:
    if not (PTB / "train.txt").exists():
        return "## Saving\n\nNot measured: no Penn Treebank in the folder that RNNCLI_PTB names."
    with tempfile.TemporaryDirectory() as folder:
        config = write_config(folder)
        parts = ["## Saving", "Penn Treebank, LSTM 2 x 200.", share_section(config, folder)]
        return "\n\n".join([*parts, stopping_section(config, folder)])


if __name__ == "__main__":
    print(measure())
