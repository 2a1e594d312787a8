"""Starting values from another model: tensors are taken over by name, and rows that belong to words by word."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rnncli.config import build
from rnncli.config.config import Config
from rnncli.errors import ConfigError
from rnncli.model.parameters import Parameters
from rnncli.runs.find import Readable
from rnncli.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from rnncli.training.trainer import Trainer

SAME = ("cell", "layers", "hidden_size", "embedding_size", "residual")


@dataclass(frozen=True)
class Reused:
    """What a model was started from.

    words: number of words of the new vocabulary that the old one has. partly: tensors of which some rows are drawn, as
    (name, rows reused, rows). drawn: names of tensors that are drawn. source: what a checkpoint stores about it.
    """

    words: int
    partly: tuple[tuple[str, int, int], ...]
    drawn: tuple[str, ...]
    source: dict[str, Any]


def start_from_(trainer: Trainer, found: Readable) -> Reused:
    """Begin a run with the parameters of another model, and write a guard of them.

    Raises ConfigError as `refuse_other_cells` does, and WriteError.
    """
    reused = take_over_(trainer.model.parameters, trainer.config, trainer.texts.vocabulary, found)
    trainer.source, trainer.learner.state = reused.source, trainer.model.zero_state(1)
    trainer.keeper.guard_(trainer.contents())
    trainer.folder.sync_guards()
    return reused


def take_over_(parameters: Parameters, config: Config, vocabulary: Vocabulary, found: Readable) -> Reused:
    """Overwrite the parameters of a new model by those of a checkpoint, as far as it has them; the rest is unchanged.

    Raises ConfigError if the cells of the two models differ.
    """
    old = found.checkpoint
    refuse_other_cells(config, found)
    outputs = {old.config.model.output.name, config.model.output.name}
    drawn_anew = len(outputs) > 1 and "adaptive" in outputs  # the rows of its head have other words beside them
    rows_now = build.architecture(config.model, len(vocabulary)).word_rows()
    rows_then = build.architecture(old.config.model, len(old.vocabulary)).word_rows()
    partly, drawn = list[tuple[str, int, int]](), list[str]()
    for name, tensor in parameters.items():
        before = old.parameters[name] if name in old.parameters.shapes or name in old.parameters.aliases else None
        if (
            (drawn_anew and name.startswith("output."))
            or before is None
            or before.shape[1:] != tensor.shape[1:]
            or (name in rows_now) != (name in rows_then)
        ):
            drawn.append(name)
        elif name not in rows_now:
            if before.shape == tensor.shape:
                tensor[...] = before
            else:
                drawn.append(name)
        else:
            now, then = _places(vocabulary, rows_now[name]), _places(old.vocabulary, rows_then[name])
            known = [(row, then[word]) for word, row in now.items() if word in then]
            rest = len(tensor) - len(now)  # rows that belong to no word, such as those of clusters
            if rest == len(before) - len(then):
                known += zip(range(len(now), len(tensor)), range(len(then), len(before)), strict=True)
            if known:
                to, since = np.array(known).T
                tensor[to] = before[since]
            if len(known) < len(tensor):
                partly.append((name, len(known), len(tensor)))
    words = sum(word in old.vocabulary for word in vocabulary.words)
    digest = hashlib.sha256(old.parameters.vector.tobytes()).hexdigest()
    source = {"parameters": digest, "step": old.progress.position.step, "words": words}
    return Reused(words, tuple(partly), tuple(drawn), source)


def _places(vocabulary: Vocabulary, ids: range) -> dict[str, int]:
    """The row of each word whose id is in `ids`."""
    return {vocabulary.words[id]: row for row, id in enumerate(ids)}


def refuse_other_cells(config: Config, found: Readable) -> None:
    """Raise ConfigError if the model of the config cannot start from that of a checkpoint."""
    here, there = config.model, found.checkpoint.config.model
    different = [key for key in SAME if getattr(here, key) != getattr(there, key)]
    if different:
        listed = "; ".join(
            f"model.{key} is {json.dumps(getattr(there, key))} there, {json.dumps(getattr(here, key))} here"
            for key in different
        )
        raise ConfigError(
            f"cannot start from this model: {listed}",
            location=str(found.path),
            remedy="give the same values, or leave out --init-from",
        )
