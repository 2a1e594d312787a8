"""A training is killed at any system call of saving or at a random time, or stopped by a signal or an error.

Every checkpoint that verifies afterwards must be correct, and `--resume` must reproduce the uninterrupted run.
"""

import re
import shutil
import signal
import statistics
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from support.recorded import Disk, checkpoints_ever, checkpoints_on, no_strace, operations, recording, traced
from support.small_run import metrics
from support.tiny import DIVERGES, Whole, assert_only_genuine, config_in, start, train_words, verified

from rnncli.runs import checkpoint_file
from rnncli.runs.folder import RunFolder

strace = pytest.mark.skipif(no_strace() is not None, reason=str(no_strace()))
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals")

ERRORS = ["ENOSPC", "EIO", "EDQUOT", "EACCES"]
RUN = "runs/tiny"  # in the traced folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Result of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    return Whole(config_in(folder), folder / "run")


@pytest.fixture(scope="module")
def saved(tmp_path_factory, whole):
    """System calls of that run, and every content that its checkpoints may have."""
    folder = tmp_path_factory.mktemp("saved")
    config, disk = config_in(folder), folder / "disk"
    disk.mkdir()
    process = start(folder, train_words(config, disk / RUN), recording(folder / "log"))
    stderr = process.communicate(timeout=100)[1]
    assert process.returncode == 0, stderr
    done = operations(folder / "log", disk)
    return SimpleNamespace(config=config, operations=done, genuine=checkpoints_ever(done, RUN), whole=whole)


def points(done):
    """[(operation, newest checkpoint before it)] for each change that a run makes in its folder."""
    disk, found, opened_to_sync = Disk(), [], set()
    for number, o in enumerate(done):
        if o.kind == "fsync":
            opened_to_sync.add(max(i for i in range(number) if done[i].kind == "open" and done[i].name == o.name))
    for number, o in enumerate(done):
        changes = o.kind not in ("open", "close", "seek") or "O_CREAT" in o.flags or number in opened_to_sync
        if changes and not o.name.endswith(".lock"):
            found.append((o, max(checkpoints_on(disk, f"{RUN}/checkpoints"), default=None)))
        disk.apply(o)
    return found


def stopped_at(saved, folder, operation, how):
    """Inject a kill, an error, or a write that reports success but writes nothing, at one operation; returns the exit
    code, stderr and the run.
    """
    folder.mkdir()
    (folder / "disk").mkdir()
    run, log = folder / "disk" / RUN, folder / "log"
    inject = {"SIGKILL": "signal=SIGKILL", "lost": f"retval={len(operation.data)}"}.get(how, f"error={how}")
    tracing = traced(log, operation.call, f"{operation.call}:{inject}:when={operation.nth}")
    process = start(folder, train_words(saved.config, run), [*tracing, "-y"])
    stderr = process.communicate(timeout=100)[1].decode()
    hit = [line for line in log.read_text().splitlines() if re.search(r"\(INJECTED\)|= \?$|<unfinished", line)]
    assert any(str(folder / "disk") in line for line in hit), f"{operation} was not hit: {hit}"
    return process.returncode, stderr, run


def check(saved, operation, newest, how, result):
    code, stderr, run = result
    what = f"{how} at {operation}"
    assert "Traceback" not in stderr, f"{what}: {stderr}"
    if how == "SIGKILL":
        assert code == -signal.SIGKILL, what
    elif operation.kind == "unlink":
        assert code in (0, 7), f"{what}: {stderr}"
    else:
        assert code == 7, f"{what}: {code} {stderr}"
        assert stderr.strip(), what
    assert_only_genuine(run, saved.genuine)
    if newest is not None:
        assert RunFolder(run).last()[0].name >= newest, what
    try:
        saved.whole.assert_resuming_reproduces_it(run)
    except AssertionError as error:
        raise AssertionError(f"{what}: {error}") from error


@strace
def test_a_kill_or_an_error_at_any_system_call_of_saving(saved, soak, tmp_path):
    everything = points(saved.operations)
    tried = [(o, newest, how) for o, newest in everything for how in ["SIGKILL", *ERRORS]]
    tried += [(o, newest, "lost") for o, newest in everything if o.kind == "write" and ".npz" in o.name]
    if not soak.full:
        hows = ["SIGKILL"] * 3 + soak.random.sample(ERRORS, 3)
        soak.random.shuffle(hows)
        hows.append("lost")
        late = [[each for each in tried if each[1] and each[2] == how] for how in hows]
        kinds = ["write", "fsync", "rename", "unlink", "open", "write", "write"]
        tried = [
            soak.random.choice([each for each in some if each[0].kind == kind] or some)
            for some, kind in zip(late, kinds, strict=True)
        ]
    soak.random.shuffle(tried)
    with ThreadPoolExecutor(2) as pool:
        stopped = [
            pool.submit(stopped_at, saved, tmp_path / str(number), operation, how)
            for number, (operation, _, how) in enumerate(tried)
        ]
        wrong = []
        for (operation, newest, how), result in zip(tried, stopped, strict=True):
            try:
                check(saved, operation, newest, how, result.result())
            except Exception as error:  # report all of them
                wrong.append(f"{how} at {operation}: {type(error).__name__}: {error}")
    soak.report(f"stopped at {dict(Counter(f'{how} {o.kind}' for o, _, how in tried))}")
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Result of a run that saves every third step and rolls back at its first, and the seconds its process takes."""
    folder = tmp_path_factory.mktemp("long")
    config = config_in(folder, **DIVERGES, epochs=20, every=3)
    began = time.monotonic()
    process = start(folder, train_words(config, folder / "timed"))
    stderr = process.communicate(timeout=100)[1]
    seconds = time.monotonic() - began
    assert process.returncode == 0, stderr
    return SimpleNamespace(config=config, seconds=seconds, whole=Whole(config, folder / "whole"))


def killed(long, run, delays):
    """Start and kill repeatedly until the run is finished or the delays are used up; returns the number of kills."""
    for kills, delay in enumerate(delays):
        process = start(run.parent, train_words(long.config, run, "--resume"))
        try:
            _, stderr = process.communicate(timeout=delay)
        except subprocess.TimeoutExpired:
            process.kill()
            _, stderr = process.communicate()
        assert b"Traceback" not in stderr, stderr.decode()
        if process.returncode != -signal.SIGKILL:
            assert process.returncode == 0, stderr.decode()
            return kills
    return len(delays)


def test_kills_at_random_times(long, soak, tmp_path):
    wanted, kills, runs = soak.times(3, 500), 0, 0
    with ThreadPoolExecutor(2) as pool:
        while kills < wanted:
            at_once = range(runs, runs + soak.times(1, 2))
            delays = [[soak.random.uniform(0, 1) * long.seconds for _ in range(min(wanted, 12))] for _ in at_once]
            folders = [tmp_path / f"run-{number}" for number in at_once]
            for run, count in zip(folders, pool.map(killed, [long] * len(folders), folders, delays), strict=True):
                kills, runs = kills + count, runs + 1
                long.whole.assert_resuming_reproduces_it(run)
                shutil.rmtree(run)
    soak.report(f"{kills} kills at random times, {runs} runs resumed to the same end")


def rows_written(run):
    """Number of complete rows in metrics.jsonl."""
    path = run / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_until(happened, process):
    while not happened():
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)


@pytest.mark.alone
def test_sigterm_leaves_a_checkpoint_of_the_last_step(soak, tmp_path):
    config, latencies = config_in(tmp_path, optimizer="adam", rate=0.01, epochs=1000000, every=1000000), []
    for number in range(soak.times(1, 30)):
        run = tmp_path / f"run-{number}"
        process = start(tmp_path, train_words(config, run))
        rows = soak.random.randint(1, 400)
        wait_until(lambda run=run, rows=rows: rows_written(run) >= rows, process)
        began = time.monotonic()
        process.terminate()
        _, stderr = process.communicate(timeout=100)
        latencies.append(time.monotonic() - began)
        assert process.returncode == 143, stderr.decode()
        last = RunFolder(run).checkpoints()[-1]
        checkpoint_file.verify(last)
        assert metrics(run)[-1]["step"] == int(last.stem.removeprefix("step-"))
    soak.report(
        f"SIGTERM to a durable checkpoint and exit, {len(latencies)} times: "
        f"median {statistics.median(latencies):.3f} s, longest {max(latencies):.3f} s"
    )


# Runs the command line on a disk that, once a checkpoint exists, takes an hour to sync a temporary file, and prints
# "syncing" when that starts.
SLOW_DISK = """
import os, sys, time
from pathlib import Path
real, folder = os.fsync, Path(sys.argv.pop(1), "checkpoints")

def fsync(descriptor):
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    if any(name.startswith("step-") for name in names) and any(name.startswith(".") for name in names):
        print("syncing", flush=True)
        time.sleep(3600)
    real(descriptor)

os.fsync = fsync
from rnncli.cli import main
main()
"""


@pytest.mark.parametrize(("first", "second"), [("SIGTERM", "SIGTERM"), ("SIGUSR1", "SIGINT")])
def test_a_second_signal_while_a_checkpoint_is_saved_exits_at_once(whole, tmp_path, first, second):
    config, run = config_in(tmp_path), tmp_path / "run"
    process = start(tmp_path, [run, *train_words(config, run)], program=("-c", SLOW_DISK))
    assert process.stdout.readline() == b"syncing\n"
    before = {path.name: path.read_bytes() for path in verified(run)}
    assert before
    process.send_signal(getattr(signal, first))
    time.sleep(0.1)  # two pending signals of the same kind are merged into one
    process.send_signal(getattr(signal, second))
    _, stderr = process.communicate(timeout=100)
    assert process.returncode in {128 + getattr(signal, second), 128 + getattr(signal, first)}, stderr.decode()
    assert b"Traceback" not in stderr
    assert {path.name: path.read_bytes() for path in verified(run)} == before
    whole.assert_resuming_reproduces_it(run)
