"""The API for other Python programs: load a trained model from a run folder or a checkpoint file.

model = rnncli.load("runs/fruit")
model.read("mango is").candidates(top=3)
model.evaluate(["data/fruit.txt"]).perplexity
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rnncli.config import build, corpora
from rnncli.config.config import Config
from rnncli.evaluation import generate
from rnncli.evaluation.evaluate import Evaluation, count, evaluate
from rnncli.model.language_model import LanguageModel
from rnncli.runs import find
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
    def tokenizer(self) -> Tokenizer:
        return corpora.text_format(self.config.data).tokenizer

    def read(self, seed: str = "") -> generate.Context:
        """The model after reading `<end>` and the words of the seed. Raises TextError for a word it cannot encode."""
        return generate.read_seed(self.model, self.vocabulary, self.tokenizer, seed)

    def evaluate(self, files: Sequence[Source], watch: Watch | None = None) -> Evaluation:
        """Evaluate texts, concatenated as one text. Raises TextError."""
        corpus = corpora.corpus(self.config, files, self.vocabulary, watch)
        batches = build.evaluation_batches(self.config, corpus, self.vocabulary.end_id)
        counts = count(corpus, corpora.text_format(self.config.data).ends, self.vocabulary)
        result = evaluate(self.model, batches, corpus, counts, watch=watch)
        assert result is not None  # None only if `stop` is given
        return result


def load(path: str | Path | None = None) -> TrainedModel:
    """Load a run folder (its best checkpoint, else its last) or a checkpoint file; without a path, the newest run in
    ./runs or the current folder.

    Raises RunError if no checkpoint exists, or none is valid.
    """
    found = find.first_readable(path)
    stored = found.checkpoint
    model = build.model(stored.config, stored.parameters, stored.vocabulary)
    return TrainedModel(found.path, stored.config, stored.vocabulary, model, tuple(found.problems))
