"""Settings that exclude each other, with the message for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rnncli.model.outputs import AdaptiveSoftmax

if TYPE_CHECKING:
    from rnncli.config.config import Config

Conflict = tuple[tuple[str, ...], "Callable[[Config], bool]", str]
"""The keys (the fault is reported at the first), the condition, the message after the first key."""

CONFLICTS: tuple[Conflict, ...] = (
    (
        ("vocabulary.unknown", "vocabulary.min_count"),
        lambda c: c.vocabulary.unknown is False and c.vocabulary.min_count > 1,
        "is false, but min_count above 1 leaves words out; remove unknown, or set min_count to 1",
    ),
    (
        ("vocabulary.unknown", "vocabulary.max_size"),
        lambda c: c.vocabulary.unknown is False and c.vocabulary.max_size is not None,
        "is false, but max_size leaves words out; remove one of the two",
    ),
    (
        ("vocabulary.file", "vocabulary.min_count", "vocabulary.max_size"),
        lambda c: c.vocabulary.file is not None and (c.vocabulary.min_count > 1 or c.vocabulary.max_size is not None),
        "lists the words to keep, so min_count and max_size have no effect; remove them, or the file",
    ),
    (
        ("training.patience", "data.valid"),
        lambda c: c.training.patience is not None and c.data.valid is None,
        "needs data.valid to measure progress; set it to a path or to a fraction such as 0.1, or remove patience",
    ),
    (
        ("optimizer.name", "model.engine"),
        lambda c: c.optimizer.name == "lazy_adam" and c.model.engine == "stepwise",
        "is lazy_adam, which needs the row lists of the fused engine; set model.engine to fused, or use adam",
    ),
    (
        ("model.forget_bias", "model.cell"),
        lambda c: c.model.forget_bias != 1 and c.model.cell != "lstm",
        "is that of an lstm, and model.cell is another; remove it, or set model.cell to lstm",
    ),
    (
        ("model.output.head", "model.output.cutoffs"),
        lambda c: (
            isinstance(adaptive := getattr(c.model.output, "options", None), AdaptiveSoftmax.Options)
            and adaptive.cutoffs is not None
            and adaptive.head != AdaptiveSoftmax.Options.head
        ),
        "has no effect beside model.output.cutoffs; remove one of them",
    ),
    (
        ("model.residual", "model.layers"),
        lambda c: c.model.residual and c.model.layers == 1,
        "adds the input of every layer but the first to its output, and there is one layer; remove it, or raise "
        "model.layers",
    ),
    (
        ("model.tied", "model.embedding_size"),
        lambda c: c.model.tied and c.model.embedding_size is None,
        "is true, but one-hot vectors enter the model, so there is no embedding to share; set model.embedding_size",
    ),
    *(
        (
            (f"dropout.{name}", "model.embedding_size"),
            lambda c, name=name: getattr(c.dropout, name) > 0 and c.model.embedding_size is None,
            "drops parts of embedding rows, but one-hot vectors enter the model; set model.embedding_size",
        )
        for name in ("input", "word")
    ),
    (
        ("dropout.hidden", "model.layers"),
        lambda c: c.dropout.hidden > 0 and c.model.layers == 1,
        "acts between layers, and there is one; set dropout.output, or model.layers to 2 or more",
    ),
    (
        ("optimizer.schedule", "data.valid"),
        lambda c: c.optimizer.schedule.name == "plateau" and c.data.valid is None,
        "is plateau, which needs data.valid; set it to a path or to a fraction such as 0.1",
    ),
    *(
        (
            (key, "training.patience"),
            lambda c, choice=choice: (
                c.training.patience is not None
                and (getattr(choice(c).options, "patience", None) or 0) >= c.training.patience
            ),
            "waits as long as training.patience, which ends the run; set its patience below it",
        )
        for key, choice in (
            ("optimizer.schedule", lambda c: c.optimizer.schedule),
            ("training.averaging", lambda c: c.training.averaging),
        )
    ),
    (
        ("penalty.temporal", "dropout.masks"),
        lambda c: c.penalty.temporal > 0 and c.dropout.output > 0 and c.dropout.masks == "step",
        "would punish masks that change from step to step; set dropout.masks to window",
    ),
    (
        ("optimizer.weight_decay", "optimizer.learning_rate"),
        lambda c: c.optimizer.weight_decay * c.optimizer.learning_rate >= 1,
        "times optimizer.learning_rate is 1 or more, which leaves nothing of a weight; lower it",
    ),
    (
        ("training.calibrate", "data.valid"),
        lambda c: c.training.calibrate and c.data.valid is None,
        "fits a temperature on data.valid; set it to a path or to a fraction such as 0.1",
    ),
    (
        ("training.averaging", "data.valid"),
        lambda c: c.training.averaging.name == "asgd" and c.data.valid is None,
        "is asgd, which begins when validation stalls; set data.valid to a path or to a fraction, or choose ema",
    ),
    (
        ("optimizer.weight_decay", "optimizer.name"),
        lambda c: c.optimizer.weight_decay > 0 and c.optimizer.name == "lazy_adam",
        "changes every weight in every step, and lazy_adam leaves rows alone; use adam, or set weight_decay to 0",
    ),
    (
        ("data.line_end", "data.mode"),
        lambda c: c.data.line_end is False and c.data.mode == "sentences",
        "is false, but in mode sentences each line end is an <end>; remove it, or set data.mode to stream",
    ),
    (
        ("data.language", "data.lowercase"),
        lambda c: c.data.language is not None and not c.data.lowercase,
        "is that of lowercase letters, but data.lowercase is false; remove it, or set lowercase to true",
    ),
)
