"""The runs in a folder: which are found, their order, and the summary of each."""

import os
import shutil
from pathlib import Path

import pytest
from support.small_run import learns_by_heart, settings, train, trainer

from rnncli.errors import RunError
from rnncli.runs import checkpoint, checkpoint_file
from rnncli.runs.folder import RunFolder
from rnncli.runs.listing import RunSummary, summaries


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a finished run, one stopped in its second epoch, and one with a sampled output layer."""
    folder = tmp_path_factory.mktemp("made")
    train(settings(folder / "a", data__valid=0.2), folder / "runs" / "finished")
    train(settings(folder / "b", model__layers=2, model__cell="gru"), folder / "runs" / "stopped", stop_at=9)
    train(settings(folder / "c", model__output="sampled", data__valid=0.2), folder / "runs" / "sampled")
    return folder


def by_name(folder=None):
    return {run.path.name: run for run in summaries(folder)}


def written(path, seconds):
    """Set the time of every file of a run."""
    for file in path.rglob("*"):
        os.utime(file, (seconds, seconds))


def test_the_summary_of_each_run(made):
    found = by_name(str(made / "runs"))
    assert found.keys() == {"finished", "stopped", "sampled"}
    for run in found.values():
        folder = RunFolder(run.path)
        newest = folder.checkpoints()[-1]
        p = checkpoint.read(newest).progress.position
        assert (run.checkpoint, run.step, run.epoch, run.epochs) == (newest, p.step, p.epoch, 2)
        assert run.bytes == sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())
        assert run.changed == max(newest.stat().st_mtime, folder.metrics.stat().st_mtime)
        assert (run.holder, run.problems) == (None, ())
    finished, stopped, sampled = (found[name] for name in ("finished", "stopped", "sampled"))
    assert (finished.state, finished.reason, finished.epoch) == ("finished", "epochs", 2)
    assert (finished.cell, finished.layers, finished.hidden_size, finished.output) == ("lstm", 1, 5, "full")
    p = checkpoint.read(finished.checkpoint).progress.measured
    assert (finished.train_perplexity, finished.best_valid_perplexity) == (p.train.perplexity, p.best.perplexity)
    assert (stopped.state, stopped.reason, stopped.step, stopped.epoch) == ("stopped", None, 9, 1)
    assert (stopped.cell, stopped.layers, stopped.best_valid_perplexity) == ("gru", 2, None)
    assert (sampled.train_perplexity, sampled.output) == (None, "sampled")
    assert sampled.best_valid_perplexity > 1


def test_a_run_that_ended_by_patience(tmp_path):
    train(learns_by_heart(tmp_path, training__patience=2), tmp_path / "run")
    [run] = summaries(str(tmp_path / "run"))
    assert (run.state, run.reason) == ("finished", "patience")
    assert run.epoch < run.epochs == 50


def test_where_runs_are_found(here, made):
    for place in ("runs/top", "runs/group/inner", "runs/.hidden", "runs/top/nested", "runs/1/2/3", "runs/1/2/3x/4"):
        shutil.copytree(made / "runs" / "stopped", place)
    (here / "runs" / "a link").symlink_to("top")
    (here / "runs" / "group" / "circle").symlink_to("..")
    (here / "runs" / "file").write_text("nothing")
    below = {"runs/top", "runs/group/inner", "runs/1/2/3"}
    assert {str(run.path) for run in summaries()} == below
    assert {str(run.path) for run in summaries("runs")} == below
    assert {str(run.path) for run in summaries(".")} == below - {"runs/1/2/3"}  # it is four levels below
    assert [str(run.path) for run in summaries("runs/top")] == ["runs/top"]
    os.chdir("runs/1")
    assert {str(run.path) for run in summaries(".")} == {"2/3", "2/3x/4"}
    with pytest.raises(RunError, match=r"looked in \./runs and in the current folder"):
        summaries()
    os.chdir("../top")
    assert [str(run.path) for run in summaries()] == ["."]
    shutil.copytree("../1/2/3", "runs/own")
    assert {str(run.path) for run in summaries()} == {".", "runs/own"}


def test_no_run(here):
    (here / "empty").mkdir()
    (here / "file").write_text("nothing")
    for folder, expected in [
        (None, "no run found: looked in ./runs and in the current folder; train one"),
        ("empty", "no run found: looked in empty and below"),
        ("nope", "nope: no such folder"),
        ("file", "file: not a folder (`rnncli inspect`"),
    ]:
        with pytest.raises(RunError) as error:
            summaries(folder)
        assert expected in str(error.value)


def test_the_newest_first(here, made):
    for name, seconds in [("b", 2000), ("a", 1000), ("c", 3000), ("same", 2000)]:
        shutil.copytree(made / "runs" / "stopped", here / "runs" / name)
        written(here / "runs" / name, seconds)
    assert [run.path.name for run in summaries()] == ["c", "b", "same", "a"]
    os.utime("runs/a/metrics.jsonl", (4000, 4000))
    first = next(summaries())
    assert (first.path.name, first.changed) == ("a", 4000)


def test_a_run_without_a_checkpoint(here):
    folder = RunFolder(here / "runs" / "begun")
    folder.create()
    folder.begin()
    [run] = summaries()
    assert (run.state, run.checkpoint, run.step, run.problems) == ("no checkpoint yet", None, None, ())


def test_a_guard_is_a_checkpoint_too(here):
    made = trainer(settings(here, guard__every=2), here / "runs" / "killed")
    steps = made.train()
    for _ in range(3):
        next(steps)
    steps.close()
    [run] = summaries()
    assert (run.state, run.step, run.checkpoint.parent.name) == ("stopped", 2, "guard")
    assert run.checkpoint.name == made.folder.last().path.name


def damage(path):
    path.write_bytes(path.read_bytes()[:-100])


def test_damaged_checkpoints_are_listed_as_problems(here, made):
    for name in ("one", "all", "whole"):
        shutil.copytree(made / "runs" / "finished", here / "runs" / name)
    one, everything = (RunFolder(Path("runs", name)).checkpoints() for name in ("one", "all"))
    damage(one[-1])
    for path in everything:
        damage(path)
    found = by_name()
    assert found["whole"].state == "finished"
    assert (found["one"].state, found["one"].checkpoint) == ("stopped", one[-2])
    assert [problem.startswith(f"{one[-1]}: ") for problem in found["one"].problems] == [True]
    assert (found["all"].state, found["all"].checkpoint, found["all"].step) == ("damaged", None, None)
    assert len(found["all"].problems) == len(everything)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_folders_and_dangling_links(here):
    folder = RunFolder(here / "runs" / "odd")
    folder.create()
    os.mkfifo(folder.metrics)
    os.mkfifo(folder.checkpoint_at(3))
    folder.checkpoint_at(2).mkdir()
    folder.checkpoint_at(1).symlink_to("gone")
    with folder.lock():
        [run] = summaries()
        assert (run.state, run.step, len(run.problems)) == ("training", None, 3)
    [run] = summaries()
    assert run.state == "damaged"
    for problem, expected in zip(run.problems, ("it is a pipe", "Is a directory", "no such checkpoint"), strict=True):
        assert expected in problem


def test_a_checkpoint_of_another_version(here, made, monkeypatch):
    for name in ("old and new", "new"):
        shutil.copytree(made / "runs" / "stopped", here / "runs" / name)
    folders = RunFolder(here / "runs" / "old and new"), RunFolder(here / "runs" / "new")
    meta, members = checkpoint_file.read(folders[0].checkpoints()[-1], lambda name: True)
    with monkeypatch.context() as later:
        later.setattr(checkpoint_file, "FORMAT_VERSION", 99)
        later.setattr(checkpoint_file, "READABLE", (99,))
        checkpoint_file.write(here / "future.npz", meta, members)
    for path in (folders[0].checkpoints()[-1], *folders[1].checkpoints()):
        shutil.copy(here / "future.npz", path)
    for run in summaries():  # a run resumes only from the newest
        assert run.state == "other version"
        assert "version 99" in run.problems[0]


def test_a_run_that_is_being_trained(here):
    made = trainer(settings(here), here / "runs" / "held")
    steps = made.train()
    with made.folder.lock():
        for _ in range(3):
            next(steps)
        [run] = summaries()
        assert (run.state, run.holder.split()[1]) == ("training", str(os.getpid()))
        assert (run.checkpoint, run.step, run.epoch, run.cell) == (None, 3, 0, None)
        made.save()
        for _ in range(made.batches.steps(0)):  # including the row of an epoch
            next(steps)
        [run] = summaries()
        assert run.checkpoint.name == made.folder.checkpoints()[-1].name
        assert (run.step, run.epoch, run.cell) == (made.progress.position.step, 1, "lstm")
        with open(made.folder.metrics, "a") as file:
            file.write('{"event": "step", "st')  # partly written
        [same] = summaries()
        assert (same.step, same.epoch) == (run.step, run.epoch)
        made.folder.metrics.write_text("nonsense\n")
        [run] = summaries()
        assert run.step == checkpoint.read(run.checkpoint).progress.position.step
    steps.close()
    [run] = summaries()
    assert (run.state, run.holder) == ("stopped", None)


def test_a_checkpoint_that_is_removed_during_reading(here, made, monkeypatch):
    shutil.copytree(made / "runs" / "finished", here / "runs" / "moving")
    read_metadata, newer = checkpoint.read_metadata, here / "runs" / "moving" / "checkpoints" / "step-00000099.npz"

    def prune(path):
        if not newer.exists():
            for old in RunFolder(here / "runs" / "moving").checkpoints():
                old.rename(newer)
        return read_metadata(path)

    monkeypatch.setattr(checkpoint, "read_metadata", prune)
    [run] = summaries()
    assert run.checkpoint.name == newer.name
    assert run.problems == ()


def test_only_metadata_is_read(here, made, monkeypatch):
    """The arrays of thirty large runs would be a gigabyte: none is read."""
    shutil.copytree(made / "runs" / "finished", here / "runs" / "one")

    def never(*given):
        raise AssertionError("an array is read")

    for name in ("array", "read_into", "check"):
        monkeypatch.setattr(checkpoint_file.CheckpointFile, name, never)
    [run] = summaries()
    assert isinstance(run, RunSummary)
    assert run.state == "finished"


def test_a_run_that_cannot_be_read_is_listed(here, monkeypatch):
    for name in ("open", "closed"):
        folder = RunFolder(here / "runs" / name)
        folder.create()
        folder.begin()

    def listdir(path, listdir=os.listdir):
        if Path(path).parent.name == "closed":
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", listdir)
    found = {run.path.name: run for run in summaries()}
    assert {name: run.state for name, run in found.items()} == {"open": "no checkpoint yet", "closed": "damaged"}
    assert "cannot be read: Permission denied" in found["closed"].problems[0]
    with pytest.raises(RunError, match="closed/guard: cannot be read: Permission denied"):
        RunFolder(here / "runs" / "closed").last()
