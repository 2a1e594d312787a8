"""One training session of `rnncli train`: start or resume the run, show its events, report its end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from shutil import disk_usage
from typing import TYPE_CHECKING, Any

from rnncli.cli.options import notify, print_json, suggest_prediction
from rnncli.runs.events import Calibration, Done, Test, row

if TYPE_CHECKING:
    from rnncli.config.config import Config
    from rnncli.runs.find import Readable
    from rnncli.runs.folder import ResumePoint, RunFolder
    from rnncli.system.signals import Signals
    from rnncli.text.corpus import Texts
    from rnncli.training.trainer import Stop, Trainer


@dataclass(frozen=True)
class Session:
    """The settings of one `rnncli train`, and the command that resumes the run."""

    config: Config
    folder: RunFolder
    signals: Signals
    resume_command: str
    as_json: bool
    quiet: bool
    profile: bool

    def trainer(self, texts: Texts, warm: Readable | None = None) -> Trainer:
        """Start the run, or resume it from its last checkpoint; write the config and the vocabulary to the folder."""
        from rnncli.cli.existing_run import refuse_other_run
        from rnncli.config import yaml_file
        from rnncli.system.randomness import draw_seed
        from rnncli.text.vocabulary import write_words
        from rnncli.training.trainer import Trainer

        last = self.folder.last()
        random_seed = self.config.training.random_seed
        if last is not None:
            refuse_other_run(self.folder, last.metadata, self.config, texts)
            random_seed = last.metadata.random_seed
        elif random_seed is None:
            random_seed = draw_seed()
        if last is None and self.folder.guards():
            notify(f"warning: {self.folder.path / 'guard'}: no valid guard; starting from step 0")
        config = replace(self.config, training=replace(self.config.training, random_seed=random_seed))
        trainer = Trainer(config, texts, random_seed, self.folder)
        if last is not None:
            _resume(trainer, last)
        if last is None and warm is not None:
            _start_warm(trainer, warm)  # its guard makes the folder hold a run
        self.folder.begin()
        yaml_file.write(config, self.folder.config)
        write_words(texts.vocabulary, self.folder.vocabulary)
        self._warn_of_full_disk(trainer)
        return trainer

    def train(self, trainer: Trainer) -> None:
        """Train to the end or until a signal or the time limit stops it, and report the result."""
        from rnncli.cli.display.training import display

        if not (self.as_json or self.quiet):
            notify(_sizes(trainer))
        profile = trainer.profiled() if self.profile else trainer.profile
        shown = display(trainer, self.as_json, self.quiet)
        self.signals.defer()
        try:
            for event in trainer.train(self._stop(trainer), shown.watch):
                if isinstance(event, Done):
                    done = event
                elif isinstance(event, Calibration | Test):
                    for problem in event.problems:
                        notify(f"warning: skipped {problem}; measuring step {event.measured_step} instead")
                shown.show(event)
        finally:
            shown.close()
        self._report(done, profile.report(), shown.speed.words_per_second)
        if self.signals.received is not None and done.reason == self.signals.received.name:
            raise SystemExit(self.signals.exit_code)

    def print_done_row(
        self,
        done: Done,
        path: Path,
        peak: int | None = None,
        profile: dict[str, Any] | None = None,
        test: dict[str, Any] | None = None,
    ) -> None:
        """Print the last JSON row: how the run ended, its checkpoint at `path`, and `peak` memory in bytes.

        test: figures of the test text, measured by an earlier process.
        """
        document = row(done) | {"run": str(self.folder.path), "checkpoint": str(path), "peak_memory": peak}
        if test is not None:
            document |= {"test": test, "test_perplexity": test["perplexity"]}
        print_json(document | ({"profile": profile} if self.profile else {}), indent=None)

    def _warn_of_full_disk(self, trainer: Trainer) -> None:
        from rnncli.training.retention import room

        need, free = room(trainer.contents(), self.config.run.keep), disk_usage(self.folder.path).free
        if need > free:
            sizes = f"{free / 1e6:,.1f} MB free, but checkpoints will take up to {need / 1e6:,.1f} MB"
            notify(f"warning: {self.folder.path}: the disk has {sizes}; free some space, or set run.dir")

    def _stop(self, trainer: Trainer) -> Stop:
        """The function that the trainer asks whether to stop: the name of a signal, `max_time`, or None."""
        from rnncli.runs.progress import finished
        from rnncli.system.process import process_age

        limit = self.config.training.max_time

        def stop() -> str | None:
            if self.signals.received is not None:
                return self.signals.received.name
            begun = trainer.speed or finished(trainer.progress, self.config)  # one step at least
            return "max_time" if limit is not None and begun and process_age() >= limit.seconds else None

        return stop

    def _report(self, done: Done, profile: dict[str, Any] | None, words_per_second: float | None) -> None:
        from rnncli.cli.display.perplexities import print_done
        from rnncli.cli.display.profile import print_profile
        from rnncli.system.process import peak_memory

        peak, path = peak_memory(), self.folder.checkpoint_at(done.steps)
        if self.as_json:
            self.print_done_row(done, path, peak, profile)
            return
        print_done(done, peak, words_per_second, median=profile is not None)
        if profile:
            print_profile(profile)
        notify(f"saved {path}")
        if done.reason in ("epochs", "patience"):
            suggest_prediction(self.folder.path)
        else:
            notify(f"stopped by {done.reason}; resume with: {self.resume_command}")


def _resume(trainer: Trainer, last: ResumePoint) -> None:
    from rnncli.runs.differences import machine_differences

    for problem in last.passed_over:
        notify(f"warning: skipped {problem}")
    trainer.resume(last.path)
    notify(f"resuming from {last.path}, step {trainer.progress.position.step}")
    for line in machine_differences(last.metadata):
        notify(f"warning: {line}; results may differ in the last bits from those of an uninterrupted run")


def _start_warm(trainer: Trainer, found: Readable) -> None:
    """Begin the run with the weights of another, and report what is reused."""
    from rnncli.training.warm_start import start_from_

    for problem in found.problems:
        notify(f"warning: skipped {problem}")
    reused = start_from_(trainer, found)
    notify(f"starting from {found.path}: {reused.words:,} of {len(trainer.texts.vocabulary):,} words are known there")
    for name, rows, of in reused.partly:
        notify(f"  {name}: {rows:,} of {of:,} rows reused")
    if reused.drawn:
        notify(f"  drawn anew: {', '.join(reused.drawn)}")


def _sizes(trainer: Trainer) -> str:
    from rnncli.cli.display.perplexities import ends_in_words
    from rnncli.config import corpora

    texts, parameters = trainer.texts, trainer.model.parameters
    valid = f", {texts.valid.tokens:,} to validate" if texts.valid else ""
    ends = ends_in_words(corpora.text_format(trainer.config.data).ends)
    return (
        f"{texts.train.tokens:,} words to train on{valid}, {ends}; vocabulary {len(texts.vocabulary):,}; "
        f"{parameters.vector.size:,} parameters"
    )
