"""`rnncli selftest`: check training, resuming and gradients on this machine."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from rnncli.cli.options import json_option, notify, print_json, say
from rnncli.system.signals import Signals, Stopped

if TYPE_CHECKING:
    from pathlib import Path

    from rnncli.proof.selftest import Check

WORDS = {True: "ok", False: "FAILED", None: "not checked"}


@click.command()
@json_option
def selftest(as_json: bool) -> None:
    """Test rnncli on this machine: about 10 seconds, without network; temporary files are removed.

    \b
    Examples:
      rnncli selftest
      TMPDIR=/mnt/shared rnncli selftest     on the disk that your runs will use

    A tiny model is trained in a temporary folder (train), trained again (repeat), killed in mid-epoch and resumed
    (kill), stopped by SIGTERM and by SIGINT and resumed (stop), each with the same bytes as result; a checkpoint with
    a flipped bit must be refused (damage), and so must a second train on a run in progress (lock); probabilities must
    sum to 1 (predict), and every gradient must equal its numerical derivative (gradcheck).

    Exit code 6 if a number is wrong (repeat, kill, stop, predict or gradcheck failed), 5 if another check failed.
    The folder of a failed selftest is kept.

    \b
    JSON: {"passed", "seconds", "machine" (versions, BLAS, its kernel, threads), "folder" (null, or the one kept),
    "checks": [{"name", "passed" (null: could not be checked here), "seen", "expected", "seconds"}]}
    """
    from rnncli.errors import NumericalError
    from rnncli.proof.selftest import Selftest
    from rnncli.system import blas

    facts, test, started = blas.describe(), Selftest(), time.monotonic()
    checks: list[Check] = []
    if not as_json:
        say(", ".join(f"{name} {value}" for name, value in facts.items() if value is not None))
    with Signals():
        try:
            with closing(test.checks()) as made:
                for check in made:
                    checks.append(check)
                    if not as_json:
                        _print(check)
        except Stopped:
            notify("stopped before the last check")
            raise
    seconds, failed = time.monotonic() - started, [check for check in checks if check.passed is False]
    if as_json:
        print_json(_document(checks, facts, seconds, test.kept))
    elif not failed:
        count = sum(check.passed is True for check in checks)
        say(f"rnncli works on this machine: {count} checks passed in {seconds:.1f} s")
    if failed:
        wrong = "".join(f"\n  {check.name}: expected {check.expected}; seen: {check.seen}" for check in failed)
        error = NumericalError if any(check.error is NumericalError for check in failed) else failed[0].error
        raise error(
            f"rnncli FAILED on this machine, {len(failed)} of {len(checks)} checks:{wrong}\n"
            f"its files are kept in {test.kept}"
        )


def _print(check: Check) -> None:
    say(f"{check.name:9}  {check.seen:53}  {WORDS[check.passed]:6}  {check.seconds:4.1f} s")


def _document(checks: list[Check], facts: dict[str, Any], seconds: float, kept: Path | None) -> dict[str, Any]:
    rows = [{name: value for name, value in asdict(check).items() if name != "error"} for check in checks]
    head = {"passed": all(check.passed is not False for check in checks), "seconds": seconds, "machine": facts}
    return head | {"folder": None if kept is None else str(kept), "checks": rows}
