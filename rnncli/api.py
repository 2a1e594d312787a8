"""What other Python programs use: a trained model, as the run folder or the checkpoint has it.

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
from rnncli.runs import checkpoint, find
from rnncli.text.files import Source, Watch
from rnncli.text.tokenize import Tokenizer
from rnncli.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Loaded:
    """A trained model with the vocabulary and tokenizer that it was trained with."""

    checkpoint: Path
    config: Config
    vocabulary: Vocabulary
    model: LanguageModel
    damaged: tuple[str, ...] = ()
    """What is wrong with checkpoints that would have been preferred."""

    @property
    def run(self) -> Path:
        """The run folder that the checkpoint stands in; its own folder if it stands alone."""
        folder = self.checkpoint.parent
        return folder.parent if folder.name == "checkpoints" else folder

    @property
    def tokenizer(self) -> Tokenizer:
        return corpora.reading(self.config.data).tokenizer

    def read(self, seed: str = "") -> generate.Seeded:
        """The model after reading `<end>` and the words of the seed. Raises TextError for a word it cannot read."""
        return generate.read_seed(self.model, self.vocabulary, self.tokenizer, seed)

    def evaluate(self, files: Sequence[Source], watch: Watch | None = None) -> Evaluation:
        """The perplexity of texts, one after another as one text, and what it is counted over. Raises TextError."""
        corpus = corpora.corpus(self.config, files, self.vocabulary, watch)
        batches = build.evaluation_batches(self.config, corpus, self.vocabulary.end_id)
        counts = count(corpus, corpora.reading(self.config.data).ends, self.vocabulary)
        result = evaluate(self.model, batches, corpus, counts, watch=watch)
        assert result is not None  # nothing stops it
        return result


def load(path: str | Path | None = None) -> Loaded:
    """Load a run folder (its best checkpoint, else its last) or a checkpoint file; the newest run here without a path.

    Raises RunError where there is none, or none that is whole.
    """
    found = find.reading(None if path is None else str(path), lambda paths: checkpoint.read_first(paths, resume=False))
    file, stored, damaged = found
    model = build.model(stored.config, stored.parameters, stored.vocabulary)
    return Loaded(file, stored.config, stored.vocabulary, model, tuple(damaged))
