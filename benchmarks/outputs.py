"""Perplexity with each output layer and with lazy_adam: the same model, recipe and epochs.

The Penn Treebank (RNNCLI_PTB) with its 10,000 words, and War and Peace (RNNCLI_BOOK) with its whole vocabulary. Runs
are kept in the folder in RNNCLI_BENCH_RUNS, by default `runs` beside this file: finished ones are not trained again,
stopped ones are resumed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "shared" / "data"
RUNS = Path(os.environ.get("RNNCLI_BENCH_RUNS", HERE / "runs"))
# Texts by name: folder with train.txt and valid.txt, settings, epochs, and how many of VARIANTS to train.
TEXTS = {
    "ptb": (Path(os.environ.get("RNNCLI_PTB", DATA / "ptb")), [], 6, 4),
    "book": (Path(os.environ.get("RNNCLI_BOOK", DATA / "war-and-peace")), ["data.line_end=false"], 3, 3),
}
RECIPE = """\
data: {train: TRAIN, valid: VALID, mode: stream}
vocabulary: {unknown: true}
model: {cell: lstm, layers: 2, hidden_size: 200, embedding_size: 200}
optimizer: {learning_rate: 0.002}
training: {batch_size: 20, bptt: 35, random_seed: 1}
"""
VARIANTS = {
    "full": [],
    "adaptive": ["model.output=adaptive"],
    "sampled": ["model.output=sampled"],
    "adaptive, lazy_adam": ["model.output=adaptive", "optimizer.name=lazy_adam"],
}


def trained(text: str, variant: str) -> list[dict[str, float]]:
    """The rows of a run's epochs; the run is trained first unless it is finished."""
    folder, settings, epochs, _ = TEXTS[text]
    run = RUNS / f"{text}-{variant.replace(', ', '-')}"
    RUNS.mkdir(parents=True, exist_ok=True)
    config = RUNS / f"{text}.yaml"
    config.write_text(RECIPE.replace("TRAIN", str(folder / "train.txt")).replace("VALID", str(folder / "valid.txt")))
    settings = [*settings, *VARIANTS[variant], f"training.epochs={epochs}", f"run.dir={run}"]
    command = [sys.executable, "-m", "rnncli", "train", str(config), "--resume", "--quiet"]
    subprocess.run([*command, *(word for each in settings for word in ("--set", each))], check=True)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["event"] == "epoch"][:epochs]


def measure() -> str:
    """Validation perplexity by epoch, of each variant on each text."""
    lines = [
        "## Output layers: perplexity",
        "",
        "Validation perplexity after each epoch: LSTM, 2 layers, D = H = 200, T 35, B 20, Adam at 0.002, no dropout,",
        "the defaults of each output layer. `python benchmarks/run.py outputs` repeats it; finished runs in its",
        "folder are reported, not trained again.",
    ]
    for text, (folder, _, epochs, variants) in TEXTS.items():
        if not (folder / "train.txt").exists():
            lines += ["", f"{text}: not measured, there is no train.txt in its folder."]
            continue
        title = {"ptb": "Penn Treebank, V 10,000", "book": "War and Peace, every word of the training text"}[text]
        numbers = " | ".join(str(epoch) for epoch in range(1, epochs + 1))
        lines += ["", f"| {title} | {numbers} | last, against `full` |", "|---|" + "---|" * (epochs + 1)]
        last: dict[str, float] = {}
        for variant in list(VARIANTS)[:variants]:
            perplexities = [row["valid_perplexity"] for row in trained(text, variant)]
            last[variant] = perplexities[-1]
            cells = " | ".join(f"{perplexity:.1f}" for perplexity in perplexities)
            lines.append(f"| {variant} | {cells} | {100 * (last[variant] / last['full'] - 1):+.1f} % |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(measure())
