"""Power cuts: record a training that saves, and resume from each state of the disk that a power cut may leave.

Data written since a file's last fsync may be lost, whole or in part, and so may each name created, changed or removed
since its folder's last fsync, in any order. A checkpoint that was durable before the cut must still be there.
"""

import json
import shutil
from contextlib import suppress
from types import SimpleNamespace

import pytest
from support.recorded import (
    CUTS,
    RANDOM_CUTS,
    Disk,
    Draw,
    build,
    checkpoints_ever,
    durable_on,
    no_strace,
    operations,
    recording,
)
from support.small_run import TIMINGS
from support.tiny import DIVERGES, Whole, assert_only_genuine, config_in, start, train_words, verified

from rnncli.errors import RnncliError, RunError
from rnncli.runs import checkpoint_file
from rnncli.runs.folder import RunFolder

pytestmark = pytest.mark.skipif(no_strace() is not None, reason=str(no_strace()))

RUN = "runs/tiny"  # in a folder that existed before


@pytest.fixture(scope="module", params=[2, 1000], ids=["guards", "none"])
def recorded(tmp_path_factory, request):
    """A training on an empty disk, stopped and resumed: its operations there, and every checkpoint it wrote."""
    folder = tmp_path_factory.mktemp("recorded")
    config, disk = config_in(folder, **DIVERGES, keep=1, every=4, guard=request.param), folder / "disk"
    disk.mkdir()
    done = []
    for words in (["--epochs", 1], ["--resume"]):
        log = folder / f"log{len(done)}"
        process = start(folder, train_words(config, disk / RUN, *words), recording(log))
        stderr = process.communicate(timeout=100)[1]
        assert process.returncode == 0, stderr
        done += operations(log, disk)
    return SimpleNamespace(operations=done, genuine=checkpoints_ever(done, RUN), whole=Whole(config, folder / "whole"))


def durable_checkpoints(operations):
    """After each operation: the newest durable checkpoint, or None."""
    disk, newest = Disk(), []
    for operation in operations:
        disk.apply(operation)
        newest.append(max(durable_on(disk, f"{RUN}/checkpoints"), default=None))
    return newest


def cuts(operations, random, drawn, obeys=None):
    """(state, newest durable checkpoint, description of the cut) after each operation, each state once: every cut of
    `CUTS`, and `drawn` random ones.
    """
    disk, seen = Disk(obeys) if obeys else Disk(), set()
    for operation, newest in zip(operations, durable_checkpoints(operations), strict=True):
        disk.apply(operation)
        if operation.kind in ("seek", "close"):
            continue
        ways = CUTS + [random.choice(RANDOM_CUTS) for _ in range(drawn)]
        for names, data in ways:
            state = disk.after_a_cut(Draw(names, data, random))
            known = frozenset(state.items())
            if (known, newest) not in seen:
                seen.add((known, newest))
                yield state, newest, f"after {operation}: names {names}, data {data}"


def fault_of(state, newest, recorded, folder):
    """Fault of a state, built in this folder, or None."""
    folder.mkdir()
    build(state, folder)
    run = folder / RUN
    try:
        assert_only_genuine(run, recorded.genuine)
        last = RunFolder(run).last()
    except (AssertionError, RunError) as error:
        return str(error)
    if newest is not None and (last is None or last[0].name < newest):
        return f"{newest} was durable, and the last is {last and last[0].name}"
    if last is None:
        return None
    meta = checkpoint_file.verify(last[0])
    best = RunFolder(run).checkpoint_at(meta["best_step"] or 0)
    if meta["best_step"] and best not in verified(run):
        return f"{last[0].name} exists, but {best.name}, the best checkpoint it names, does not"
    wanted = [row for row in recorded.whole.metrics if _is_of(row, meta)]
    if rows(run)[: len(wanted)] != wanted:
        return f"{last[0].name} exists, but rows of metrics.jsonl before it do not"
    return None


def _is_of(row, meta):
    return row["step"] <= meta["step"] and (row["event"] != "epoch" or row["epoch"] <= meta["epoch"])


def rows(run):
    """The rows of metrics.jsonl before the first damaged one, without timings."""
    found = []
    with suppress(OSError, ValueError):
        for line in (run / "metrics.jsonl").read_bytes().splitlines():
            found.append({key: value for key, value in json.loads(line).items() if key not in TIMINGS})
    return found


def faults(states, recorded, folder):
    """Faults of these states."""
    found = []
    for number, (state, newest, cut) in enumerate(states):
        place = folder / f"state-{number}"
        if fault := fault_of(state, newest, recorded, place):
            found.append(f"{cut}: {fault}")
        shutil.rmtree(place)
    return found


def test_a_durable_checkpoint_survives_any_power_cut(recorded, soak, tmp_path):
    checkpoints = {path for path in recorded.genuine if path.startswith("checkpoints/")}
    durable = set(durable_checkpoints(recorded.operations)) - {None}
    assert {f"checkpoints/{name}" for name in durable} == checkpoints, (
        "not every checkpoint was made durable before the next"
    )
    states = list(cuts(recorded.operations, soak.random, soak.times(1, 4)))
    chosen = soak.random.sample(states, soak.times(40, len(states)))
    found = faults(chosen, recorded, tmp_path)
    soak.report(f"{len(chosen)} states of the disk after a power cut")
    assert not found, f"{len(found)} of {len(chosen)} states: " + "\n".join(found[:20])


def test_resuming_after_a_power_cut(recorded, soak, tmp_path):
    states = list(cuts(recorded.operations, soak.random, soak.times(1, 3)))
    chosen, wrong = soak.random.sample(states, soak.times(8, 150)), []
    for number, (state, _, cut) in enumerate(chosen):
        place = tmp_path / f"state-{number}"
        place.mkdir()
        build(state, place)
        try:
            recorded.whole.assert_resuming_reproduces_it(place / RUN)
        except (AssertionError, RnncliError) as error:
            wrong.append(f"{cut}: {error}")
        shutil.rmtree(place)
    soak.report(f"{len(chosen)} states resumed to the end")
    assert not wrong, f"{len(wrong)} of {len(chosen)} states: " + "\n".join(wrong[:20])


def only_files(operation, is_folder):
    return not is_folder


def only_folders(operation, is_folder):
    return is_folder


def not_metrics(operation, is_folder):
    return not operation.name.endswith("metrics.jsonl")


@pytest.mark.parametrize("obeys", [only_files, only_folders, not_metrics])
def test_a_disk_that_ignores_some_fsyncs_loses_data(recorded, soak, tmp_path, obeys):
    """The tests above would therefore detect a missing fsync."""
    states = list(cuts(recorded.operations, soak.random, 1, obeys))
    assert faults(soak.random.sample(states, 150), recorded, tmp_path)
