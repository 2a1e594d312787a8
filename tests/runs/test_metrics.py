import json
import math
import resource

import pytest

from rnncli.errors import WriteError
from rnncli.runs.metrics import Metrics
from rnncli.runs.progress import Progress


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


def test_what_was_gone_back_from_stays_until_a_checkpoint_from_before_it_is_gone_on_from(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path, Progress())
    for n in (1, 2, 3):
        for step in (3, 4, 5):
            metrics.append({"event": "step", "step": step})
        if n < 3:
            metrics.append({"event": "rollback", "step": 2, "rollbacks": n})
    metrics.sync()
    metrics.close()
    for progress, kept in (
        (Progress(step=4, rollbacks=2), [3, 4, 5, 2, 3, 4, 5, 2, 3, 4]),
        (Progress(step=2, rollbacks=2), [3, 4, 5, 2, 3, 4, 5, 2]),
        (Progress(step=3, rollbacks=1), [3, 4, 5, 2, 3]),
        (Progress(step=9, rollbacks=0), [3, 4, 5]),
        (Progress(step=3, rollbacks=0), [3]),
    ):
        Metrics(path, progress).close()
        assert [row["step"] for row in rows(path)] == kept
