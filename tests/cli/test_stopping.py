"""How `train` is stopped: by signals before there is anything to save, by a time limit, by a reader that leaves."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from rnncli.runs import checkpoint_file
from rnncli.runs.folder import RunFolder
from rnncli.training.step import Learner


def newest(path="runs/fruit"):
    return RunFolder(Path(path)).checkpoints()[-1]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("words", [[], ["--resume"], ["--dry-run"]], ids=str)
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGUSR1", 0)])
def test_a_signal_while_the_text_is_read(start, work, name, code, words):
    os.mkfifo("text.txt")
    Path("config.yaml").write_text("data: {train: text.txt}\n")
    there = sorted(work.rglob("*"))
    process = start("train", "config.yaml", *words)
    with open("text.txt", "wb", buffering=0) as text:  # opened as soon as the command opens it
        text.write(b"mango is yellow\n")
        process.send_signal(getattr(signal, name))
        # Python hears of a signal that came just before it began to wait when it has read a block, and not before.
        with suppress(BrokenPipeError):
            text.write(b"mango is yellow\n" * 3000)
        stdout, stderr = process.communicate()
    assert process.returncode == code
    assert (stdout, stderr) == (b"", b"stopped before the first step\n")
    assert sorted(work.rglob("*")) == there


@pytest.mark.parametrize(("name", "code"), [("SIGHUP", 129), ("SIGXCPU", 152), ("SIGUSR2", 140)])
def test_a_signal_that_ends_other_programs_saves(rnncli, fruit_config, monkeypatch, name, code):
    step = Learner.step_

    def signalled(self, batch, number, *rest, **more):
        if number == 3:
            os.kill(os.getpid(), getattr(signal, name))
        return step(self, batch, number, *rest, **more)

    monkeypatch.setattr(Learner, "step_", signalled)
    result = rnncli("train", fruit_config, "--json")
    assert result.exit_code == code
    done = json.loads(result.stdout.splitlines()[-1])
    assert (done["reason"], done["steps"]) == (name, 3)
    assert checkpoint_file.verify(newest())["step"] == 3


ON_A_TERMINAL = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from rnncli.cli import main
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a terminal of its own")
def test_a_closed_terminal_saves(fruit_config):
    (ours, theirs), rows = os.openpty(), RunFolder(Path("runs/fruit")).metrics
    words = [sys.executable, "-c", ON_A_TERMINAL, "train", fruit_config, "--epochs", "1000000"]
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        while not (rows.exists() and rows.stat().st_size):
            time.sleep(0.01)
            assert process.poll() is None
        os.close(ours)
        try:
            assert process.wait(60) == 129
        finally:
            process.kill()
    assert checkpoint_file.verify(newest())["step"] > 0


SMALL = ("--set", "training.batch_size=1", "--set", "data.valid=data/fruit.txt", "--epochs", 3)


def test_a_time_limit_of_nothing_gets_to_the_end_step_by_step(rnncli, fruit_config):
    done = {"reason": "max_time", "steps": 0}
    while done["reason"] == "max_time":
        result = rnncli("train", fruit_config, *SMALL, "--max-time", "0s", "--resume", "--json")
        assert result.exit_code == 0
        before, done = done, json.loads(result.stdout.splitlines()[-1])
        assert done["steps"] > before["steps"] or (done["reason"] == "epochs" and done["steps"] == 9)
    assert (done["reason"], done["epochs"], done["steps"]) == ("epochs", 3, 9)
    rnncli("train", fruit_config, *SMALL, "--set", "run.dir=whole")
    assert newest().read_bytes() == newest("whole").read_bytes()


def resume_command(stderr):
    [line] = [line for line in stderr.splitlines() if line.startswith("stopped by max_time; resume with: ")]
    return shlex.split(line.partition(": ")[2])


def test_the_resume_command_keeps_all_but_the_time_limit(start, fruit_config):
    words = ["--set", "model.hidden_size=4", "--set", "training.max_time=0s", "--threads", 1]
    for more in ([], ["--max-time", "0s", "--epochs", 2]):
        process = start("train", fruit_config, *words, *more, "--resume")
        stderr = process.communicate()[1].decode()
        assert process.returncode == 0
        command = resume_command(stderr)
        lasting = ["--set", "training.epochs=2"] if more else []
        kept = ["--set", "model.hidden_size=4", *lasting, "--threads", "1"]
        assert command == ["rnncli", "train", fruit_config, *kept, "--resume"]
    process = start(*command[1:])
    process.communicate()
    assert process.returncode == 0
    assert checkpoint_file.verify(newest())["epoch"] == 2


@pytest.mark.parametrize(("words", "reader"), [("--json", "head -1"), ("", "true")], ids=["head", "true"])
def test_a_reader_that_leaves_early_stops_nothing(rnncli, fruit_config, words, reader):
    """`train --json | head -1`: the run continues, and its end is saved."""
    train = f"{shlex.quote(sys.executable)} -m rnncli train {fruit_config} --epochs 300 {words}"
    command = f"({train}; echo $? > code) | {reader}"
    result = subprocess.run(["sh", "-c", command], capture_output=True, check=True)
    assert b"Traceback" not in result.stderr
    assert b"Exception ignored" not in result.stderr
    if reader == "head -1":
        assert json.loads(result.stdout)["step"] == 1
    assert Path("code").read_text() == "0\n"
    assert newest().name == "step-00000300.npz"
    rnncli("train", fruit_config, "--epochs", 300, "--set", "run.dir=whole")
    assert newest().read_bytes() == newest("whole").read_bytes()
