"""`rnncli selftest`: the result, the figures, and the remaining files."""

import json
import re
import signal
import tempfile
import time

import numpy as np
import pytest
from proof import test_selftest

from rnncli.proof.selftest import checks


@pytest.fixture
def temporary(work, monkeypatch):
    """The folder in which temporary ones are made; the current one is beside it."""
    folder, here = work / "temporary", work / "here"
    folder.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_rnncli_works_on_this_machine(rnncli, temporary, work):
    result = rnncli("selftest")
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    facts, *rows, verdict = result.stdout.splitlines()
    assert f"numpy {np.__version__}, " in facts
    assert [row.split()[0] for row in rows] == list(checks.CHECKS)
    assert all(re.search(r" ok +\d+\.\d s$", row) for row in rows)
    assert max(map(len, rows)) <= 80
    assert re.fullmatch(r"rnncli works on this machine: 8 checks passed in \d+\.\d s", verdict)
    assert sorted(work.rglob("*")) == [work / "here", temporary]


@pytest.fixture
def with_a_fault(monkeypatch):
    """A selftest of few checks, of a program that believes every checkpoint."""
    fault, name, _ = test_selftest.FAULTS["credulous"]
    monkeypatch.setattr(checks, "own", lambda: test_selftest.broken(fault))
    monkeypatch.setattr(checks, "CHECKS", {each: checks.CHECKS[each] for each in ("train", name)})


def test_json(rnncli, temporary, with_a_fault):
    result = rnncli("selftest", "--json")
    assert result.exit_code == 5
    found = json.loads(result.stdout)
    assert found.keys() == {"passed", "seconds", "machine", "folder", "checks"}
    assert (found["passed"], found["machine"]["numpy"]) == (False, np.__version__)
    assert [each["passed"] for each in found["checks"]] == [True, False]
    assert found["checks"][1].keys() == {"name", "passed", "seen", "expected", "seconds"}
    assert [str(each) for each in temporary.iterdir()] == [found["folder"]]


def test_the_verdict_on_a_broken_program(rnncli, temporary, with_a_fault):
    result = rnncli("selftest")
    assert result.exit_code == 5
    assert "FAILED" in result.stdout.splitlines()[-1]
    assert "works" not in result.stdout
    [kept] = temporary.iterdir()
    assert result.stderr.splitlines() == [
        "rnncli FAILED on this machine, 1 of 2 checks:",
        "  damage: expected a damaged checkpoint refused with exit code 5; "
        "seen: inspect ended with exit code 0: nothing on stderr",
        f"its files are kept in {kept}",
    ]


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_leaves_nothing(start, work, name, code):
    process = start("selftest", TMPDIR=str(work))
    deadline = time.monotonic() + 60
    while not list(work.glob("*/whole/metrics.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(getattr(signal, name))
    _, stderr = process.communicate()
    assert (process.returncode, stderr) == (code, b"stopped before the last check\n")
    assert list(work.iterdir()) == []
