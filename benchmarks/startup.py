"""Run time of whole commands, from process start to end, medians of several."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIMES = 15


def seconds(arguments: list[str], folder: str) -> float:
    """Wall-clock seconds of one `rnncli` process."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "rnncli", *arguments], cwd=folder, env=environment, check=True, capture_output=True
    )
    return time.perf_counter() - started


def measure() -> str:
    """Medians of TIMES runs (of 3 for gradcheck)."""
    config = str(ROOT / "configs" / "fruit.yaml")
    with tempfile.TemporaryDirectory() as folder:
        seconds(["train", config], folder)
        commands = [
            ("rnncli --help", ["--help"], TIMES),
            ('rnncli predict --seed "mango is" (fruit)', ["predict", "--seed", "mango is"], TIMES),
            ("rnncli evaluate data/fruit.txt", ["evaluate", str(ROOT / "data" / "fruit.txt")], TIMES),
            ("rnncli train configs/fruit.yaml", ["train", config, "--fresh"], TIMES),
            ("rnncli gradcheck (standard set)", ["gradcheck"], 3),
        ]
        rows = [
            f"| `{name}` | {statistics.median(seconds(arguments, folder) for _ in range(times)):.2f} s |"
            for name, arguments, times in commands
        ]
    head = ["## Whole commands", "", "From process start to its end, medians.", "", "| command | time |", "|---|---|"]
    return "\n".join(head + rows)
