"""The API for other Python programs: load a trained model from a run folder or a checkpoint file.

model = rnncli.load("runs/fruit")
model.read("mango is").candidates(top=3)
model.evaluate(["data/fruit.txt"]).perplexity
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnncli.config import build, corpora
from rnncli.config.config import Config
from rnncli.evaluation import generate
from rnncli.evaluation.evaluate import Evaluation, count, evaluate
from rnncli.model.language_model import LanguageModel
from rnncli.runs import find
from rnncli.text.encode import TextFormat
from rnncli.text.files import Source, Watch
from rnncli.text.tokenize import Tokenizer
from rnncli.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class TrainedModel:
    """A trained model with the vocabulary and tokenizer that it was trained with."""

    checkpoint: Path
    config: Config
    vocabulary: Vocabulary
    model: LanguageModel
    damaged: tuple[str, ...] = ()
    """Why checkpoints that would have been preferred were skipped."""

    @property
    def run(self) -> Path:
        """The run folder of the checkpoint; the folder it is in if it belongs to no run."""
        folder = self.checkpoint.parent
        return folder.parent if folder.name == "checkpoints" else folder

    @property
    def text_format(self) -> TextFormat:
        return corpora.text_format(self.config.data)

    @property
    def tokenizer(self) -> Tokenizer:
        return self.text_format.tokenizer

    def read(self, seed: str = "") -> generate.Context:
        """The model after reading `<end>` and the words of the seed.

        Raises TextError for a word it cannot encode and for a second line in mode `sentences`, TypeError for a seed
        that is no `str`.
        """
        if not isinstance(seed, str):
            raise TypeError(f"seed must be a str, not {seed!r}")
        return generate.read_seed(self.model, self.vocabulary, self.text_format, seed)

    def evaluate(self, files: Source | Iterable[Source], watch: Watch | None = None) -> Evaluation:
        """Evaluate texts, concatenated as one text: paths, or files open in binary mode; one, or several.

        Raises TextError for a text that cannot be read, ValueError for none, TypeError for anything else.
        """
        corpus = corpora.corpus(self.config, _sources(files), self.vocabulary, watch)
        batches = build.evaluation_batches(self.config, corpus, self.vocabulary.end_id)
        counts = count(corpus, self.text_format.ends, self.vocabulary)
        result = evaluate(self.model, batches, corpus, counts, watch=watch)
        assert result is not None  # None only if `stop` is given
        return result


def load(path: str | Path | None = None, calibrated: bool = True) -> TrainedModel:
    """Load a run folder (its best checkpoint, else its last) or a checkpoint file; without a path, the newest run in
    ./runs or the current folder.

    calibrated: whether its logits are divided by the temperature that was fitted after training, if there is one.
    Raises RunError if no checkpoint exists, or none is valid; TypeError for what is no path.
    """
    if not (path is None or _is_path(path)):
        raise TypeError(f"path must be a str or a Path, not {path!r}")
    found = find.first_readable(path)
    stored = found.checkpoint
    model = build.model(stored.config, stored.parameters, stored.vocabulary, stored.temperature if calibrated else None)
    return TrainedModel(found.path, stored.config, stored.vocabulary, model, tuple(found.problems))


def _sources(files: Any) -> list[Source]:
    """The texts to evaluate. Raises ValueError if there is none, TypeError for what is no path and no binary file."""
    alone = _is_path(files) or hasattr(files, "read") or not isinstance(files, Iterable)
    sources: list[Any] = [files] if alone else list(files)
    for source in sources:
        readable = hasattr(source, "read") and not isinstance(source, io.TextIOBase)
        if not (_is_path(source) or readable):
            raise TypeError(f"files must be paths, or files open in binary mode, not {source!r}")
    if not sources:
        raise ValueError("files must have at least one text")
    return sources


def _is_path(value: object) -> bool:
    return isinstance(value, str | os.PathLike)
