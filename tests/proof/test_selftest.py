"""The selftest finds faults in the program; tests/cli/test_selftest.py tests that a correct program passes."""

import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from rnncli.errors import NumericalError, RunError, WriteError
from rnncli.proof.selftest import Selftest
from rnncli.proof.selftest.checks import CHECKS
from rnncli.proof.selftest.program import own

# Changes made to rnncli before it starts, the check that must find each, and its message.
FAULTS = {
    "an exit code": ("raise SystemExit(3)", "train", "train ended with exit code 3: nothing on stderr"),
    "no program": (None, "train", "cannot be started"),
    "chance": ("if 'run.dir=again' in words: words += ['--random-seed', '2']", "repeat", "again: "),
    "forgotten moments": (
        "from rnncli.training.trainer import Trainer; resume = Trainer.resume\n"
        "def forget(self, path):\n    resume(self, path)\n    [m.fill(0) for m in self.optimizer.moments.values()]\n"
        "Trainer.resume = forget",
        "kill",
        "arrays differ, parameter.",
    ),
    "rows twice": (
        "from rnncli.runs import metrics; metrics._until = lambda rows, progress: rows",
        "kill",
        "metrics.jsonl:",
    ),
    "deaf": ("import signal; signal.signal = lambda *given: None", "stop", "SIGTERM at step"),
    "leaving without saving": (
        "from rnncli.system.signals import Signals; Signals.defer = lambda self: None",
        "stop",
        "left no checkpoint of that step",
    ),
    "credulous": ("if words[0] == 'inspect': raise SystemExit(0)", "damage", "inspect ended with exit code 0"),
    "strict": ("if words[0] == 'inspect': raise SystemExit(5)", "damage", "inspect ended with exit code 5"),
    "no lock": (
        "from rnncli.system import disk; disk.lock = lambda *given, **more: True",
        "lock",
        "train ended with exit code ",
    ),
    "probabilities": (
        "from rnncli.system import json_text; dumps = json_text.dumps\n"
        "json_text.dumps = lambda *content, **options: dumps(*content, **options).replace('0.0', '0.1')",
        "predict",
        "probabilities of a next word sum to ",
    ),
    "no JSON": ("if words[0] == 'predict': print('sun'); raise SystemExit(0)", "predict", "Expecting value"),
    "a gradient": (
        "from rnncli.proof import gradcheck; cell = type(gradcheck.CELLS['lstm']); backward = cell.backward_\n"
        "def wrong(self, p, g, *rest):\n    result = backward(self, p, g, *rest)\n    g['ba'][0] *= 1.001\n"
        "    return result\n"
        "cell.backward_ = wrong; gradcheck.standard_cases = lambda: [gradcheck.small('lstm', 1, True, 'stream')]",
        "gradcheck",
        "gradcheck ended with exit code 6: gradcheck failed for 1 of",
    ),
}


def broken(fault):
    """The command that starts an rnncli with a fault."""
    if fault is None:
        return ["/nowhere/rnncli"]
    *start, program = own()
    path, main = program.split("; from rnncli.cli")
    return [*start, f"{path}; words = sys.argv[1:]\n{fault}\nsys.argv[1:] = words\nfrom rnncli.cli{main}"]


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary folders."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("fault", "name", "seen"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_found(temporary, fault, name, seen):
    test = Selftest(broken(fault), dict.fromkeys(["train", name]))
    *before, found = test.checks()
    assert all(check.passed for check in before)
    assert (found.name, found.passed) == (name, False)
    assert seen in found.seen
    assert found.error is CHECKS[name][1]
    assert list(temporary.iterdir()) == [test.kept]
    assert (test.kept / "config.yaml").exists()


def test_checks_that_need_a_run_are_skipped_without_one(temporary):
    test = Selftest(broken("raise SystemExit(3)"), [name for name in CHECKS if name != "gradcheck"])
    first, *others = test.checks()
    assert (first.name, first.passed) == ("train", False)
    assert {check.passed for check in others} == {None}
    assert {check.seen for check in others} == {"needs the run of train"}


def test_which_error_a_failure_is():
    of_numbers = {name for name, (_, error, _) in CHECKS.items() if error is NumericalError}
    assert of_numbers == {"repeat", "kill", "stop", "predict", "gradcheck"}
    assert {error for _, error, _ in CHECKS.values()} == {NumericalError, RunError}


def test_a_selftest_that_is_left_leaves_nothing(temporary, monkeypatch):
    started, start = [], subprocess.Popen.__init__

    def note(self, *given, **more):
        start(self, *given, **more)
        started.append(self)

    monkeypatch.setattr(subprocess.Popen, "__init__", note)
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    test = Selftest(sleeper, ["gradcheck"])
    with closing(test.checks()) as checks:
        monkeypatch.setattr(test, "_check", lambda *given: "here")
        assert next(checks) == "here"
        assert started[0].poll() is None
    assert started[0].poll() is not None
    assert list(temporary.iterdir()) == []


def test_no_room_for_the_temporary_folder(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    with pytest.raises(WriteError, match=r"cannot make a temporary folder.*TMPDIR"):
        next(Selftest().checks())


def test_the_program_is_this_one_in_any_folder(tmp_path):
    asked = [*own()[:2], own()[2].replace("main(prog_name='rnncli')", "print(main.__module__, sys.path)")]
    printed = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert printed.startswith("rnncli.cli [")
    assert str(Path(__file__).parents[2]) in printed or "site-packages" in printed
