import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.models import progress
from support.small_run import contents

from rnncli.errors import RunError, RunInUseError, WriteError
from rnncli.runs import checkpoint, checkpoint_file
from rnncli.runs.folder import RunFolder


def save(folder, step, best_step=None):
    folder.create()
    checkpoint.write(folder.checkpoint_at(step), contents(progress(step=step, best_step=best_step)))


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
    with pytest.raises(WriteError, match=r"taken: cannot write: .*; set run\.dir"):
        RunFolder(tmp_path / "taken").create()
    assert RunFolder(tmp_path / "taken").checkpoints() == []


def test_checkpoints_are_in_the_order_of_their_steps(folder):
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
    assert (last.path, last.metadata.progress.position.step) == (folder.checkpoint_at(2), 2)
    assert [f"{newest}: not a valid checkpoint" in problem for problem in last.passed_over] == [True]
    for step in (1, 2):
        folder.checkpoint_at(step).write_bytes(b"")
    with pytest.raises(RunError, match=r"step-00000003\.npz: not a valid checkpoint"):
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
    folder.checkpoint_at(3).write_bytes(b"")  # its metadata, which names the best step, cannot be read
    assert folder.preferred() == [folder.checkpoint_at(step) for step in (3, 2, 1)]
    save(folder, 2, best_step=1)
    assert folder.preferred() == [folder.checkpoint_at(step) for step in (3, 1, 2)]  # 3 may have been the best
    save(folder, 4, best_step=1)
    folder.checkpoint_at(1).unlink()
    assert folder.preferred() == [folder.checkpoint_at(step) for step in (1, 4, 3, 2)]  # whoever reads it reports it


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
    """Later checkpoints were damaged, or abandoned by a rollback."""
    for step in (5, 10, 15, 20):
        save(folder, step)
    folder.checkpoint_at(20).write_bytes(b"half")
    folder.prune(1, 10, (5,))
    assert steps(folder) == [5, 10]


def guard(folder, step):
    folder.create()
    folder.create_for_guards()
    checkpoint.write(folder.guard_at(step), contents(progress(step=step)))


def test_a_run_resumes_from_the_newest_of_checkpoints_and_guards(folder):
    guard(folder, 4)
    assert folder.last().path == folder.guard_at(4)
    assert folder.preferred() == [folder.guard_at(4)]  # without a checkpoint a guard is used
    save(folder, 4)
    assert folder.last().path == folder.checkpoint_at(4)  # it may include the end of an epoch
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


def test_temporary_files_of_killed_writers_are_removed_at_the_start(folder):
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


def test_asking_for_the_holder_does_not_take_the_lock(folder):
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


def test_move_aside_of_a_link_moves_the_run_behind_it(tmp_path):
    folder, big = RunFolder(tmp_path / "demo"), tmp_path / "big" / "disk"
    big.parent.mkdir()
    folder.path.symlink_to(big)  # to nothing yet
    save(folder, 1)
    for step in (2, 3):
        with folder.lock():
            assert folder.move_aside() == big.with_name(f"disk.{step - 1}")
        assert folder.path.is_symlink()
        save(folder, step)
        assert steps(folder) == steps(RunFolder(big)) == [step]
    assert [steps(RunFolder(big.with_name(f"disk.{n}"))) for n in (1, 2)] == [[1], [2]]


@pytest.mark.parametrize("error", [errno.EBUSY, errno.EACCES, errno.EXDEV], ids=errno.errorcode.get)
def test_move_aside_of_a_folder_that_cannot_be_renamed_moves_its_files(folder, monkeypatch, error):
    rename = Path.rename

    def renamed(path, target):
        if path == folder.path:
            raise OSError(error, os.strerror(error))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", renamed)
    for number in (1, 2):
        save(folder, number)
        folder.begin()
        (folder.path / "lost+found").mkdir(exist_ok=True)
        with folder.lock():
            assert folder.move_aside() == folder.path / f"demo.{number}"
        assert not folder.holds_run()
    assert [steps(RunFolder(folder.path / f"demo.{n}")) for n in (1, 2)] == [[1], [2]]
    monkeypatch.setattr(Path, "rename", rename)


HOLDER = (
    "import sys, pathlib, time; from rnncli.runs.folder import RunFolder\n"
    "with RunFolder(pathlib.Path(sys.argv[1])).lock(): print('held', flush=True); time.sleep(60)\n"
)


def test_one_writer_at_a_time_and_the_kernel_frees_the_lock_of_a_killed_one(folder):
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


def test_lock_in_a_folder_that_does_not_exist(folder):
    with (
        pytest.raises(WriteError, match=r"\.lock: cannot write: No such file or directory; set run\.dir"),
        folder.lock(),
    ):
        pass
