"""`rnncli train`: train a model as a config says."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rnncli.cli.options import tell

if TYPE_CHECKING:
    from rnncli.config import Config
    from rnncli.run import RunFolder, Signals
    from rnncli.training import Done, Trainer

# Options that are short for a --set.
SHORT = {"epochs": "training.epochs", "max_time": "training.max_time", "random_seed": "training.random_seed"}
# What a BLAS reads when NumPy is imported.
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@click.command()
@click.argument("config")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting: model.hidden_size=200.")
@click.option("--epochs", metavar="N", help="Short for --set training.epochs=N.")
@click.option("--max-time", metavar="TIME", help="Stop after 90s, 30m, 2h; short for --set training.max_time=TIME.")
@click.option("--random-seed", metavar="N", help="Short for --set training.random_seed=N.")
@click.option("--resume", is_flag=True, help="Go on with the run that is there, or start it.")
@click.option("--fresh", is_flag=True, help="Move the run that is there aside, and start anew.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Threads of the matrix products.")
@click.option("--dry-run", is_flag=True, help="Check everything, print sizes and memory, train nothing.")
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
    "best_valid_perplexity", "test_perplexity", "random_seed", "peak_memory" (bytes)}
    """
    if resume and fresh:
        raise click.UsageError("--resume goes on with the run, --fresh leaves it; give one of the two.")
    if threads is not None:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))  # before NumPy is imported
    from rnncli import config_file
    from rnncli.run import RunFolder

    short = [f"{SHORT[name]}={options[name]}" for name in SHORT if options[name] is not None]
    settings = config_file.read(config, [*overrides, *short])
    folder = RunFolder(Path(settings.run.dir or Path("runs", Path(config).stem)))
    if options["dry_run"]:
        _dry_run(settings, folder)
        return
    lasting = [f"{SHORT[name]}={options[name]}" for name in SHORT if options[name] is not None and name != "max_time"]
    again = ["rnncli", "train", config, *(word for setting in [*overrides, *lasting] for word in ("--set", setting))]
    command = shlex.join([*again, "--resume"])
    _Command(command, settings, folder, resume, fresh, options["as_json"], options["quiet"]).run()


@dataclass(frozen=True)
class _Command:
    """One `rnncli train`; `again` is the command that goes on with it."""

    again: str
    config: Config
    folder: RunFolder
    resume: bool
    fresh: bool
    as_json: bool
    quiet: bool

    def run(self) -> None:
        from rnncli import build

        if self._nothing_to_do():
            return
        texts = build.texts(self.config)
        build.check(self.config, texts)
        if self.fresh and self.folder.checkpoints():
            with self.folder.lock():
                tell(f"the run that was there is now {self.folder.move_aside()}")
        self.folder.create()
        with self.folder.lock():
            if self._nothing_to_do():  # another process may have come first
                return
            trainer = self._trainer(texts)
            self._train(trainer)

    def _nothing_to_do(self) -> bool:
        """Whether the run is finished; raises UsageError where the user must say what to do with an unfinished one."""
        from rnncli import snapshot
        from rnncli.errors import UsageError

        if self.fresh or (last := self.folder.last()) is None:
            return False
        path, meta = last
        progress = snapshot.progress_of(meta)
        if (reason := snapshot.finished(progress, self.config)) is not None:
            self._tell_finished(path, progress, reason, meta)
            return True
        if not self.resume:
            raise UsageError(
                f"{self.folder.path}: holds an unfinished run, stopped at step {progress.step}; "
                "go on with --resume, or begin anew with --fresh (the old one is moved aside)"
            )
        return False

    def _trainer(self, texts: Any) -> Trainer:
        from rnncli import config_file, snapshot
        from rnncli.errors import RunError
        from rnncli.randomness import draw_seed
        from rnncli.text.vocabulary import write_words
        from rnncli.training import Trainer

        last = None if self.fresh else self.folder.last()
        random_seed = self.config.training.random_seed
        if last is not None:
            path, meta = last
            if changed := snapshot.changes(meta, self.config, texts):
                listed = "".join(f"\n  {line}" for line in changed)
                raise RunError(f"{path}: cannot go on with another config or corpus:{listed}\nbegin anew with --fresh")
            random_seed = meta["random_seed"]
        elif random_seed is None:
            random_seed = draw_seed()
        trainer = Trainer(self.config, texts, random_seed, self.folder)
        if last is not None:
            trainer.resume(path)
            tell(f"going on from {path}, step {trainer.progress.step}")
            for line in snapshot.other_machine(meta):
                tell(f"warning: {line}; the bits may differ from those of a run that was not stopped")
        config_file.write(self.config, self.folder.config)
        write_words(texts.vocabulary, self.folder.vocabulary)
        return trainer

    def _train(self, trainer: Trainer) -> None:
        import signal

        from rnncli.cli.progress import display
        from rnncli.machine import process_age
        from rnncli.run import Signals
        from rnncli.training import Done

        limit = self.config.training.max_time
        with Signals() as signals:

            def stop() -> str | None:
                if signals.received is not None:
                    return signals.received.name
                return "max_time" if limit is not None and process_age() >= limit.seconds else None

            if not (self.as_json or self.quiet):
                tell(_sizes(trainer))
            shown = display(trainer, self.as_json, self.quiet)
            try:
                for event in trainer.train(stop):
                    shown.show(event)
                    if isinstance(event, Done):
                        done = event
            finally:
                shown.close()
        self._tell_done(done, signals)
        if signals.received in (signal.SIGINT, signal.SIGTERM):
            raise SystemExit(128 + signals.received)

    def _tell_done(self, done: Done, signals: Signals) -> None:
        from rnncli.machine import peak_memory
        from rnncli.run import to_json

        peak = peak_memory()
        path = self.folder.checkpoint_at(done.steps)
        if self.as_json:
            row = {"event": "done"} | asdict(done) | {"run": str(self.folder.path), "checkpoint": str(path)}
            click.echo(to_json(row | {"peak_memory": peak}))
            return
        figures = [
            f"{name} {value:.2f}"
            for name, value in (
                ("train", done.train_perplexity),
                ("valid", done.valid_perplexity),
                ("best valid", done.best_valid_perplexity),
                ("test", done.test_perplexity),
            )
            if value is not None
        ]
        rate = f", {done.words_per_second:,.0f} words/s" if done.words_per_second else ""
        memory = f", {peak / 1e6:,.0f} MB at most" if peak else ""
        epochs = f"{done.epochs} epoch{'' if done.epochs == 1 else 's'}"
        click.echo(f"{epochs}, {done.steps} steps: perplexity {', '.join(figures)}{rate}{memory}")
        tell(f"saved {path}")
        if done.reason in ("epochs", "patience"):
            tell(f'try: rnncli predict --run {self.folder.path} --seed "..."')
        else:
            tell(f"stopped by {done.reason}; go on with: {self.again}")

    def _tell_finished(self, path: Path, progress: Any, reason: str, meta: dict[str, Any]) -> None:
        from rnncli import snapshot
        from rnncli.evaluate import perplexity
        from rnncli.run import to_json

        if self.as_json:
            losses = (progress.train_loss, progress.valid_loss, progress.best_loss)
            train, valid, best = (None if loss is None else perplexity(loss) for loss in losses)
            row: dict[str, Any] = {
                "event": "done",
                "reason": reason,
                "run": str(self.folder.path),
                "checkpoint": str(path),
            }
            row |= {"epochs": progress.epoch, "steps": progress.step, "words_per_second": None}
            row |= {
                "train_perplexity": train,
                "valid_perplexity": valid,
                "best_valid_perplexity": best,
                "test_perplexity": None,
            }
            click.echo(to_json(row | {"random_seed": meta["random_seed"], "peak_memory": None}))
        tell(f"{self.folder.path}: finished already, after {progress.epoch} epochs; --fresh trains it anew")
        for line in snapshot.changes(meta, self.config, None):
            tell(f"  changed since then: {line}")


def _sizes(trainer: Trainer) -> str:
    texts, parameters = trainer.texts, trainer.model.parameters
    valid = f", {texts.valid.tokens:,} to validate" if texts.valid else ""
    return (
        f"{texts.train.tokens:,} words to train on{valid}; vocabulary {len(texts.vocabulary):,}; "
        f"{parameters.vector.size:,} parameters"
    )


def _dry_run(config: Config, folder: RunFolder) -> None:
    from rnncli import build, machine
    from rnncli.cli.options import print_table

    texts = build.texts(config)
    V = len(texts.vocabulary)
    batches = build.training_batches(config, texts.train, texts.vocabulary.end_id, config.training.random_seed or 0)
    sizes = build.architecture(config, V)
    rows = [["what", "size"], ["run folder", str(folder.path)]]
    for name, text in (("training text", texts.train), ("validation text", texts.valid), ("test text", texts.test)):
        if text is not None:
            rows.append([name, f"{text.tokens:,} words in {text.lines:,} lines, {len(text.oov_positions):,} unknown"])
    rows += [["vocabulary", f"{V:,} words"], ["steps an epoch", f"{batches.steps(0):,}"]]
    rows += [[name, " x ".join(map(str, shape))] for name, shape in sizes.shapes().items()]
    needs = build.memory(config, sizes)
    rows += [[f"memory: {name}", f"{size / 1e6:,.1f} MB"] for name, size in needs.items()]
    rows.append(
        ["memory: together", f"{sum(needs.values()) / 1e6:,.1f} MB beside about 60 MB for Python and the texts"]
    )
    print_table(rows)
    build.check(config, texts)
    available = machine.available_memory()
    tell(f"nothing was trained{'' if available is None else f'; {available / 1e6:,.0f} MB are free here'}")
