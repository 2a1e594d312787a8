"""What differs between a checkpoint and the config, the texts and the machine that are to continue it."""

from __future__ import annotations

from typing import Any

from rnncli.config import build
from rnncli.config.config import Config, dotted, portable_dict
from rnncli.runs.checkpoint import Metadata, hashes
from rnncli.schema.suggestions import shown
from rnncli.system import blas
from rnncli.text.corpus import Texts

# Settings that may change when a run is resumed: how long it trains, which files it keeps, what it does on divergence.
CHANGEABLE: tuple[str, ...] = ("training.epochs", "training.max_time", "training.patience", "training.calibrate")
CHANGEABLE += ("run.", "guard.", "data.train", "data.test")


def config_differences(stored: Metadata, config: Config, texts: Texts | None) -> dict[str, str]:
    """A line for each setting, by its key, and for each text that differs from the checkpoint and prevents resuming."""
    before, now = (dotted(portable_dict(each)) for each in (stored.config, config))
    before["training.random_seed"] = stored.random_seed
    if now["training.random_seed"] is None:  # not set: the run keeps the seed it drew
        now["training.random_seed"] = stored.random_seed
    if isinstance(before["data.valid"], str) and isinstance(now["data.valid"], str):
        before["data.valid"] = now["data.valid"]  # the name may differ: its hash is compared below
    # A schedule over the whole run would have had other learning rates from the start.
    fixed = "training.epochs" if build.schedule(config).spans_run else ""
    # A key of one side only is an option of a choice whose name differs, which is reported.
    different = {
        key: f"{key} was {_written(before[key])}, and is {_written(now[key])}"
        for key in sorted(before.keys() & now.keys())
        if before[key] != now[key] and (key == fixed or not key.startswith(CHANGEABLE))
    }
    if texts is not None:
        if texts.vocabulary.words != stored.vocabulary.words:
            different["the vocabulary"] = "the vocabulary differs"
        for name, digest in hashes(texts).items():
            if digest != stored.data[name]:
                different[f"the text of data.{name}"] = f"the text of data.{name} differs"
    return different


def machine_differences(stored: Metadata) -> list[str]:
    """One line for each fact of the machine that differs from the checkpoint; they affect the last bits of results."""
    here = blas.describe()
    return [
        f"{name} was {before}, and is {here.get(name)}"
        for name, before in stored.machine.items()
        if before != here.get(name)
    ]


def _written(value: Any) -> str:
    """A value as a config has it."""
    return repr(value) if isinstance(value, list) else shown(value)
