"""What `rnncli train` does if the folder already holds a run: refuse, report that it is finished, or move it aside."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from rnncli.cli.options import notify
from rnncli.runs.progress import done, finished

if TYPE_CHECKING:
    from rnncli.cli.training_session import Session
    from rnncli.config.config import Config
    from rnncli.runs.checkpoint import Metadata
    from rnncli.runs.folder import ResumePoint, RunFolder
    from rnncli.text.corpus import Texts

Choice = Literal["resume", "fresh"] | None
"""How the user wants to continue a run: resume it, start anew, or not given."""


def with_its_defaults(session: Session, choice: Choice) -> Session:
    """The session with what was the default when the run in its folder began, if that is to be continued: the version
    of the tokenizer, and the head of an adaptive softmax.
    """
    from rnncli.errors import RunError
    from rnncli.runs import checkpoint

    for path in session.folder.newest_first() if choice != "fresh" else ():
        with suppress(RunError):
            config, kept = _as_it_began(session.config, checkpoint.read_metadata(path).config)
            if kept and choice == "resume":
                pronoun = "it" if len(kept) == 1 else "them"
                notify(f"{session.folder.path} began with {' and '.join(kept)}, and keeps {pronoun}")
            return replace(session, config=config)
    return session


def _as_it_began(config: Config, began: Config) -> tuple[Config, list[str]]:
    """The config with those defaults of the run, and the settings that differ."""
    kept, data, output = list[str](), config.data, config.model.output
    if data.tokenizer_version != began.data.tokenizer_version:
        kept.append(f"data.tokenizer_version {began.data.tokenizer_version}")
        config = replace(config, data=replace(data, tokenizer_version=began.data.tokenizer_version))
    now, then = (getattr(each.model.output.options, "head", None) for each in (config, began))
    if now is not None and then is not None and now != then and now == type(output.options).head:
        kept.append(f"model.output.head {then:g}")
        output = replace(output, options=replace(output.options, head=then))
        config = replace(config, model=replace(config.model, output=output))
    return config, kept


def report_finished(session: Session, choice: Choice, texts: Texts | None = None) -> tuple[bool, Texts | None]:
    """Report the run in the folder if nothing is left to do for it: it is finished, and its test text is measured.

    texts: those of the config, given if this process has the lock of the folder. Returns whether it was reported, and
    the texts if they were read.

    Raises RunError if it is a run of another config or corpus, UsageError if it is unfinished and `choice` is None or
    if the folder holds a config or vocabulary but no run, and RunInUseError if another process trains there.
    """
    from rnncli.errors import UsageError
    from rnncli.runs import lock

    folder = session.folder
    if not folder.holds_run():
        for path in (folder.config, folder.vocabulary):
            if path.exists():
                raise UsageError("exists, but belongs to no run", location=str(path), remedy="set another run.dir")
        return False, texts
    if choice == "fresh":
        return False, texts
    if texts is None and (holder := folder.holder()):
        raise lock.in_use(folder.path, holder)
    last = folder.last()
    reason = last and finished(last.metadata.progress, session.config)
    if last is not None and (reason or choice is None):
        refuse_other_run(folder, last.metadata, session.config)
        texts = texts or _readable_texts(session)
        refuse_other_run(folder, last.metadata, session.config, texts)
    if last is not None and reason:
        return _report(session, last, reason, texts), texts
    if choice is None:
        step = last and last.metadata.progress.position.step
        found = "a run without a checkpoint yet" if last is None else f"an unfinished run, stopped at step {step}"
        raise UsageError(
            f"holds {found}",
            location=str(folder.path),
            remedy="continue it with --resume, or start anew with --fresh (the old run is moved aside)",
        )
    return False, texts


def refuse_other_run(folder: RunFolder, stored: Metadata, config: Config, texts: Texts | None = None) -> None:
    """Raise RunError if the run in the folder is of another config, or of other `texts`."""
    from rnncli.config import run_dir
    from rnncli.errors import RunError
    from rnncli.runs.differences import config_differences
    from rnncli.training.warm_start import SAME

    changed = config_differences(stored, config, texts)
    if not changed:
        return
    keys = [key for key in changed if key in run_dir.names(config)]
    own = f"{folder.path}-{{{keys[0]}}}" if keys else f"{folder.path}-2"
    listed = "".join(f"\n  {line}" for line in changed.values())
    same_cells = not any(f"model.{key}" in changed for key in SAME)
    warm = f" (with --init-from {shlex.quote(str(folder.path))} it begins with these weights)" if same_cells else ""
    raise RunError(
        f"holds a run of another config or corpus:{listed}\ngive each run a folder of its own, such as "
        f"--set {shlex.quote(f'run.dir={own}')}{warm}, or start anew with --fresh (the old run is moved aside)",
        location=str(folder.path),
    )


def _readable_texts(session: Session) -> Texts | None:
    """The texts of the config, without a test text that cannot be read; None if the others cannot be read now: a run
    that is finished does not need them.
    """
    from rnncli.cli.display.reading import reading_display
    from rnncli.config import corpora
    from rnncli.errors import RnncliError
    from rnncli.text.files import size_of

    config, unreadable = session.config, ""
    for test in dict.fromkeys((config.data.test, None)):
        config = replace(config, data=replace(config.data, test=test))
        try:
            paths = corpora.files(config).paths
            if size_of(paths) is None and all(map(os.path.lexists, paths)):
                return None  # a pipe may have no writer: reading would block
            with reading_display(session.quiet) as watch:
                texts = corpora.texts(config, watch)
            if unreadable:
                notify(f"warning: {unreadable}; data.test is not measured")
            return texts
        except RnncliError as error:
            unreadable = str(error)
    return None


def _report(session: Session, last: ResumePoint, reason: str, texts: Texts | None) -> bool:
    """Report how the run ended, unless its test text is still to be measured; whether it was reported."""
    from rnncli.runs.metrics import figures_of_test
    from rnncli.schema.suggestions import counted
    from rnncli.training.calibration import due

    if texts is not None and due(session.config, session.folder):
        return False
    test = None
    if texts is not None and texts.test is not None:
        test = figures_of_test(session.folder.metrics, texts.test.sha256)
        if test is None:
            return False
    progress = last.metadata.progress
    if session.as_json:
        session.print_done_row(done(progress, session.config, reason, last.metadata.random_seed), last.path, test=test)
    epochs = counted(progress.position.epoch, "epoch")
    notify(f"{session.folder.path}: finished already, after {epochs}; --fresh trains it anew")
    return True


def move_aside(folder: RunFolder) -> None:
    """Rename the run in the folder, if there is one."""
    if not folder.holds_run():
        return
    with folder.lock():
        if folder.holds_run():  # otherwise another process has moved it
            notify(f"the existing run is now {folder.move_aside()}")
