import json
import math
import resource

import pytest

from rnncli.errors import WriteError
from rnncli.metrics import Metrics
from rnncli.progress import Progress


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_metrics_go_on_behind_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for start in (0, 0):  # a new run begins a new file
        metrics = Metrics(path, Progress(step=start))
        for step in range(1, 6):
            metrics.append({"step": step, "loss": math.nan})
            assert len(rows(path)) == step  # on the disk at once
        metrics.close()
    with path.open("a") as file:
        file.write('{"step": 3, "lo')  # a torn line
    metrics = Metrics(path, Progress(step=3))
    metrics.append({"step": 4, "loss": 2.0})
    metrics.close()
    assert [(row["step"], row["loss"]) for row in rows(path)] == [(1, None), (2, None), (3, None), (4, 2.0)]


def test_the_row_of_an_epoch_that_a_checkpoint_has_not_completed_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for epochs, kept in ((0, 1), (1, 2)):
        path.write_text('{"event": "step", "step": 4, "epoch": 1}\n{"event": "epoch", "step": 4, "epoch": 1}\n')
        Metrics(path, Progress(step=4, epoch=epochs)).close()
        assert len(rows(path)) == kept


def test_metrics_torn_before_the_checkpoint_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2')
    Metrics(path, Progress(step=5)).close()
    assert path.read_bytes() == b'{"step": 1}\n'
    for rubbish in (b"\xff\n", b"[]\n", b"{}\n", b'{"step": "x"}\n'):
        path.write_bytes(b'{"step": 1}\n' + rubbish)
        Metrics(path, Progress(step=5)).close()
        assert path.read_bytes() == b'{"step": 1}\n'


def test_metrics_on_a_full_disk(tmp_path):
    """A limit on the size of files stands in for a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    metrics = Metrics(tmp_path / "metrics.jsonl", Progress())
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
        Metrics(tmp_path / "nowhere" / "metrics.jsonl", Progress())


def test_going_back_keeps_what_was_told_of_going_back_before(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path, Progress())
    for n in (1, 2):
        metrics.rewind(Progress(step=2, rollbacks=n - 1))
        if n == 1:
            metrics.append({"event": "step", "step": 1})
            metrics.append({"event": "step", "step": 2})
        metrics.append({"event": "rollback", "step": 2, "rollbacks": n})
        metrics.append({"event": "step", "step": 3})
    metrics.sync()
    metrics.close()
    assert [(row["event"], row["step"]) for row in rows(path)] == [
        *(("step", 1), ("step", 2), ("rollback", 2), ("rollback", 2), ("step", 3))
    ]
    for n in (2, 1, 0):  # a checkpoint from before it went back for the second, for the first time
        Metrics(path, Progress(step=3, rollbacks=n)).close()
        assert sum(row["event"] == "rollback" for row in rows(path)) == n
