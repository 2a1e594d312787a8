"""Corpora of any size: memory and speed of reading a synthetic one of 1, 10 and 100 million words, and a second start.

`python benchmarks/corpus.py encode CONFIG` reads the texts of a config and prints the seconds it took as JSON;
`measure` runs it in separate processes. The corpora are kept in RNNCLI_BENCH_CORPORA, if that is set.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import synthetic

WORDS = (1_000_000, 10_000_000, 100_000_000)
RUNS = 3
CONFIG = """\
data: {{train: {text}, mode: {mode}, tokenizer: {tokenizer}, cache: {cache}}}
vocabulary: {{max_size: 10000}}
model: {{hidden_size: 200, embedding_size: 200}}
training: {{epochs: 1, random_seed: 1}}
run: {{dir: {run}}}
"""


def encode(config: str) -> None:
    """Read the texts of a config, and print seconds and tokens."""
    from rnncli.config import corpora, yaml_file

    settings = yaml_file.read(config, [])
    started = time.perf_counter()
    texts = corpora.texts(settings)
    print(json.dumps({"seconds": time.perf_counter() - started, "tokens": texts.train.tokens}))


def process(*command: str) -> tuple[dict[str, float], float, float]:
    """The JSON that a command prints, the seconds from its start to its end, and its peak memory in MB.

    The memory is the largest of the process itself and any children.
    """
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{command} failed")
    return json.loads(printed), time.perf_counter() - started, usage.ru_maxrss / 1e3


def first_step(config: Path) -> float:
    """Seconds from the start of `rnncli train` to its first step."""
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "rnncli", "train", str(config), "--fresh", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        assert json.loads(child.stdout.readline())["event"] == "step"
        seconds = time.perf_counter() - started
        child.kill()
    return seconds


def words_a_second(path: Path) -> float:
    """How fast `wc -w` counts the words of a file; it is read once before, so that it is in memory."""
    for _ in range(2):
        started = time.perf_counter()
        counted = subprocess.run(["wc", "-w", path], capture_output=True, text=True, check=True).stdout
        seconds = time.perf_counter() - started
    return int(counted.split()[0]) / seconds


def reading(folder: Path) -> list[str]:
    rows = [
        "| words | tokenizer | MB | seconds | million words/s | goal | `wc -w` | ratio | peak memory, MB | goal |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for words, tokenizer in [*((words, "whitespace") for words in WORDS), (WORDS[-1], "words")]:
        text = folder / f"{words}.txt"
        seconds, peaks, counted = [], [], []
        for _ in range(RUNS):
            shutil.rmtree(folder / "cache", ignore_errors=True)
            result, _, peak = process(
                sys.executable, __file__, "encode", str(write_config(folder, text, "stream", tokenizer))
            )
            seconds.append(result["seconds"])
            peaks.append(peak)
            counted.append(words_a_second(text))
        took, wc = statistics.median(seconds), statistics.median(counted)
        goal = {"whitespace": (8, 600), "words": (2, 600)}[tokenizer] if words == WORDS[-1] else ("", "")
        rows.append(
            f"| {words:,} | {tokenizer} | {text.stat().st_size / 1e6:,.0f} | {took:.2f} | {words / took / 1e6:.1f} | "
            f"{goal[0]} | {wc / 1e6:.1f} | {words / took / wc:.2f} | {max(peaks):,.0f} | {goal[1]} |"
        )
    return rows


def starts(folder: Path) -> list[str]:
    """Of the largest corpus, which was encoded just before."""
    text = folder / f"{WORDS[-1]}.txt"
    rows = ["| mode | first start, s | second start, s | goal |", "|---|---|---|---|"]
    for mode in ("stream", "sentences"):
        config = write_config(folder, text, mode, "whitespace")
        shutil.rmtree(folder / "cache", ignore_errors=True)
        first = first_step(config)
        rows.append(f"| {mode} | {first:.2f} | {statistics.median(first_step(config) for _ in range(RUNS)):.2f} | 3 |")
    return rows


def write_config(folder: Path, text: Path, mode: str, tokenizer: str) -> Path:
    config = folder / "config.yaml"
    config.write_text(
        CONFIG.format(text=text, mode=mode, tokenizer=tokenizer, cache=folder / "cache", run=folder / "run")
    )
    return config


def measure() -> str:
    kept = os.environ.get("RNNCLI_BENCH_CORPORA")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(kept or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for words in WORDS:
            if not (folder / f"{words}.txt").exists():
                synthetic.write(folder / f"{words}.txt", words)
        rows, more = reading(folder), starts(folder)
        for name in ("cache", "run"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for run in folder.glob("run.*"):
            shutil.rmtree(run)
    return "\n".join(
        [
            "## Corpora",
            "",
            "Synthetic text: Zipf's law over 500,000 types, words of five letters on average, sentences of",
            "twenty (`benchmarks/synthetic.py`). Seconds from the files, which are in memory already, to the",
            "vocabulary (10,000 words kept) and the ids, hashed and synced to the disk: medians of",
            f"{RUNS}, each in a separate process; the table shows its largest resident size.",
            "`wc -w` counted the same file between the runs, in one thread.",
            "",
            *rows,
            "",
            "From the start of `rnncli train` to its first step (LSTM, H 200, V 10,000, B 20, T 35) on 100",
            "million words. A second start finds the text unchanged: it hashes all of it, and all of its ids.",
            "",
            *more,
        ]
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["encode"]:
        encode(sys.argv[2])
    else:
        print(measure())
