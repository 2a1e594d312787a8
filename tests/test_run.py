import json
import math
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from rnncli import checkpoint, run
from rnncli.errors import RunError, RunInUseError, WriteError
from rnncli.run import Metrics, RunFolder


def save(folder, step, best_step=None):
    folder.create()
    checkpoint.write(folder.checkpoint_at(step), {"step": step, "best_step": best_step}, {"W": np.zeros(1)})


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
    path, meta = folder.last()
    assert (path, meta["step"]) == (folder.checkpoint_at(2), 2)
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
    stale = folder.path / "checkpoints" / ".step-00000009.npz.tmp"
    stale.write_bytes(b"half")
    folder.prune(keep=2, best_step=3, step=6)
    assert steps(folder) == [3, 5, 6]
    assert not stale.exists()
    folder.prune(keep=1, best_step=6, step=6)
    assert steps(folder) == [6]
    folder.prune(keep=5, best_step=None, step=6)
    assert steps(folder) == [6]


def test_prune_does_not_count_later_ones(folder):
    """A run that was resumed before a damaged checkpoint keeps what it writes."""
    for step in (10, 15, 20):
        save(folder, step)
    folder.checkpoint_at(20).write_bytes(b"half")
    folder.prune(keep=1, best_step=None, step=15)
    assert steps(folder) == [15, 20]


def test_move_aside_takes_the_first_free_number(folder):
    for _ in range(2):
        save(folder, 1)
        folder.move_aside()
    save(folder, 2)
    assert folder.move_aside() == folder.path.with_name("demo.3")
    assert not folder.path.exists()
    assert [steps(RunFolder(folder.path.with_name(f"demo.{n}"))) for n in (1, 2, 3)] == [[1], [1], [2]]


HOLDER = (
    "import sys, pathlib, time; from rnncli.run import RunFolder\n"
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
    with pytest.raises(WriteError, match=r"cannot write there: No such file or directory; set run\.dir"), folder.lock():
        pass


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_metrics_go_on_behind_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for start in (0, 0):  # a new run begins a new file
        metrics = Metrics(path, start)
        for step in range(1, 6):
            metrics.append({"step": step, "loss": math.nan})
            assert len(rows(path)) == step  # on the disk at once
        metrics.close()
    with path.open("a") as file:
        file.write('{"step": 3, "lo')  # a torn line
    metrics = Metrics(path, 3)
    metrics.append({"step": 4, "loss": 2.0})
    metrics.close()
    assert [(row["step"], row["loss"]) for row in rows(path)] == [(1, None), (2, None), (3, None), (4, 2.0)]


def test_the_row_of_an_epoch_that_a_checkpoint_has_not_completed_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for epochs, kept in ((0, 1), (1, 2)):
        path.write_text('{"event": "step", "step": 4, "epoch": 1}\n{"event": "epoch", "step": 4, "epoch": 1}\n')
        Metrics(path, 4, epochs).close()
        assert len(rows(path)) == kept


def test_metrics_torn_before_the_checkpoint_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2')
    Metrics(path, 5).close()
    assert path.read_bytes() == b'{"step": 1}\n'
    for rubbish in (b"\xff\n", b"[]\n", b"{}\n", b'{"step": "x"}\n'):
        path.write_bytes(b'{"step": 1}\n' + rubbish)
        Metrics(path, 5).close()
        assert path.read_bytes() == b'{"step": 1}\n'


def test_metrics_on_a_full_disk(tmp_path):
    """A limit on the size of files stands in for a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    metrics = Metrics(tmp_path / "metrics.jsonl", 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        metrics.append({"step": 1})
        with pytest.raises(WriteError, match=r"metrics\.jsonl: cannot write: File too large"):
            metrics.append({"step": 2})
        metrics.close()  # what found no room finds none now: nothing new to say
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_metrics_in_no_folder(tmp_path):
    with pytest.raises(WriteError, match="nowhere"):
        Metrics(tmp_path / "nowhere" / "metrics.jsonl", 0)


def test_find_what_is_named(folder, tmp_path):
    save(folder, 1)
    save(folder, 2, best_step=1)
    assert run.find(str(folder.path)) == [folder.checkpoint_at(1), folder.checkpoint_at(2)]
    assert run.find(str(folder.checkpoint_at(2))) == [folder.checkpoint_at(2)]
    with pytest.raises(RunError, match=r"nope: no such run or checkpoint; `rnncli train CONFIG` makes one"):
        run.find(str(tmp_path / "nope"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="no checkpoint in this folder yet"):
        run.find(str(tmp_path / "empty"))


def test_find_the_newest_run_or_the_current_folder(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"no run found: looked in \./runs and in the current folder.*--run PATH"):
        run.find(None)
    other = RunFolder(tmp_path / "runs" / "other")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "notes.txt").write_text("no run")
    (tmp_path / "runs" / "begun" / "checkpoints").mkdir(parents=True)
    save(folder, 1)
    save(other, 1)
    for newest, older in ((folder, other), (other, folder)):
        os.utime(older.checkpoint_at(1), (1, 1))
        os.utime(newest.checkpoint_at(1), (2, 2))
        assert [path.resolve() for path in run.find(None)] == [newest.checkpoint_at(1)]
    (tmp_path / "checkpoints").mkdir()  # of something else
    (tmp_path / "runs" / "other" / "checkpoints" / "step-00000009.npz").symlink_to("gone")
    assert run.find(None)[1].resolve() == other.checkpoint_at(1)  # behind the link, which cannot be read
    monkeypatch.chdir(folder.path)
    assert [path.resolve() for path in run.find(None)] == [folder.checkpoint_at(1)]
