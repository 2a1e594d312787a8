"""Measure everything and write RESULTS.md: `make bench`. `python benchmarks/run.py speed book` prints some sections.

Each section is a module here with `measure() -> str`, which returns the results and how to repeat them as Markdown.
"""

import datetime
import platform
import sys
from importlib import import_module
from pathlib import Path

from rnncli.system import blas

SECTIONS = ("startup", "speed", "kernels", "memory", "outputs", "recipes", "corpus", "batches", "saving", "book")
HERE = Path(__file__).parent


def processor() -> str:
    """The name of the processor that the system reports."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.machine()


def results(sections: list[str]) -> str:
    """The machine, and the results of these sections."""
    versions = ", ".join(f"{name} {value}" for name, value in blas.describe().items() if value is not None)
    head = [
        "# Results",
        "",
        "Written by `make bench`. The machine is shared: times vary by some 10 % from run to run.",
        "",
        f"- machine: {processor()}, {platform.system()}",
        f"- versions and threads: {versions}",
        f"- date: {datetime.date.today()}",
    ]
    bodies = []
    for name in sections:
        print(f"measuring {name} ...", file=sys.stderr)
        bodies += ["", import_module(name).measure()]
    return "\n".join(head + bodies) + "\n"


if __name__ == "__main__":
    if sys.argv[1:]:
        print(results(sys.argv[1:]))
    else:
        (HERE / "RESULTS.md").write_text(results(list(SECTIONS)))
