"""Which checkpoint `--run PATH` names, and which run is the newest: `predict` and `rnncli runs` agree."""

import os
from pathlib import Path

import pytest
from support.models import progress
from support.small_run import contents

from rnncli.errors import RunError
from rnncli.runs import checkpoint, find
from rnncli.runs.folder import RunFolder
from rnncli.runs.listing import summaries


def save(run, step, best_step=None, at=None):
    folder = RunFolder(Path(run))
    folder.create()
    path = folder.checkpoint_at(step)
    checkpoint.write(path, contents(progress(step=step, best_step=best_step)))
    if at is not None:
        os.utime(path, (at, at))
    return path


def write_metrics(run, at):
    path = RunFolder(Path(run)).metrics
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (at, at))


def damage(path):
    path.write_bytes(path.read_bytes()[:-20])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_named_run_or_file(here):
    first, second = save("demo", 1), save("demo", 2, best_step=1)
    assert find.candidates("demo") == [first, second]
    assert find.candidates(str(second)) == [second]
    assert find.first_readable("demo").path == first
    assert find.first_readable(second).path == second
    with pytest.raises(RunError, match=r"nope: no such run or checkpoint; `rnncli train CONFIG` makes one"):
        find.candidates("nope")
    Path("empty").mkdir()
    with pytest.raises(RunError, match="no checkpoint in this folder yet"):
        find.candidates("empty")


def test_the_first_readable_checkpoint_and_why_others_were_skipped(here):
    paths = [save("demo", step) for step in (1, 2, 3)]
    damage(paths[2])
    found = find.first_readable("demo")
    assert (found.path, found.checkpoint.progress.position.step, found.size) == (paths[1], 2, paths[1].stat().st_size)
    assert [problem.startswith(f"{paths[2]}: not a valid checkpoint") for problem in found.problems] == [True]
    assert found.alternatives == paths[::-1]
    for path in paths[:2]:
        damage(path)
    with pytest.raises(RunError, match=r"step-00000003\.npz: not a valid checkpoint"):
        find.first_readable("demo")


def test_a_best_checkpoint_that_is_missing_is_reported(here):
    first, second = save("demo", 1), save("demo", 2, best_step=1)
    first.unlink()
    found = find.first_readable("demo")
    assert (found.path, found.problems) == (second, [f"{first}: no such checkpoint"])


@pytest.mark.parametrize("moment", ["before reading", "after reading"])
def test_a_checkpoint_that_training_removes_meanwhile(here, monkeypatch, moment):
    old, read = save("demo", 1), checkpoint.read

    def replaced(path, resume):
        if path != old:
            return read(path, resume)
        save("demo", 2)
        stored = read(path, resume) if moment == "after reading" else None
        old.unlink()
        return stored or read(path, resume)

    monkeypatch.setattr(checkpoint, "read", replaced)
    found = find.first_readable("demo")
    assert (found.checkpoint.progress.position.step, found.problems) == (2, [])


def test_the_newest_run_or_the_current_folder(here, monkeypatch):
    with pytest.raises(RunError, match=r"no run found: looked in \./runs and in the current folder.*--run PATH"):
        find.first_readable(None)
    Path("runs").mkdir()
    Path("runs", "notes.txt").write_text("no run")
    Path("runs", "begun", "checkpoints").mkdir(parents=True)
    demo, other = save("runs/demo", 1), save("runs/other", 1)
    for newest, older in ((demo, other), (other, demo)):
        os.utime(older, (1, 1))
        os.utime(newest, (2, 2))
        assert find.first_readable(None).path == newest
    Path("checkpoints").mkdir()  # not of a run
    Path("runs", "other", "checkpoints", "step-00000009.npz").symlink_to("gone")
    assert find.first_readable(None).path == other  # the link cannot be read
    monkeypatch.chdir("runs/demo")
    save("runs/below", 1)
    assert find.first_readable(None).path == Path("checkpoints", demo.name)


def first_of_list():
    return next(run for run in summaries() if run.checkpoint is not None).path


def run_of(path):
    return path.parent.parent


def test_predict_and_the_list_of_runs_agree_on_the_newest(here):
    save("runs/top", 1, at=1000)
    nested = save("runs/group/a/nested", 1, at=2000)
    assert find.first_readable(None).path == nested
    assert first_of_list() == run_of(nested)
    write_metrics("runs/top", at=3000)  # its checkpoint is older
    save("runs/1/2/3/too deep", 1, at=9000)
    save("runs/.hidden", 1, at=9000)
    assert run_of(find.first_readable(None).path) == first_of_list() == Path("runs/top")
    write_metrics("runs/begun", at=4000)  # newest, but without a checkpoint
    damage(save("runs/damaged", 1))
    os.utime("runs/damaged/checkpoints/step-00000001.npz", (5000, 5000))
    assert [run.path.name for run in summaries()] == ["damaged", "begun", "top", "nested"]
    with pytest.raises(RunError, match=r"runs/damaged/.*: not a valid checkpoint"):  # no other run in its place
        find.first_readable(None)
    save("runs/group/a/nested", 2, at=6000)
    assert run_of(find.first_readable(None).path) == first_of_list() == run_of(nested)
