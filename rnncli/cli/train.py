"""`rnncli train`: train a model as a config says."""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import disk_usage
from typing import TYPE_CHECKING, Any

import click

from rnncli.cli.options import set_option, tell
from rnncli.runs.events import Done, row
from rnncli.system import json_text
from rnncli.system.signals import Signals, Stopped
from rnncli.system.threads import prepare

if TYPE_CHECKING:
    from rnncli.config.config import Config
    from rnncli.runs.checkpoint import Described
    from rnncli.runs.folder import RunFolder
    from rnncli.text.corpus import Texts
    from rnncli.training.trainer import Trainer

# Options that are short for a --set.
SHORT = {"epochs": "training.epochs", "max_time": "training.max_time", "random_seed": "training.random_seed"}


@click.command()
@click.argument("config")
@set_option
@click.option("--epochs", metavar="N", help="Short for --set training.epochs=N.")
@click.option("--max-time", metavar="TIME", help="Stop after 90s, 30m, 2h; short for --set training.max_time=TIME.")
@click.option("--random-seed", metavar="N", help="Short for --set training.random_seed=N.")
@click.option("--resume", is_flag=True, help="Go on with the run that is there, or start it.")
@click.option("--fresh", is_flag=True, help="Move the run that is there aside, and start anew.")
@click.option("--threads", type=click.IntRange(1, 1024), metavar="N", help="How many cores to use; without it: all.")
@click.option("--dry-run", is_flag=True, help="Check everything, print sizes and memory, train nothing.")
@click.option("--profile", is_flag=True, help="Print where the time of a step went, at the end.")
@click.option("--quiet", is_flag=True, help="No bar and no lines while training.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout, the last with event done.")
def train(
    config: str, overrides: tuple[str, ...], resume: bool, fresh: bool, threads: int | None, **options: Any
) -> None:
    """Train a model as CONFIG says.

    \b
    Examples:
      rnncli train configs/fruit.yaml
      rnncli train configs/book.yaml --set data.train=war-and-peace.txt --max-time 30m
      rnncli train configs/book.yaml --resume

    The run goes into ./runs/<name of the config>, or where run.dir says. Ctrl-C saves and stops; --resume goes on
    from there, to the same bits as if it had never stopped.

    \b
    JSON: the rows of metrics.jsonl, then {"event": "done", "reason" (epochs, patience, max_time or a signal), "run",
    "checkpoint", "epochs", "steps", "words_per_second", "train_perplexity", "valid_perplexity",
    "best_valid_perplexity", "test_perplexity", "random_seed", "peak_memory" (bytes), "train_tokens" (what
    train_perplexity is over), "train", "valid", "best_valid", "test"};
    the last four, and "train" and "valid" in the row of an epoch, are null or have what evaluate --json has: over how
    many tokens, with <end> or not, how many unknown, perplexity with and without them and with their spelling, bits;
    perplexities of training are null where the output layer is sampled: its loss has none;
    and with --profile "profile": {"steps", "milliseconds", "gflops", "sections": [{"name", "milliseconds", "percent",
    "gflops"}]}, means of the steps behind the first five; or null, where no step was taken
    With --dry-run: {"run", "texts", "vocabulary", "steps", "parameters", "memory" (bytes, by what they are for),
    "predicted_peak_memory" (bytes, of the whole process), "available_memory" (bytes)}
    """
    if resume and fresh:
        raise click.UsageError("--resume goes on with the run, --fresh leaves it; give one of the two.")
    if options["dry_run"] and options["profile"]:
        raise click.UsageError("--profile times the steps of a run, and --dry-run takes none; give one of the two.")
    with Signals() as signals:
        try:
            if threads is not None:
                _set_threads(threads)
            from rnncli.config import yaml_file
            from rnncli.runs.folder import RunFolder

            short = {SHORT[name]: options[name] for name in SHORT if options[name] is not None}
            settings = yaml_file.read(config, [*overrides, *(f"{key}={value}" for key, value in short.items())])
            folder = RunFolder(Path(settings.run.dir or Path("runs", Path(config).stem)))
            if options["dry_run"]:
                from rnncli.cli.dry_run import dry_run

                dry_run(settings, folder, options["as_json"])
                return
            again = _again(config, overrides, short, threads)
            shown = {name: options[name] for name in ("as_json", "quiet", "profile")}
            _Command(again, settings, folder, resume, fresh, signals, **shown).run()
        except Stopped:
            tell("stopped before the first step")
            raise


def _set_threads(threads: int) -> None:
    prepare(threads)  # what NumPy's import reads, just below
    from rnncli.system import blas

    blas.set_threads(threads)  # and where it was imported before


def _again(config: str, overrides: tuple[str, ...], short: dict[str, str], threads: int | None) -> str:
    """The command that goes on with this run, without what ended it."""
    lasting = [*overrides, *(f"{key}={value}" for key, value in short.items())]
    lasting = [setting for setting in lasting if setting.split("=")[0].strip() != SHORT["max_time"]]
    kept = [word for setting in lasting for word in ("--set", setting)]
    return shlex.join(["rnncli", "train", config, *kept, *(["--threads", str(threads)] if threads else []), "--resume"])


@dataclass(frozen=True)
class _Command:
    """One `rnncli train`; `again` is the command that goes on with it."""

    again: str
    config: Config
    folder: RunFolder
    resume: bool
    fresh: bool
    signals: Signals
    as_json: bool
    quiet: bool
    profile: bool

    def run(self) -> None:
        from rnncli.cli.display.reading import reading_display
        from rnncli.config import corpora
        from rnncli.training import memory_forecast

        if self._nothing_to_do():
            return
        with reading_display(self.quiet) as watch:
            texts = corpora.texts(self.config, watch)
        memory_forecast.check(self.config, texts)
        if self.fresh and self.folder.holds_run():
            with self.folder.lock():
                if self.folder.holds_run():  # else another process has moved it
                    tell(f"the run that was there is now {self.folder.move_aside()}")
        self.folder.create()
        with self.folder.lock():
            if self._nothing_to_do(locked=True):  # another process may have come first
                return
            self._train(self._trainer(texts))

    def _nothing_to_do(self, locked: bool = False) -> bool:
        """Whether the run is finished. Raises UsageError where the user must say what to do with what is there, and
        RunInUseError where another process is at it.
        """
        from rnncli.errors import UsageError
        from rnncli.runs import lock
        from rnncli.runs.progress import finished

        if not self.folder.holds_run():
            for path in (self.folder.config, self.folder.vocabulary):
                if path.exists():
                    raise UsageError(f"{path}: there already, and of no run; set another run.dir")
            return False
        if self.fresh:
            return False
        if not locked and (holder := self.folder.holder()):
            raise lock.in_use(self.folder.path, holder)
        last = self.folder.last()
        if last is not None:
            progress = last.described.progress
            if (reason := finished(progress, self.config)) is not None:
                self._tell_finished(last.path, last.described, reason)
                return True
        if not self.resume:
            where = f"an unfinished run, stopped at step {progress.step}" if last else "a run without a checkpoint yet"
            raise UsageError(
                f"{self.folder.path}: holds {where}; "
                "go on with --resume, or begin anew with --fresh (the old one is moved aside)"
            )
        return False

    def _trainer(self, texts: Texts) -> Trainer:
        """The trainer of this run, with the folder made ready for it."""
        from rnncli.config import yaml_file
        from rnncli.errors import RunError
        from rnncli.runs import checkpoint
        from rnncli.system.randomness import draw_seed
        from rnncli.text.vocabulary import write_words
        from rnncli.training.retention import room
        from rnncli.training.trainer import Trainer

        last = self.folder.last()
        random_seed = self.config.training.random_seed
        if last is not None:
            if changed := checkpoint.changes(last.described, self.config, texts):
                listed = "".join(f"\n  {line}" for line in changed)
                raise RunError(
                    f"{last.path}: cannot go on with another config or corpus:{listed}\nbegin anew with --fresh"
                )
            random_seed = last.described.random_seed
        elif random_seed is None:
            random_seed = draw_seed()
        if last is None and self.folder.guards():
            tell(f"warning: {self.folder.path / 'guard'}: nothing in it is whole; the run begins anew")
        config = replace(self.config, training=replace(self.config.training, random_seed=random_seed))
        trainer = Trainer(config, texts, random_seed, self.folder)
        if last is not None:
            for problem in last.passed_over:
                tell(f"warning: passed over {problem}")
            trainer.resume(last.path)
            tell(f"going on from {last.path}, step {trainer.progress.step}")
            for line in checkpoint.other_machine(last.described):
                tell(f"warning: {line}; the bits may differ from those of a run that was not stopped")
        self.folder.begin()
        yaml_file.write(config, self.folder.config)
        write_words(texts.vocabulary, self.folder.vocabulary)
        if (need := room(trainer.contents(), config.run.keep)) > (free := disk_usage(self.folder.path).free):
            has = f"{free / 1e6:,.1f} MB free, and checkpoints will take up to {need / 1e6:,.1f} MB"
            tell(f"warning: {self.folder.path}: the disk has {has}; make room, or set run.dir")
        return trainer

    def _train(self, trainer: Trainer) -> None:
        from rnncli.cli.display.training import Nothing, display
        from rnncli.system.process import process_age

        limit = self.config.training.max_time

        def stop() -> str | None:
            if self.signals.received is not None:
                return self.signals.received.name
            late = limit is not None and trainer.rates and process_age() >= limit.seconds
            return "max_time" if late else None

        if not (self.as_json or self.quiet):
            tell(_sizes(trainer))
        profile = trainer.profiled() if self.profile else trainer.profile
        shown = display(trainer, self.as_json, self.quiet)
        self.signals.defer()
        try:
            for event in trainer.train(stop):
                if isinstance(event, Done):
                    done = event
                try:
                    shown.show(event)
                except OSError as error:  # who read our output has gone, or its disk is full; the run goes on
                    shown = Nothing()
                    tell(f"nothing more can be shown: {error.strerror}; training goes on")
        finally:
            shown.close()
        self._tell_done(done, profile.report())
        if self.signals.received is not None and done.reason == self.signals.received.name:
            raise SystemExit(self.signals.exit_code)

    def _tell_done(self, done: Done, profile: dict[str, Any] | None) -> None:
        from rnncli.cli.display.perplexities import print_done
        from rnncli.cli.display.profile import print_profile
        from rnncli.system.process import peak_memory

        peak, path = peak_memory(), self.folder.checkpoint_at(done.steps)
        if self.as_json:
            self._print_done(done, path, peak, profile)
            return
        print_done(done, peak)
        if profile:
            print_profile(profile)
        tell(f"saved {path}")
        if done.reason in ("epochs", "patience"):
            tell(f'try: rnncli predict --run {self.folder.path} --seed "..."')
        else:
            tell(f"stopped by {done.reason}; go on with: {self.again}")

    def _tell_finished(self, path: Path, described: Described, reason: str) -> None:
        from rnncli.cli.display.reading import reading_display
        from rnncli.config import corpora
        from rnncli.errors import RnncliError
        from rnncli.runs import checkpoint
        from rnncli.runs.progress import done
        from rnncli.text.files import size_of

        if self.as_json:
            self._print_done(done(described.progress, self.config, reason, described.random_seed), path)
        tell(f"{self.folder.path}: finished already, after {described.progress.epoch} epochs; --fresh trains it anew")
        texts = None
        with suppress(RnncliError), reading_display(self.quiet) as watch:  # a finished run needs its texts no more
            if size_of(corpora.files(self.config).paths) is not None:  # nobody may write into that pipe again
                texts = corpora.texts(self.config, watch)
        for line in checkpoint.changes(described, self.config, texts):
            tell(f"  changed since then: {line}")

    def _print_done(
        self, done: Done, path: Path, peak: int | None = None, profile: dict[str, Any] | None = None
    ) -> None:
        told = row(done) | {"run": str(self.folder.path), "checkpoint": str(path), "peak_memory": peak}
        click.echo(json_text.dumps(told | ({"profile": profile} if self.profile else {})))


def _sizes(trainer: Trainer) -> str:
    from rnncli.cli.display.perplexities import ends_in_words
    from rnncli.config import corpora

    texts, parameters = trainer.texts, trainer.model.parameters
    valid = f", {texts.valid.tokens:,} to validate" if texts.valid else ""
    ends = ends_in_words(corpora.reading(trainer.config.data).ends)
    return (
        f"{texts.train.tokens:,} words to train on{valid}, {ends}; vocabulary {len(texts.vocabulary):,}; "
        f"{parameters.vector.size:,} parameters"
    )
