"""Peak memory, and run time of whole processes compared with importing PyTorch. `python benchmarks/memory.py`.

The model is that of PyTorch's word-language-model example with its defaults: the Penn Treebank (for its folder see
`speed.py`), an LSTM of 2 layers of 200, 20 columns, windows of 35. One epoch is trained, validated and tested; memory
is the largest resident size of the process. Times are medians of whole processes, in alternation with
`python -c "import torch"`.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

from peers import ROOT
from speed import PTB, WITHOUT_TORCH

TIMES = 5
PUBLISHED = 593e6  # bytes: PyTorch's example, trained with its defaults on this text
MODEL = {"cell": "lstm", "layers": 2, "hidden_size": 200, "embedding_size": 200}
# The training of configs/fruit.yaml as a short script in PyTorch.
FRUIT_IN_TORCH = """
import sys
import torch
from torch import nn

lines = [line.split() for line in open(sys.argv[1])]
words = ["<end>", *sorted({word for line in lines for word in line})]
number = {word: id for id, word in enumerate(words)}
text = torch.tensor([[0, *(number[word] for word in line), 0] for line in lines]).T
inputs = nn.functional.one_hot(text[:-1], len(words)).float()
rnn, output = nn.LSTM(len(words), 32), nn.Linear(32, len(words))
parameters = [*rnn.parameters(), *output.parameters()]
optimizer = torch.optim.Adam(parameters, lr=0.01)
for _ in range(150):
    optimizer.zero_grad(set_to_none=True)
    loss = nn.functional.cross_entropy(output(rnn(inputs)[0]).flatten(0, 1), text[1:].flatten())
    loss.backward()
    nn.utils.clip_grad_norm_(parameters, 5.0)
    optimizer.step()
print(loss.exp().item())
"""


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONDONTWRITEBYTECODE": ""}  # as for a user: bytecode is cached


def rnncli(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "rnncli", *arguments]


def seconds(command: list[str], folder: str) -> float:
    """Wall-clock seconds of a whole process."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)
    return time.perf_counter() - started


def seconds_to_first_step(config: str, folder: str) -> float:
    """Seconds from the start of `rnncli train` to its first step event; the process is then stopped."""
    started = time.perf_counter()
    command = rnncli("train", config, "--json", "--set", f"run.dir={tempfile.mkdtemp(dir=folder)}")
    with subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        first = json.loads(process.stdout.readline())
        spent = time.perf_counter() - started
        assert first["event"] == "step"
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    return spent


def by_turns(*works: Callable[[], float]) -> list[float]:
    """Median seconds of each; a first turn, which fills the disk cache, is not counted."""
    turns = [[work() for work in works] for _ in range(TIMES + 1)][1:]
    return [statistics.median(times) for times in zip(*turns, strict=True)]


def trained(config: str, folder: str) -> dict[str, Any]:
    """The last row of a training run; its `peak_memory` is the largest resident size that the system reports."""
    out = subprocess.run(
        rnncli("train", config, "--json"), cwd=folder, env=environment(), check=True, capture_output=True
    )
    last: dict[str, Any] = json.loads(out.stdout.splitlines()[-1])
    return last


def predicted(config: str, folder: str) -> int:
    """Bytes that `--dry-run` predicts."""
    out = subprocess.run(rnncli("train", config, "--dry-run", "--json"), cwd=folder, check=True, capture_output=True)
    return int(json.loads(out.stdout)["predicted_peak_memory"])


def write_config(folder: str) -> str:
    """The config of PyTorch's example, in that folder."""
    texts = {"train": "train.txt", "valid": "valid.txt", "test": "test.txt"}
    config = {
        "data": {name: str(PTB / file) for name, file in texts.items()} | {"mode": "stream"},
        "model": MODEL,
        "training": {"epochs": 1, "batch_size": 20, "bptt": 35, "random_seed": 1},
    }
    path = Path(folder, "ptb.yaml")
    path.write_text(json.dumps(config))
    return str(path)


def memory_section(config: str, folder: str) -> str:
    """Train the model, which the other sections use, and report its memory."""
    expected = predicted(config, folder)
    last = trained(config, folder)
    peak = last["peak_memory"]
    lines = [
        "## Memory",
        "",
        "The model of PyTorch's word-language-model example on the Penn Treebank: an epoch, validated and tested.",
        "",
        "| | MB | of PyTorch's | goal |",
        "|---|---|---|---|",
        f"| largest resident size | {peak / 1e6:,.0f} | {peak / PUBLISHED:.2f} | 0.33 |",
        f"| predicted by `--dry-run` | {expected / 1e6:,.0f} ({expected / peak - 1:+.0%}) | | within 15 % |",
        f"| PyTorch's example, as published for it | {PUBLISHED / 1e6:,.0f} | | |",
        "",
        f"Perplexity after this epoch: valid {last['valid_perplexity']:.1f}, test {last['test_perplexity']:.1f}.",
    ]
    return "\n".join(lines)


def processes_section(config: str | None, folder: str) -> str:
    """Whole processes of rnncli and PyTorch, in alternation."""
    fruit, text = str(ROOT / "configs" / "fruit.yaml"), str(ROOT / "data" / "fruit.txt")
    importing = [sys.executable, "-c", "import torch"]
    rows = []

    def compare(what: str, ours: Callable[[], float], theirs: list[str], named: str, goal: str) -> None:
        a, b = by_turns(ours, lambda: seconds(theirs, folder))
        rows.append(f"| {what} | {a:.2f} s | {named} | {b:.2f} s | {a / b:.2f} | {goal} |")

    if config is not None:
        first = "Penn Treebank: from start to the first training step"
        compare(first, lambda: seconds_to_first_step(config, folder), importing, "`import torch`", "< 1")
        predict = rnncli("predict", "--run", "runs/ptb", "--seed", "the company said")
        named = "`rnncli predict` with that model"
        compare(named, lambda: seconds(predict, folder), importing, "`import torch`", "0.2")
    train = rnncli("train", fruit, "--fresh", "--quiet")
    script = [sys.executable, "-c", FRUIT_IN_TORCH, text]
    compare("fruit: from start to trained", lambda: seconds(train, folder), script, "a script in PyTorch", "< 1")
    predict_fruit = rnncli("predict", "--run", "runs/fruit", "--seed", "mango is")
    compare("`rnncli predict` (fruit)", lambda: seconds(predict_fruit, folder), importing, "`import torch`", "0.2")
    head = [
        "## Whole processes against PyTorch",
        "",
        f"From process start, medians of {TIMES}, alternately.",
        "",
        "| rnncli | | PyTorch | | of it | goal |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join(head + rows)


def measure() -> str:
    """Memory if the text is present, whole processes if PyTorch is installed."""
    with tempfile.TemporaryDirectory() as folder:
        config = write_config(folder) if (PTB / "train.txt").exists() else None
        if config is None:
            memory = "## Memory\n\nNot measured: no Penn Treebank in the folder that RNNCLI_PTB names."
        else:
            memory = memory_section(config, folder)
        if util.find_spec("torch") is None:
            return f"{memory}\n\n## Whole processes against PyTorch\n\n{WITHOUT_TORCH}"
        return f"{memory}\n\n{processes_section(config, folder)}"


if __name__ == "__main__":
    print(measure())
