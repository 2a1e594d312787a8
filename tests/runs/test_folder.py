import os
import subprocess
import sys

import pytest
from support.small_run import contents

from rnncli.errors import RunError, RunInUseError, WriteError
from rnncli.runs import checkpoint, checkpoint_file, find
from rnncli.runs.folder import RunFolder
from rnncli.runs.progress import Progress


def save(folder, step, best_step=None):
    folder.create()
    checkpoint.write(folder.checkpoint_at(step), contents(Progress(step=step, best_step=best_step)))


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "runs" / "demo")


def steps(folder):
    return [int(path.stem.removeprefix("step-")) for path in folder.checkpoints()]


def test_paths(folder):
    assert not folder.path.exists()
    folder.create()
    folder.create()
    assert folder.checkpoint_at(1234) == folder.path / "checkpoints" / "step-00001234.npz"
    names = [path.relative_to(folder.path).name for path in (folder.config, folder.vocabulary, folder.metrics)]
    assert names == ["config.yaml", "vocabulary.txt", "metrics.jsonl"]


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(WriteError, match=r"taken: cannot make the run folder: .*; set run\.dir"):
        RunFolder(tmp_path / "taken").create()
    assert RunFolder(tmp_path / "taken").checkpoints() == []


def test_checkpoints_stand_in_the_order_of_their_steps(folder):
    for step in (100_000_000, 7, 99_999_999, 20):
        save(folder, step)
    for other in ("step-7.npz", ".step-00000001.npz.tmp", "step-00000001.npz.tmp", "notes.txt"):
        (folder.path / "checkpoints" / other).write_text("")
    assert steps(folder) == [7, 20, 99_999_999, 100_000_000]


def test_last_skips_a_damaged_one(folder):
    assert folder.last() is None
    for step in (1, 2, 3):
        save(folder, step)
    newest = folder.checkpoint_at(3)
    newest.write_bytes(newest.read_bytes()[:-20])
    last = folder.last()
    assert (last.path, last.described.progress.step) == (folder.checkpoint_at(2), 2)
    assert [f"{newest}: not a whole checkpoint" in told for told in last.passed_over] == [True]
    for step in (1, 2):
        folder.checkpoint_at(step).write_bytes(b"")
    with pytest.raises(RunError, match=r"step-00000003\.npz: not a whole checkpoint"):
        folder.last()


def test_last_verifies_every_member(folder):
    save(folder, 1)
    save(folder, 2)
    newest = folder.checkpoint_at(2)
    content = bytearray(newest.read_bytes())
    content[content.index(b"\x93NUMPY") + 128] ^= 1  # the first byte of W
    newest.write_bytes(content)
    assert folder.last()[0] == folder.checkpoint_at(1)


def test_preferred_is_the_best_then_the_last_then_the_others(folder):
    assert folder.preferred() == []
    save(folder, 1)
    save(folder, 2)
    assert folder.preferred() == [folder.checkpoint_at(2), folder.checkpoint_at(1)]
    save(folder, 3, best_step=1)
    assert folder.preferred() == [folder.checkpoint_at(step) for step in (1, 3, 2)]
    folder.checkpoint_at(3).write_bytes(b"")  # it says nothing of a best one
    assert folder.preferred() == [folder.checkpoint_at(step) for step in (3, 2, 1)]
    save(folder, 4, best_step=1)
    folder.checkpoint_at(1).unlink()
    assert folder.preferred() == [folder.checkpoint_at(step) for step in (4, 3, 2)]


def test_prune_keeps_the_last_and_the_best(folder):
    for step in range(1, 7):
        save(folder, step)
    folder.prune(2, 6, (3, None))
    assert steps(folder) == [3, 5, 6]
    folder.prune(1, 6, (6,))
    assert steps(folder) == [6]
    folder.prune(5, 6, (None,))
    assert steps(folder) == [6]


def test_prune_removes_later_ones(folder):
    """A run that went on before a damaged checkpoint, or that diverged and went back, goes another way."""
    for step in (5, 10, 15, 20):
        save(folder, step)
    folder.checkpoint_at(20).write_bytes(b"half")
    folder.prune(1, 10, (5,))
    assert steps(folder) == [5, 10]


def guard(folder, step):
    folder.create()
    folder.create_for_guards()
    checkpoint.write(folder.guard_at(step), contents(Progress(step=step)))


def test_a_run_goes_on_from_the_newest_of_checkpoints_and_guards(folder):
    guard(folder, 4)
    assert folder.last().path == folder.guard_at(4)
    assert folder.preferred() == [folder.guard_at(4)]  # better than none
    save(folder, 4)
    assert folder.last().path == folder.checkpoint_at(4)  # which may have the end of an epoch
    save(folder, 6, best_step=4)
    assert folder.last().path == folder.checkpoint_at(6)
    guard(folder, 8)
    assert folder.last().path == folder.guard_at(8)
    assert folder.preferred()[:2] == [folder.checkpoint_at(4), folder.checkpoint_at(6)]
    folder.prune_guards({8})
    assert folder.guards() == [folder.guard_at(8)]


def test_a_checkpoint_of_another_version_is_not_passed_over(folder, monkeypatch):
    save(folder, 1)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint_file, "FORMAT_VERSION", 99)
        patched.setattr(checkpoint_file, "READABLE", (99,))
        save(folder, 2)
    with pytest.raises(RunError, match=r"step-00000002\.npz: a checkpoint of format version 99"):
        folder.last()


def test_what_killed_writers_left_is_cleared_at_the_beginning(folder):
    folder.create()
    folder.create_for_guards()
    left = [
        folder.path / ".config.yaml.123.tmp",
        folder.path / "checkpoints" / ".step-00000009.npz.77.tmp",
        folder.path / "guard" / ".step-00000009.npz.77.tmp",
    ]
    for path in left:
        path.write_bytes(b"half")
    folder.begin()
    assert [path.exists() for path in left] == [False] * 3


def test_asking_who_holds_a_run_disturbs_nobody(folder):
    assert folder.holder() is None
    folder.create()
    with folder.lock():
        pass
    assert folder.holder() is None
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder.path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        assert f"process {holder.pid} on " in folder.holder()
        holder.kill()
    assert folder.holder() is None


def test_move_aside_takes_the_first_free_number(folder):
    for _ in range(2):
        save(folder, 1)
        folder.move_aside()
    save(folder, 2)
    assert folder.move_aside() == folder.path.with_name("demo.3")
    assert not folder.path.exists()
    assert [steps(RunFolder(folder.path.with_name(f"demo.{n}"))) for n in (1, 2, 3)] == [[1], [1], [2]]


HOLDER = (
    "import sys, pathlib, time; from rnncli.runs.folder import RunFolder\n"
    "with RunFolder(pathlib.Path(sys.argv[1])).lock(): print('held', flush=True); time.sleep(60)\n"
)


def test_one_writer_at_a_time_and_the_kernel_frees_the_lock_of_the_dead(folder):
    folder.create()
    with folder.lock():
        pass
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder.path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(RunInUseError, match=rf"in use by process {holder.pid} on .*; wait for it, or set another"),
            folder.lock(),
        ):
            pass
        holder.kill()
        holder.wait()
        with folder.lock():
            pass


def test_lock_of_no_folder(folder):
    with (
        pytest.raises(WriteError, match=r"cannot write and lock there: No such file or directory; set run\.dir"),
        folder.lock(),
    ):
        pass


def test_find_what_is_named(folder, tmp_path):
    save(folder, 1)
    save(folder, 2, best_step=1)
    assert find.find(str(folder.path)) == [folder.checkpoint_at(1), folder.checkpoint_at(2)]
    assert find.find(str(folder.checkpoint_at(2))) == [folder.checkpoint_at(2)]
    with pytest.raises(RunError, match=r"nope: no such run or checkpoint; `rnncli train CONFIG` makes one"):
        find.find(str(tmp_path / "nope"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="no checkpoint in this folder yet"):
        find.find(str(tmp_path / "empty"))


def test_find_the_newest_run_or_the_current_folder(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"no run found: looked in \./runs and in the current folder.*--run PATH"):
        find.find(None)
    other = RunFolder(tmp_path / "runs" / "other")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "notes.txt").write_text("no run")
    (tmp_path / "runs" / "begun" / "checkpoints").mkdir(parents=True)
    save(folder, 1)
    save(other, 1)
    for newest, older in ((folder, other), (other, folder)):
        os.utime(older.checkpoint_at(1), (1, 1))
        os.utime(newest.checkpoint_at(1), (2, 2))
        assert [path.resolve() for path in find.find(None)] == [newest.checkpoint_at(1)]
    (tmp_path / "checkpoints").mkdir()  # of something else
    (tmp_path / "runs" / "other" / "checkpoints" / "step-00000009.npz").symlink_to("gone")
    assert find.find(None)[1].resolve() == other.checkpoint_at(1)  # behind the link, which cannot be read
    monkeypatch.chdir(folder.path)
    assert [path.resolve() for path in find.find(None)] == [folder.checkpoint_at(1)]
