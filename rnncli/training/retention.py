"""What of a run is kept on the disk while it trains, and in which order, so that it may be killed at any instant."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import numpy as np

from rnncli.config.config import Config
from rnncli.errors import RunError
from rnncli.model.parameters import Parameters
from rnncli.runs import checkpoint
from rnncli.runs.checkpoint import Contents
from rnncli.runs.folder import RunFolder
from rnncli.runs.metrics import Metrics
from rnncli.runs.progress import Progress
from rnncli.training.divergence import Diverged


class Keeper:
    """Writes the checkpoints and guards of one run, and removes those that need not be kept.

    A guard is a checkpoint at a fixed step, which a run that diverges goes back to, so that what happens then depends
    on no clock and no signal. It is on the disk at once, where a killed process leaves it, and made durable before the
    next checkpoint; a run that lost it in a power cut stands at an earlier checkpoint, and comes by its step again.
    """

    def __init__(self, folder: RunFolder, config: Config) -> None:
        self._folder, self._keep, self._every = folder, config.run.keep, config.guard.every
        self._written: tuple[int, int] | None = None  # step and completed epochs of the last checkpoint
        self._best_of_guards: dict[int, int | None] = {}  # by the steps of the guards that are there

    def save(self, contents: Contents, metrics: Metrics) -> None:
        """Write a checkpoint of this step, if there is none yet. What it needs to go on is on the disk before it.

        Raises WriteError; Diverged, where a parameter is not finite.
        """
        p = contents.progress
        at = (p.step, p.epoch)  # the end of an epoch changes what is stored, without a step
        if self._written != at:
            _check(contents)
            metrics.sync()
            self._folder.sync_guards()
            checkpoint.write(self._folder.checkpoint_at(p.step), contents)
            self._written = at
            self._folder.prune(self._keep, p.step, (p.best_step, *self._best_of_guards.values()))

    def guard(self, contents: Contents) -> None:
        """Keep a guard, and the one before. Raises as `save` does."""
        p = contents.progress
        _check(contents)
        before, p.guarded = p.guarded, p.step
        self._folder.create_for_guards()
        checkpoint.write(self._folder.guard_at(p.step), contents, durable=False)
        self._folder.prune_guards({p.step, before})
        self._best_of_guards = {before: self._best_of_guards.get(before), p.step: p.best_step}

    def resumed(self, path: Path, progress: Progress) -> None:
        """The run goes on from that checkpoint, or guard, and is at that progress."""
        if path == self._folder.checkpoint_at(progress.step):
            self._written = (progress.step, progress.epoch)
        for guard in self._folder.guards():
            with suppress(RunError):
                kept = checkpoint.describe(guard).progress
                self._best_of_guards[kept.step] = kept.best_step

    def behind(self, progress: Progress, at: int) -> Path | None:
        """What a run that diverges at a step goes back to: the last guard, or the one before where that was gone back
        to in vain; None for the beginning.

        Where the guard is lost, the newest checkpoint before the step that was not taken.
        """
        self._written = None  # what is there of later steps is of a run that went another way
        in_vain = progress.rollbacks > 0 and at <= progress.diverged_at and progress.back_to == progress.guarded
        until = progress.guarded - self._every if in_vain else progress.guarded
        return self._folder.newest(until, progress.step) if until > 0 else None


def room(contents: Contents, keep: int) -> int:
    """Bytes that the files of a run take at most: `keep` checkpoints, the best, two guards and the best of each, and
    one that is being written.
    """
    numbers = contents.parameters.vector.nbytes + sum(moment.nbytes for moment in contents.moments.values())
    return (keep + 6) * (numbers + sum(len(word.encode()) + 12 for word in contents.vocabulary.words))


def _check(contents: Contents) -> None:
    """Raises Diverged where a number that would be written is not finite."""
    vectors = {"": contents.parameters.vector} | {f"the moment {n} of ": each for n, each in contents.moments.items()}
    for what, vector in vectors.items():
        if not (np.isfinite(vector.min()) and np.isfinite(vector.max())):  # NaN is both
            tensors = Parameters(contents.parameters.shapes, vector=vector)
            bad = next(name for name, tensor in tensors.items() if not np.isfinite(tensor).all())
            raise Diverged(f"{what}{bad} is not finite", math.nan, contents.progress.gradient_norm, bad)
    for name, array in contents.state.items():
        if not np.isfinite(array).all():
            raise Diverged(f"the state {name} is not finite", math.nan, contents.progress.gradient_norm)
