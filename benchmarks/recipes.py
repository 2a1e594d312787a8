"""Test perplexity of known recipes on the Penn Treebank (RNNCLI_PTB), beside the figures that their sources report.

Runs are kept in the folder in RNNCLI_BENCH_RUNS, by default `runs` beside this file: finished ones are not trained
again, stopped ones are resumed. Each takes 10 to 20 minutes.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PTB = Path(os.environ.get("RNNCLI_PTB", HERE.parent.parent / "shared" / "data" / "ptb"))
RUNS = Path(os.environ.get("RNNCLI_BENCH_RUNS", HERE / "runs"))


@dataclass(frozen=True)
class Recipe:
    """A config without its texts, and the test perplexity that its source reports."""

    title: str
    published: float | None
    config: str


# A loss here is a mean over the words of a window; that of Zaremba et al. is a sum over its 20 steps, so that their
# learning rate 1 and norm 5 are 20 and 0.25.
RECIPES = {
    "zaremba": Recipe(
        "Zaremba et al. 2014, small: 2 x 200, SGD 1.0, halved every epoch after the fourth, 13 epochs",
        114.5,
        """\
model: {layers: 2, hidden_size: 200, embedding_size: 200}
optimizer: {name: sgd, learning_rate: 20, clip_norm: 0.25, schedule: {name: step, gamma: 0.5, after: 4}}
training: {epochs: 13, batch_size: 20, bptt: 20, random_seed: 1}
""",
    ),
    "tied": Recipe(
        "2 x 300, tied, dropout 0.25 / 0.25 / 0.4, masks of a window, Adam 0.004, cosine, 10 epochs (PyTorch: 37 min)",
        97.6,
        """\
model: {layers: 2, hidden_size: 300, embedding_size: 300, tied: true}
dropout: {input: 0.25, hidden: 0.25, output: 0.4}
optimizer: {learning_rate: 0.004, clip_norm: 1.0, schedule: {name: cosine, warmup: 0.02}}
training: {epochs: 10, batch_size: 20, bptt: 35, random_seed: 1}
""",
    ),
    "residual": Recipe(
        "the same with residual connections, and with an adaptive softmax",
        None,
        """\
model:
  {layers: 2, hidden_size: 300, embedding_size: 300, tied: true, residual: true, output: {name: adaptive, head: 0.15}}
dropout: {input: 0.25, hidden: 0.25, output: 0.4}
optimizer: {learning_rate: 0.004, clip_norm: 1.0, schedule: {name: cosine, warmup: 0.02}}
training: {epochs: 10, batch_size: 20, bptt: 35, random_seed: 1}
""",
    ),
    "quarter": Recipe(
        "2 x 400, tied, residual, adaptive, dropout 0.3 / 0.3 / 0.4, Adam 0.004, cosine, 11 epochs",
        None,
        """\
model: {layers: 2, hidden_size: 400, embedding_size: 400, tied: true, residual: true, output: adaptive}
dropout: {input: 0.3, hidden: 0.3, output: 0.4}
optimizer: {learning_rate: 0.004, clip_norm: 1.0, schedule: {name: cosine, warmup: 0.02}}
training: {epochs: 11, batch_size: 20, bptt: 35, random_seed: 1}
""",
    ),
}


def trained(name: str) -> list[dict[str, float]]:
    """The rows of a run; it is trained first unless it is finished."""
    RUNS.mkdir(parents=True, exist_ok=True)
    config, run = RUNS / f"ptb-{name}.yaml", RUNS / f"ptb-{name}"
    texts = ", ".join(f"{key}: {PTB / f'{key}.txt'}" for key in ("train", "valid", "test"))
    config.write_text(f"data: {{{texts}, mode: stream}}\n{RECIPES[name].config}")
    command = [sys.executable, "-m", "rnncli", "train", str(config), "--resume", "--quiet", "--set", f"run.dir={run}"]
    subprocess.run(command, check=True)
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def measure() -> str:
    """The table of recipes."""
    lines = [
        "## Recipes on the Penn Treebank",
        "",
        "`python benchmarks/run.py recipes`: validation and test perplexity of the best epoch, and minutes in training",
        "steps; finished runs in its folder are reported, not trained again.",
        "",
        "| recipe | published, test | valid | test | minutes |",
        "|---|---|---|---|---|",
    ]
    if not (PTB / "train.txt").exists():
        return "\n".join([*lines[:3], "Not measured: there is no train.txt in its folder."])
    for name, recipe in RECIPES.items():
        rows = trained(name)
        epochs = [row for row in rows if row["event"] == "epoch"]
        best = min(row["valid_perplexity"] for row in epochs)
        minutes = sum(row["seconds"] for row in epochs) / 60
        cells = f"{recipe.published or 'none'} | {best:.1f} | {rows[-1]['perplexity']:.1f} | {minutes:.0f}"
        lines.append(f"| {recipe.title} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(measure())
