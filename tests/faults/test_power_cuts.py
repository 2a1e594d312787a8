"""Power cuts: a training that saves is recorded, and each state of the disk that a cut may leave must do to go on from.

What was written since a file's last fsync may be lost, whole or in part, and each name that was made, changed or
removed since its folder's last fsync, in any order. What was durable before the cut must be found again.
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
from support.tiny import DIVERGES, Whole, believed, config_in, only_true_ones, start, train_words

from rnncli.errors import RnncliError, RunError
from rnncli.runs import checkpoint_file
from rnncli.runs.folder import RunFolder

pytestmark = pytest.mark.skipif(no_strace() is not None, reason=str(no_strace()))

RUN = "runs/tiny"  # below the folder that stood there before


@pytest.fixture(scope="module", params=[2, 1000], ids=["guards", "none"])
def recorded(tmp_path_factory, request):
    """A training on an empty disk, begun and gone on with: its operations there, and what it leaves."""
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
    return SimpleNamespace(operations=done, true=checkpoints_ever(done, RUN), whole=Whole(config, folder / "whole"))


def durable_checkpoints(operations):
    """After each operation: the newest checkpoint of which all was done that makes it durable, or None."""
    disk, newest = Disk(), []
    for operation in operations:
        disk.apply(operation)
        newest.append(max(durable_on(disk, f"{RUN}/checkpoints"), default=None))
    return newest


def cuts(operations, random, drawn, heeds=None):
    """(state, newest durable checkpoint, what was cut) after each operation, each state once: all that follows from
    `CUTS`, and `drawn` times at random.
    """
    disk, seen = Disk(heeds) if heeds else Disk(), set()
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
    """What is wrong with a state, built in this folder, or None."""
    folder.mkdir()
    build(state, folder)
    run = folder / RUN
    try:
        only_true_ones(run, recorded.true)
        last = RunFolder(run).last()
    except (AssertionError, RunError) as error:
        return str(error)
    if newest is not None and (last is None or last[0].name < newest):
        return f"{newest} was durable, and the last is {last and last[0].name}"
    if last is None:
        return None
    meta = checkpoint_file.verify(last[0])
    best = RunFolder(run).checkpoint_at(meta["best_step"] or 0)
    if meta["best_step"] and best not in believed(run):
        return f"{last[0].name} is there, and {best.name}, the best that it knows, is not"
    wanted = [row for row in recorded.whole.metrics if _is_of(row, meta)]
    if rows(run)[: len(wanted)] != wanted:
        return f"{last[0].name} is there, and rows of metrics.jsonl before it are not"
    return None


def _is_of(row, meta):
    return row["step"] <= meta["step"] and (row["event"] != "epoch" or row["epoch"] <= meta["epoch"])


def rows(run):
    """The rows of metrics.jsonl up to the first that is damaged, without what a clock measured."""
    found = []
    with suppress(OSError, ValueError):
        for line in (run / "metrics.jsonl").read_bytes().splitlines():
            found.append({key: value for key, value in json.loads(line).items() if key not in TIMINGS})
    return found


def faults(states, recorded, folder):
    """[what is wrong] with each of these states."""
    found = []
    for number, (state, newest, cut) in enumerate(states):
        place = folder / f"state-{number}"
        if fault := fault_of(state, newest, recorded, place):
            found.append(f"{cut}: {fault}")
        shutil.rmtree(place)
    return found


def test_what_was_durable_is_found_after_any_power_cut(recorded, soak, tmp_path):
    checkpoints = {path for path in recorded.true if path.startswith("checkpoints/")}
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
            recorded.whole.is_what_resuming_gives(place / RUN)
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


@pytest.mark.parametrize("heeds", [only_files, only_folders, not_metrics])
def test_a_disk_that_heeds_not_every_fsync_loses_something(recorded, soak, tmp_path, heeds):
    """So the tests above would see it if one of them were left out."""
    states = list(cuts(recorded.operations, soak.random, 1, heeds))
    assert faults(soak.random.sample(states, 60), recorded, tmp_path)
