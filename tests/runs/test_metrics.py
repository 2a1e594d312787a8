import json
import math
import resource

import pytest
from support.models import progress

from rnncli.errors import WriteError
from rnncli.runs.metrics import Metrics, figures_of_test
from rnncli.runs.progress import Progress


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_metrics_continue_after_the_checkpoint(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for start in (0, 0):  # a new run begins a new file
        metrics = Metrics(path, progress(step=start))
        for step in range(1, 6):
            metrics.append({"step": step, "loss": math.nan})
            assert len(rows(path)) == step  # written at once
        metrics.close()
    with path.open("a") as file:
        file.write('{"step": 3, "lo')  # a partly written line
    metrics = Metrics(path, progress(step=3))
    metrics.append({"step": 4, "loss": 2.0})
    metrics.close()
    assert [(row["step"], row["loss"]) for row in rows(path)] == [(1, None), (2, None), (3, None), (4, 2.0)]


def test_the_row_of_an_epoch_that_a_checkpoint_has_not_completed_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for epochs, kept in ((0, 1), (1, 2)):
        path.write_text('{"event": "step", "step": 4, "epoch": 1}\n{"event": "epoch", "step": 4, "epoch": 1}\n')
        Metrics(path, progress(step=4, epoch=epochs)).close()
        assert len(rows(path)) == kept


def test_metrics_torn_before_the_checkpoint_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2')
    Metrics(path, progress(step=5)).close()
    assert path.read_bytes() == b'{"step": 1}\n'
    for rubbish in (b"\xff\n", b"[]\n", b"{}\n", b'{"step": "x"}\n'):
        path.write_bytes(b'{"step": 1}\n' + rubbish)
        Metrics(path, progress(step=5)).close()
        assert path.read_bytes() == b'{"step": 1}\n'


def test_metrics_on_a_full_disk(tmp_path):
    """A limit on the size of files simulates a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    metrics = Metrics(tmp_path / "metrics.jsonl", Progress())
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        metrics.append({"step": 1})
        with pytest.raises(WriteError, match=r"metrics\.jsonl: cannot write: File too large"):
            metrics.append({"step": 2})
        metrics.close()  # the buffered row still does not fit: no second error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_metrics_in_no_folder(tmp_path):
    with pytest.raises(WriteError, match="nowhere"):
        Metrics(tmp_path / "nowhere" / "metrics.jsonl", Progress())


def test_rows_before_a_rollback_are_kept_unless_the_run_resumes_from_before_it(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path, Progress())
    for n in (1, 2, 3):
        for step in (3, 4, 5):
            metrics.append({"event": "step", "step": step})
        if n < 3:
            metrics.append({"event": "rollback", "step": 2, "rollbacks": n})
    metrics.sync()
    metrics.close()
    for at, kept in (
        (progress(step=4, rollbacks=2), [3, 4, 5, 2, 3, 4, 5, 2, 3, 4]),
        (progress(step=2, rollbacks=2), [3, 4, 5, 2, 3, 4, 5, 2]),
        (progress(step=3, rollbacks=1), [3, 4, 5, 2, 3]),
        (progress(step=9, rollbacks=0), [3, 4, 5]),
        (progress(step=3, rollbacks=0), [3]),
    ):
        Metrics(path, at).close()
        assert [row["step"] for row in rows(path)] == kept


def test_the_test_is_the_last_row_and_measured_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = Metrics(path, Progress())
    assert figures_of_test(path) is None
    for row in (
        {"event": "epoch", "step": 3, "epoch": 1},
        {"event": "test", "step": 3, "data": "a", "test": {"perplexity": 2.5}},
    ):
        metrics.append(row)
    metrics.close()
    assert figures_of_test(path) == figures_of_test(path, "a") == {"perplexity": 2.5}
    assert figures_of_test(path, "b") is figures_of_test(path, step=3) is None
    for damaged in (b'{"event": "test", "test": 3}\n', b'{"event": "test", "test": {}}\n', b"[1]\n", b"{\n", b"\xff\n"):
        (tmp_path / "damaged").write_bytes(path.read_bytes() + damaged)
        assert figures_of_test(tmp_path / "damaged") is None
    Metrics(path, progress(step=3, epoch=1)).close()
    assert [row["event"] for row in rows(path)] == ["epoch"]
    assert figures_of_test(tmp_path) is None
