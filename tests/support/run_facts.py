"""Files of runs with rollbacks that are stopped, killed and resumed, for comparison with `==`."""

import hashlib
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from unittest import mock

TIMINGS = ("words_per_second", "seconds")
LINES = [f"{a} {b} {c}" for a in ("sun", "moon", "sea") for b in ("is", "was") for c in ("high", "low", "far")]
DIVERGES_AT = {2: 1, 4: 1, 8: 1, 12: 2}  # step: number of times
SETTINGS = {
    "model": {"hidden_size": 3, "embedding_size": 2},
    "optimizer": {"learning_rate": 0.02, "clip_norm": 0.05},
    "training": {"epochs": 3, "batch_size": 4, "bptt": 3, "random_seed": 5},
    "run": {"keep": 1, "checkpoint_every": "3 steps"},
    "guard": {"every": 4, "rollbacks": 9, "learning_rate_factor": 0.5},
}
# loss, gradient norm, steps, running level, spread, jump
FAULTS = [
    *((float("nan"), 1.0, 50, 1.0, 0.1, 3.0), (1.0, float("inf"), 50, 1.0, 0.1, 3.0), (3.9, 1.0, 50, 1.0, 0.1, 3.0)),
    *((4.1, 1.0, 50, 1.0, 0.1, 3.0), (4.1, 1.0, 50, 1.0, 0.5, 3.0), (7.5, 1.0, 50, 4.0, 0.1, 3.0)),
    *((8.5, 1.0, 50, 4.0, 0.1, 3.0), (5.5, 1.0, 3, 0.1, 0.0, 3.0), (8.5, 1.0, 3, 9.0, 0.0, 3.0)),
    *((12.0, 1.0, 50, 40.0, 0.1, 3.0), (12.0, 1.0, 50, 1.0, 0.1, None)),
]


def facts():
    """Yield results of the package as it is imported now, one at a time."""
    with tempfile.TemporaryDirectory() as folder, mock.patch("os.fsync"):  # fsync takes most of the time
        text = Path(folder, "text")
        text.write_text("".join(f"{line}\n" for line in LINES))
        yield _faults()
        yield from _runs(Path(folder), text)


def _faults():
    from rnncli.runs.progress import Progress, RunningLoss
    from rnncli.training import divergence

    found = [
        divergence.fault(
            loss, norm, Progress(running=RunningLoss(loss_steps=step, loss_level=level, loss_spread=spread)), jump, 4.5
        )
        for loss, norm, step, level, spread, jump in FAULTS
    ]
    p = Progress()
    for loss in (4.0, 3.0, 5.0):
        divergence.update_running_loss_(p.running, loss, loss < 4.5, p.position)
        p.position.step, p.position.index = p.position.step + 1, p.position.index + 1
    return found, asdict(p)


def _runs(folder, text):
    from rnncli.config import corpora
    from rnncli.config.config import from_dict
    from rnncli.errors import RunError
    from rnncli.runs import checkpoint
    from rnncli.runs.folder import RunFolder
    from rnncli.training import divergence
    from rnncli.training.trainer import Trainer

    def fault(loss, norm, progress, jump, uniform):
        before = sum(times for step, times in DIVERGES_AT.items() if step <= progress.position.step)
        here = DIVERGES_AT.get(progress.position.step + 1, 0)
        return "diverged" if before <= progress.recovery.rollbacks < before + here else None

    divergence.fault = fault  # the caller discards or restores the package
    config = from_dict(SETTINGS | {"data": {"train": [str(text)], "mode": "stream", "valid": 0.2}})
    texts = corpora.texts(config)

    def trainer(name):
        run = RunFolder(folder / name)
        run.create()
        return Trainer(config, texts, 5, run)

    def left(name):
        run = folder / name
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        files = {str(path.relative_to(run)): path for path in run.glob("*/*")}
        hashes = {path: hashlib.sha256(file.read_bytes()).hexdigest() for path, file in sorted(files.items())}
        return hashes, [{key: value for key, value in row.items() if key not in TIMINGS} for row in rows]

    events = sum(1 for _ in trainer("whole").train())
    yield left("whole")
    newest = RunFolder(folder / "whole").checkpoints()[-1]
    content, refused = newest.read_bytes(), []
    headers = [at for at in range(len(content)) if content.startswith(b"PK\3\4", at)]
    for at in [*range(130, len(content), 701), *range(len(content) - 5000, len(content), 67), *headers]:
        newest.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        try:
            checkpoint.verify(newest)
            refused.append(False)
        except RunError:
            refused.append(True)
    newest.write_bytes(content)
    yield refused
    for n in range(1, events):
        stopped = n % 2 and n < events - 1
        if stopped and n % 4 == 3:
            continue
        again = trainer(f"{n}")
        if stopped:
            calls = []
            list(again.train(lambda calls=calls, n=n: calls.append(0) or ("stop" if len(calls) >= n // 2 else None)))
        else:
            training = again.train()
            for _ in range(n):
                next(training)
            training.close()
        yield left(f"{n}")
        again = trainer(f"{n}")
        if last := again.folder.last():
            yield last.path.relative_to(folder), [path.name for path in again.folder.preferred()]
            again.resume(last.path)
        list(again.train())
        yield left(f"{n}")
