"""`rnncli train`: the command and its options."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rnncli.cli.options import complete_paths, notify, set_option
from rnncli.system.signals import Signals, Stopped
from rnncli.system.threads import count, prepare

if TYPE_CHECKING:
    from rnncli.cli.existing_run import Choice
    from rnncli.cli.training_session import Session
    from rnncli.runs.folder import RunFolder

MAX_TIME = "training.max_time"


@click.command()
@click.argument("config", shell_complete=complete_paths)
@set_option
@click.option("--epochs", metavar="N", help="Short for --set training.epochs=N.")
@click.option("--max-time", metavar="TIME", help=f"Stop after 90s, 30m, 2h; short for --set {MAX_TIME}=TIME.")
@click.option("--random-seed", metavar="N", help="Short for --set training.random_seed=N.")
@click.option("--resume", is_flag=True, help="Resume the run in the folder, or start a new one.")
@click.option(
    "--init-from",
    metavar="PATH",
    shell_complete=complete_paths,
    help="Begin a new run with the weights of another.",
)
@click.option("--fresh", is_flag=True, help="Move the run in the folder aside, and start a new one.")
@click.option("--threads", type=click.IntRange(1, 1024), metavar="N", help="Number of threads. Default: one per core.")
@click.option("--dry-run", is_flag=True, help="Check everything, print sizes and memory, train nothing.")
@click.option("--profile", is_flag=True, help="At the end, print how much time each part of a step took.")
@click.option("--quiet", is_flag=True, help="Show no bar and no lines while training.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON lines to stdout, the last with event done.")
def train(
    config: str,
    overrides: tuple[str, ...],
    epochs: str | None,
    max_time: str | None,
    random_seed: str | None,
    resume: bool,
    init_from: str | None,
    fresh: bool,
    threads: int | None,
    dry_run: bool,
    profile: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train the model that CONFIG describes.

    \b
    Examples:
      rnncli train configs/fruit.yaml
      rnncli train configs/book.yaml --set data.train=war-and-peace.txt --max-time 30m
      rnncli train configs/book.yaml --resume
      rnncli train configs/book.yaml --init-from runs/ptb --set run.dir=runs/tuned

    CONFIG is a YAML file, or - for standard input. The run is stored in ./runs/<name of the config>, or in run.dir,
    which may name settings: runs/h{model.hidden_size}. Ctrl-C saves and stops; --resume continues from there, with
    results that are bit for bit those of an uninterrupted run.

    \b
    JSON: the rows of metrics.jsonl (event step, epoch, rollback, calibration or test), then {"event": "done", "reason"
    (epochs, patience, max_time or a signal), "run", "checkpoint", "epochs", "steps", "words_per_second",
    "train_perplexity", "valid_perplexity", "best_valid_perplexity", "test_perplexity", "random_seed", "peak_memory"
    (bytes), "train_tokens" (the number of tokens that train_perplexity is over), "train", "valid", "best_valid",
    "test"}.
    The last four, and "train" and "valid" in the row of an epoch, are null or have the fields of evaluate --json:
    number of tokens, whether <end> counts, unknown words; perplexity with and without them and with their spelling,
    and bits.
    words_per_second is the median over the steps; the screen shows words by the clock.
    Training perplexities are null if the output layer is sampled: a sampled loss has no perplexity.
    With --profile also "profile": {"steps", "milliseconds", "gflops", "sections": [{"name", "milliseconds",
    "percent", "gflops"}]}, means over the steps after the first five; or null if no step was taken.
    With --dry-run: {"run", "texts", "vocabulary", "steps", "parameters", "memory" (bytes, by use),
    "predicted_peak_memory" (bytes, of the whole process), "available_memory" (bytes)}.
    """
    if resume and fresh:
        raise click.UsageError("--resume continues the run, --fresh starts a new one; give one of the two.")
    if dry_run and profile:
        raise click.UsageError("--profile times the steps of a run, and --dry-run takes none; give one of the two.")
    with Signals() as signals:
        try:
            if threads is not None:
                _set_threads(threads)
            from rnncli.cli.training_session import Session
            from rnncli.config import yaml_file
            from rnncli.runs.folder import RunFolder

            short = {
                f"{key}={value}": option
                for option, key, value in (
                    ("--epochs", "training.epochs", epochs),
                    ("--max-time", MAX_TIME, max_time),
                    ("--random-seed", "training.random_seed", random_seed),
                )
                if value is not None
            }
            given = [*overrides, *short]
            settings = yaml_file.read(config, given, short)
            folder = RunFolder(Path(settings.run.dir or Path("runs", "stdin" if config == "-" else Path(config).stem)))
            if dry_run:
                from rnncli.cli.dry_run import print_dry_run
                from rnncli.runs import find
                from rnncli.training.warm_start import refuse_other_cells

                if init_from is not None:
                    refuse_other_cells(settings, find.first_readable(init_from))
                print_dry_run(settings, folder, as_json)
                return
            command = _resume_command(config, given, threads, folder)
            choice: Choice = "resume" if resume else "fresh" if fresh else None
            _train(Session(settings, folder, signals, command, as_json, quiet, profile), choice, init_from)
        except Stopped:
            notify("stopped before the first step")
            raise


def _set_threads(threads: int) -> None:
    prepare(threads)  # read when NumPy is imported, just below
    from rnncli.system import blas

    blas.set_threads(count())  # if NumPy was imported before


def _resume_command(config: str, overrides: list[str], threads: int | None, folder: RunFolder) -> str:
    """The command that resumes this run, without its time limit."""
    lasting = [setting for setting in overrides if setting.split("=")[0].strip() != MAX_TIME]
    if config == "-":  # cannot be read a second time, but the run's own config has every setting
        config, unlimited = str(folder.config), [f"{MAX_TIME}=null"] if len(lasting) < len(overrides) else []
        lasting = [f"run.dir={folder.path}", *unlimited]
    words = [word for setting in lasting for word in ("--set", setting)]
    return shlex.join(
        ["rnncli", "train", config, *words, *(["--threads", str(threads)] if threads else []), "--resume"]
    )


def _train(session: Session, choice: Choice, init_from: str | None) -> None:
    """Check the run folder, read the texts, and train, unless the run is finished."""
    from rnncli.cli.display.reading import reading_display
    from rnncli.cli.existing_run import move_aside, report_finished, with_its_defaults
    from rnncli.config import corpora
    from rnncli.runs import find
    from rnncli.training import memory_forecast
    from rnncli.training.warm_start import refuse_other_cells

    session = with_its_defaults(session, choice)
    config, folder = session.config, session.folder
    kept = choice != "fresh" and folder.holds_run()
    if init_from is not None and kept:
        notify(f"--init-from is not used: {folder.path} holds a run")
    reported, texts = report_finished(session, choice)
    if reported:
        return
    warm = None
    if init_from is not None and not kept:
        warm = find.first_readable(init_from)
        refuse_other_cells(config, warm)
    if texts is None:
        with reading_display(session.quiet) as watch:
            texts = corpora.texts(config, watch)
    memory_forecast.check(config, texts)
    if choice == "fresh":
        move_aside(folder)
    folder.create()
    with folder.lock():
        if report_finished(session, choice, texts)[0]:  # another process may have trained it
            return
        if choice == "resume" and not folder.holds_run():
            notify(f"no run to resume in {folder.path.resolve()}; starting a new one")
        session.train(session.trainer(texts, warm))
