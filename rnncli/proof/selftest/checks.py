"""The checks of the selftest."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from subprocess import Popen
from typing import Any

from rnncli.errors import NumericalError, RnncliError, RunError, RunInUseError, WriteError, reason
from rnncli.proof.selftest.comparison import difference, digest, middle_of
from rnncli.proof.selftest.program import LIMIT, FailedError, Program, own, steps_in
from rnncli.runs.folder import RunFolder
from rnncli.system import disk

TRIES = 5  # attempts to stop a run before it ends
FLIPPED = ("parameter.", "moment.", "state.", "meta")  # one bit is flipped in a member of each kind

# Sentences are longer than a window, so that a run stopped between two windows must save its state; and a run has all
# else that a resumed one must draw or compute again: masks, a schedule, an average.
CONFIG = """\
data: {train: corpus.txt, valid: 0.1}
vocabulary: {unknown: true}
model: {cell: lstm, layers: 2, hidden_size: 64, embedding_size: 32, tied: true, residual: true}
dropout: {input: 0.1, hidden: 0.1, output: 0.1, word: 0.1, recurrent: 0.1}
penalty: {activation: 0.1, temporal: 0.1}
optimizer: {learning_rate: 0.01, weight_decay: 0.01, schedule: {name: cosine, warmup: 0.1}}
training: {epochs: 4, batch_size: 4, bptt: 6, random_seed: 1, averaging: ema}
run: {checkpoint_every: 7 steps}
"""


@dataclass(frozen=True)
class Check:
    """The result of one check; `passed` is None if it could not be made on this machine.

    `seen` describes the observation, `expected` the expected one. `error`: the error that a failure raises.
    """

    name: str
    passed: bool | None
    seen: str
    expected: str
    seconds: float
    error: type[RnncliError]


class NotCheckedError(Exception):
    """A check could not be made; the message is the reason."""


class Selftest:
    """Checks of one program, in a temporary folder.

    `program`: its command line, by default that of this installation. `names`: names of the checks, by default all.
    `kept`: the folder, if a check has failed; it is then not removed.
    """

    def __init__(self, program: Sequence[str] | None = None, names: Sequence[str] | None = None) -> None:
        self.kept: Path | None = None
        self._words = own() if program is None else program
        self._names = list(CHECKS) if names is None else names
        self._steps: int | None = None  # of the uninterrupted run, after it was trained
        self._proof: Popen[str] | None = None  # gradcheck, which runs in parallel with the other checks

    def checks(self) -> Generator[Check, None, None]:
        """Make the checks one by one; close this generator to stop. Raises WriteError.

        At the end all processes are killed, and the folder is removed unless a check failed.
        """
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="rnncli-selftest-"))
        except OSError as problem:
            raise WriteError(f"cannot make a temporary folder: {reason(problem)}", remedy="set TMPDIR") from problem
        self._program = Program(self._words, self._folder)
        try:
            self._write_texts()
            with suppress(FailedError):  # the check itself will report it
                self._proof = self._program.start("gradcheck", "--json") if "gradcheck" in self._names else None
            for name in self._names:
                yield self._check(name, *CHECKS[name])
        finally:
            self._program.close()
            if self.kept is None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _write_texts(self) -> None:
        corpus = files("rnncli").joinpath("cli", "starter", "corpus.txt").read_bytes()
        with disk.writing(self._folder, "set TMPDIR"):
            (self._folder / "config.yaml").write_text(CONFIG)
            (self._folder / "corpus.txt").write_bytes(corpus)

    def _check(self, name: str, expected: str, error: type[RnncliError], check: Callable[[Selftest], str]) -> Check:
        started, passed = time.monotonic(), None
        try:
            seen = check(self)
            passed = True
        except NotCheckedError as reason:
            seen = str(reason)
        except (FailedError, RnncliError, OSError, ValueError, LookupError, TypeError) as failure:
            # A broken program may write anything.
            seen, passed, self.kept = str(failure) or type(failure).__name__, False, self._folder
        return Check(name, passed, seen, expected, time.monotonic() - started, error)

    def train(self) -> str:
        rows = self._program.run("train", *_run("whole"), "--json").splitlines()
        done = _json(rows[-1] if rows else "")
        steps, reason = done["steps"], done["reason"]
        seen = f"{steps} steps, {done['epochs']} epochs, validation perplexity {done['best_valid_perplexity']:.1f}"
        if reason != "epochs" or not RunFolder(self._folder / "whole").checkpoint_at(steps).exists():
            raise FailedError(f"{seen}, stopped by {reason}, without a checkpoint of the last step")
        self._steps = steps
        return seen

    def repeat(self) -> str:
        self._trained()
        self._program.run("train", *_run("again"), "--quiet")
        return f"trained again: {self._same_as_whole('again')}"

    def kill(self) -> str:
        steps = self._trained()
        for n in range(TRIES):
            run = RunFolder(self._folder / f"killed-{n}")
            words = ("train", *_run(run.path.name), "--quiet")
            process = self._program.start(*words)
            killed = self._program.reaches(process, run.metrics, steps * 3 // 8)
            if killed:
                process.kill()
            ended = self._program.wait(process)
            if ended.code == 0:  # it ended before it was killed
                continue
            if not killed:
                raise FailedError(str(ended))
            at, saved = steps_in(run.metrics), [int(path.stem[5:]) for path in run.checkpoints()]
            self._program.run(*words, "--resume")
            return f"killed at step {at}, resumed at {max(saved, default=0)}: {self._same_as_whole(run.path.name)}"
        raise FailedError(f"{TRIES} runs ended before they could be killed")

    def stop(self) -> str:
        steps = self._trained()
        if os.name == "nt":
            raise NotCheckedError("no signals on this system")
        for n in range(TRIES):
            run = RunFolder(self._folder / f"stopped-{n}")
            first = self._stop(run, signal.SIGTERM, steps * 3 // 8)
            second = first and self._stop(run, signal.SIGINT, steps * 5 // 8)
            if first and second:
                self._program.run("train", *_run(run.path.name), "--quiet", "--resume")
                return f"SIGTERM at step {first}, SIGINT at {second}: {self._same_as_whole(run.path.name)}"
        raise FailedError(f"{TRIES} runs ended before they could be stopped")

    def _stop(self, run: RunFolder, number: signal.Signals, step: int) -> int | None:
        """Start or resume, and stop at this step or later. Return the step, or None if the run ended before."""
        step = max(step, steps_in(run.metrics) + 1)  # taken by this process: by then it handles signals
        process = self._program.start("train", *_run(run.path.name), "--quiet", "--resume")
        if self._program.reaches(process, run.metrics, step):
            process.send_signal(number)
        ended = self._program.wait(process)
        if ended.code == 0:
            return None
        at = steps_in(run.metrics)
        if ended.code != 128 + number:
            raise FailedError(f"{number.name} at step {at}: {ended}")
        if not run.checkpoint_at(at).exists():
            raise FailedError(f"{number.name} at step {at} left no checkpoint of that step")
        return at

    def damage(self) -> str:
        whole = RunFolder(self._folder / "whole").checkpoint_at(self._trained()).read_bytes()
        copy = self._folder / "copy.npz"
        copy.write_bytes(whole)
        self._program.run("inspect", "--verify", copy.name)
        for kind in FLIPPED:
            damaged, at = self._folder / f"one-bit-of-{kind.strip('.')}.npz", middle_of(copy, kind)
            damaged.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
            self._program.run("inspect", "--verify", damaged.name, code=RunError.exit_code)
        return f"{len(FLIPPED)} copies, each with one bit flipped, were refused"

    def lock(self) -> str:
        self._trained()
        held = RunFolder(self._folder / "held")
        words = ("train", *_run("held"), "--epochs", "1000000", "--max-time", f"{LIMIT:g}s", "--quiet")
        holder = self._program.start(*words)
        if not self._program.reaches(holder, held.metrics, 1):
            raise FailedError(str(self._program.wait(holder)))
        if os.name == "nt":
            raise NotCheckedError("no locks on this system")
        self._program.run(*words, "--max-time", "0s", "--resume", code=RunInUseError.exit_code)
        if holder.poll() is not None:
            raise FailedError(f"the first {self._program.wait(holder)}")
        holder.kill()
        self._program.wait(holder)
        if (by := held.holder()) is not None:
            raise FailedError(f"killed, but its run is still locked by {by}")
        return "a second train was refused; kill released the lock"

    def predict(self) -> str:
        self._trained()
        words = ("--seed", "the", "--top", "1000000", "--samples", "1", "--random-seed", "1", "--json")
        candidates = _json(self._program.run("predict", "--run", "whole", *words))["candidates"]
        total = sum(each["probability"] for each in candidates)
        seen = f"{len(candidates)} probabilities of a next word sum to {total:.6f}"
        if not abs(total - 1) < 1e-5:
            raise FailedError(seen)
        return seen

    def gradcheck(self) -> str:
        ended = self._program.wait(self._proof or self._program.start("gradcheck", "--json"))
        if ended.code:
            raise FailedError(str(ended))
        found = _json(ended.stdout)
        checks, tolerance = found["checks"], found["tolerance"]
        largest = max(check["max_relative_error"] for check in checks)
        seen = f"{len(checks)} tensors: largest error {largest:.1e} ({found['seconds']:.1f} s)"
        if found["passed"] is not True or not largest <= tolerance:
            raise FailedError(seen)
        return seen

    def _trained(self) -> int:
        """Steps of the uninterrupted run. Raises NotCheckedError if it was not trained."""
        if self._steps is None:
            raise NotCheckedError("needs the run of train")
        return self._steps

    def _same_as_whole(self, run: str) -> str:
        if (different := difference(self._folder / "whole", self._folder / run)) is not None:
            raise FailedError(f"{run}: {different}")
        return f"bytes {digest(self._folder / run)}"


def _run(name: str) -> tuple[str, ...]:
    return "config.yaml", "--set", f"run.dir={name}"


def _json(text: str) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise FailedError(f"no JSON object: {text[:40]}")
    return found


# Name -> expected observation, error that a failure raises, check; in the order in which they run.
CHECKS: dict[str, tuple[str, type[RnncliError], Callable[[Selftest], str]]] = {
    "train": ("a run to the end of its epochs, with a checkpoint", RunError, Selftest.train),
    "repeat": ("the same bytes from the same config and seed", NumericalError, Selftest.repeat),
    "kill": ("after SIGKILL and --resume the bytes of the uninterrupted run", NumericalError, Selftest.kill),
    "stop": ("after SIGTERM, SIGINT and --resume the same bytes", NumericalError, Selftest.stop),
    "damage": ("a damaged checkpoint refused with exit code 5", RunError, Selftest.damage),
    "lock": ("the second train on a folder refused with exit code 8", RunError, Selftest.lock),
    "predict": ("probabilities that sum to 1", NumericalError, Selftest.predict),
    "gradcheck": ("every gradient equal to its numerical derivative", NumericalError, Selftest.gradcheck),
}
