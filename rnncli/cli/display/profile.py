"""Display of a training profile: a table of the sections of a step."""

from __future__ import annotations

from typing import Any

from rnncli.cli.display.table import print_table
from rnncli.cli.options import say


def print_profile(report: dict[str, Any]) -> None:
    """Print the result of `StepProfile.report`."""
    step = {"name": "a step", "milliseconds": report["milliseconds"], "percent": 100.0, "gflops": report["gflops"]}
    rows = [["section", "ms", "%", "GFLOP/s"]]
    for section in [*report["sections"], step]:
        rate = "" if section["gflops"] is None else f"{section['gflops']:,.1f}"
        rows.append([section["name"], f"{section['milliseconds']:,.3f}", f"{section['percent']:.1f}", rate])
    say(f"\nmean of {report['steps']:,} steps:")
    print_table(rows, right="123")
