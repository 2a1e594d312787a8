"""Writing and pruning of checkpoints and guards, in an order that is safe if the process is killed at any time."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import numpy as np

from rnncli.config.config import Config
from rnncli.errors import RunError
from rnncli.model.parameters import Parameters
from rnncli.runs import checkpoint
from rnncli.runs.checkpoint import Checkpoint
from rnncli.runs.folder import RunFolder
from rnncli.runs.metrics import Metrics
from rnncli.runs.progress import Progress
from rnncli.training.divergence import Diverged


class Keeper:
    """Writes the checkpoints and guards of one run, and removes those that are no longer needed.

    A guard is a checkpoint at a fixed step, to which a run that diverges is rolled back, so that the result does not
    depend on a clock or a signal. It survives a killed process at once, and is synced to disk before the next
    checkpoint. A run that loses it in a power cut resumes from an earlier checkpoint and writes it again.
    """

    def __init__(self, folder: RunFolder, config: Config) -> None:
        self._folder, self._keep, self._every = folder, config.run.keep, config.guard.every
        self._written: tuple[int, int] | None = None  # step and completed epochs of the last checkpoint
        self._best_of_guards: dict[int, int | None] = {}  # by the step of each guard

    def save(self, contents: Checkpoint, metrics: Metrics) -> None:
        """Write a checkpoint of this step unless it exists; metrics and guards, needed to resume it, are synced first.

        Raises WriteError; Diverged if a number in it is not finite.
        """
        p, best = contents.progress.position, contents.progress.measured.best_step
        at = (p.step, p.epoch)  # the end of an epoch changes the contents without a step
        if self._written != at:
            _check(contents)
            metrics.sync()
            self._folder.sync_guards()
            checkpoint.write(self._folder.checkpoint_at(p.step), contents)
            self._written = at
            self._folder.prune(self._keep, p.step, (best, *self._best_of_guards.values()))

    def guard_(self, contents: Checkpoint) -> None:
        """Write a guard; keep it and the previous one. Raises as `save` does."""
        step, recovery = contents.progress.position.step, contents.progress.recovery
        _check(contents)
        before, recovery.guarded = recovery.guarded, step
        self._folder.create_for_guards()
        checkpoint.write(self._folder.guard_at(step), contents, durable=False)
        self._folder.prune_guards({step, before})
        best = contents.progress.measured.best_step
        self._best_of_guards = {before: self._best_of_guards.get(before), step: best}

    def resumed(self, path: Path, progress: Progress) -> None:
        """Record that the run was resumed from this checkpoint or guard, at this progress."""
        if path == self._folder.checkpoint_at(progress.position.step):
            self._written = (progress.position.step, progress.position.epoch)
        for guard in self._folder.guards():
            with suppress(RunError):
                kept = checkpoint.read_metadata(guard).progress
                self._best_of_guards[kept.position.step] = kept.measured.best_step

    def rollback_target(self, progress: Progress, at: int) -> Path | None:
        """The file to roll back to after divergence at step `at`: the last guard, or the earlier guard if the last one
        failed again; None for the beginning. A warm start has a guard at step 0.

        If the guard is lost: the newest checkpoint before the rejected step.
        """
        r = progress.recovery
        failed_again = r.rollbacks > 0 and at <= r.diverged_at and r.back_to == r.guarded
        until = max(0, r.guarded - self._every if failed_again else r.guarded)
        begun = until > 0 or self._folder.guard_at(0).exists()
        return self._folder.newest(until, progress.position.step) if begun else None

    def discard_later_steps(self) -> None:
        """The run was rolled back: existing checkpoints of later steps no longer belong to it."""
        self._written = None


def room(contents: Checkpoint, keep: int) -> int:
    """Upper bound, in bytes, on the files of a run: `keep` checkpoints, the best, two guards and the best of each, and
    one being written.
    """
    numbers = contents.parameters.vector.nbytes + sum(moment.nbytes for moment in contents.moments.values())
    return (keep + 6) * (numbers + sum(len(word.encode()) + 12 for word in contents.vocabulary.words))


def _check(contents: Checkpoint) -> None:
    """Raise Diverged if a number to be written is not finite."""
    vectors = {"": contents.parameters.vector} | {f"the moment {n} of ": each for n, each in contents.moments.items()}
    for what, vector in vectors.items():
        if not (np.isfinite(vector.min()) and np.isfinite(vector.max())):  # NaN propagates to both
            tensors = Parameters(contents.parameters.shapes, vector=vector)
            bad = next(name for name, tensor in tensors.items() if not np.isfinite(tensor).all())
            raise Diverged(f"{what}{bad} is not finite", math.nan, contents.progress.position.gradient_norm, bad)
    for name, array in contents.state.items():
        if not np.isfinite(array).all():
            raise Diverged(f"the state {name} is not finite", math.nan, contents.progress.position.gradient_norm)
