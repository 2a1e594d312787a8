"""What `rnncli train` does if the folder already holds a run: refuse, report that it is finished, or move it aside."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rnncli.cli.options import notify
from rnncli.runs.progress import done, finished

if TYPE_CHECKING:
    from rnncli.cli.training_session import Session
    from rnncli.config.config import Config
    from rnncli.runs.checkpoint import Metadata
    from rnncli.runs.folder import RunFolder

Choice = Literal["resume", "fresh"] | None
"""How the user wants to continue a run: resume it, start anew, or not given."""


@dataclass(frozen=True)
class FinishedRun:
    """The last checkpoint of a run that is finished, and why it ended: epochs or patience."""

    path: Path
    metadata: Metadata
    reason: str


def finished_run(folder: RunFolder, config: Config, choice: Choice, locked: bool = False) -> FinishedRun | None:
    """The run in the folder if it is finished; None if training can start or resume, and always if it is to start anew.

    locked: this process has the lock of the folder.

    Raises UsageError if the folder holds an unfinished run and `choice` is None, or a config or vocabulary but no run,
    and RunInUseError if another process trains there.
    """
    from rnncli.errors import UsageError
    from rnncli.runs import lock

    if not folder.holds_run():
        for path in (folder.config, folder.vocabulary):
            if path.exists():
                raise UsageError("exists, but belongs to no run", location=str(path), remedy="set another run.dir")
        return None
    if choice == "fresh":
        return None
    if not locked and (holder := folder.holder()):
        raise lock.in_use(folder.path, holder)
    last = folder.last()
    if last is not None and (reason := finished(last.metadata.progress, config)) is not None:
        return FinishedRun(last.path, last.metadata, reason)
    if choice != "resume":
        step = last and last.metadata.progress.position.step
        found = "a run without a checkpoint yet" if last is None else f"an unfinished run, stopped at step {step}"
        raise UsageError(
            f"holds {found}",
            location=str(folder.path),
            remedy="continue it with --resume, or start anew with --fresh (the old run is moved aside)",
        )
    return None


def report_finished(session: Session, run: FinishedRun) -> None:
    """Report how the run ended, and what has changed in the config and the texts since then."""
    from rnncli.cli.display.reading import reading_display
    from rnncli.config import corpora
    from rnncli.errors import RnncliError
    from rnncli.runs import checkpoint
    from rnncli.schema.suggestions import counted
    from rnncli.text.files import size_of

    config, metadata = session.config, run.metadata
    if session.as_json:
        session.print_done_row(done(metadata.progress, config, run.reason, metadata.random_seed), run.path)
    epochs = metadata.progress.position.epoch
    notify(f"{session.folder.path}: finished already, after {counted(epochs, 'epoch')}; --fresh trains it anew")
    texts = None
    with suppress(RnncliError), reading_display(session.quiet) as watch:  # a finished run needs no texts
        if size_of(corpora.files(config).paths) is not None:  # a pipe may have no writer: reading would block
            texts = corpora.texts(config, watch)
    for line in checkpoint.config_differences(metadata, config, texts):
        notify(f"  changed since then: {line}")


def move_aside(folder: RunFolder) -> None:
    """Rename the run in the folder, if there is one."""
    if not folder.holds_run():
        return
    with folder.lock():
        if folder.holds_run():  # otherwise another process has moved it
            notify(f"the existing run is now {folder.move_aside()}")
