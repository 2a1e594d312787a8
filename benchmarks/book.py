"""A novel, from raw text to a model: configs/book.yaml on War and Peace, if the text is present.

Needs train.txt and valid.txt, the first 90 and the next 5 percent of the lines, in ../shared/data/war-and-peace beside
the repository or in the folder in RNNCLI_BOOK.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOOK = Path(os.environ.get("RNNCLI_BOOK", ROOT.parent / "shared" / "data" / "war-and-peace"))
SEED = "the emperor said"


def rnncli(arguments: list[str], folder: str) -> str:
    command = [sys.executable, "-m", "rnncli", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def measure() -> str:
    """Perplexities by epoch, words/s, peak memory, and a prediction from SEED."""
    title = "## A novel: `configs/book.yaml`"
    if not (BOOK / "train.txt").exists():
        return f"{title}\n\nNot measured: no text in the folder that RNNCLI_BOOK names."
    texts = ["--set", f"data.train={BOOK / 'train.txt'}", "--set", f"data.valid={BOOK / 'valid.txt'}"]
    with tempfile.TemporaryDirectory() as folder:
        out = rnncli(["train", str(ROOT / "configs" / "book.yaml"), *texts, "--json"], folder)
        events = [json.loads(line) for line in out.splitlines()]
        prediction = rnncli(["predict", "--seed", SEED, "--top", "8", "--random-seed", "1", "--words", "25"], folder)
    done, epochs = events[-1], [event for event in events if event["event"] == "epoch"]
    lines = [
        title,
        "",
        "War and Peace (the Maudes' translation, public domain), 90 % of the lines to train on, the next 5 % to",
        "validate. Repeat it with",
        "`rnncli train configs/book.yaml --set data.train=train.txt --set data.valid=valid.txt`.",
        "",
        "| epoch | train perplexity | valid perplexity |",
        "|---|---|---|",
    ]
    lines += [f"| {e['epoch']} | {e['perplexity']:.1f} | {e['valid_perplexity']:.1f} |" for e in epochs]
    lines += [
        "",
        f"{done['words_per_second']:,.0f} words/s (median over steps), {done['peak_memory'] / 1e6:,.0f} MB at most.",
        "",
        f"`rnncli predict --seed {SEED!r}`:",
        "",
        "```",
        prediction.rstrip(),
        "```",
    ]
    return "\n".join(lines)
