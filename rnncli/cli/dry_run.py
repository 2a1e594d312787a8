"""`rnncli train --dry-run`: check everything, print sizes and memory, train nothing, write nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rnncli.cli.display.table import print_table
from rnncli.cli.options import notify, print_json

if TYPE_CHECKING:
    from rnncli.config.config import Config
    from rnncli.runs.folder import RunFolder
    from rnncli.text.corpus import Texts
    from rnncli.training.memory_forecast import Prediction


def print_dry_run(config: Config, folder: RunFolder, as_json: bool) -> None:
    """Read the texts, and print the sizes and the memory of training. Raises what the start of training would raise."""
    from rnncli.cli.display.reading import reading_display
    from rnncli.config import corpora
    from rnncli.schema.suggestions import counted
    from rnncli.training import memory_forecast

    with reading_display() as watch:
        texts = corpora.texts(config, watch)
    document = _document(config, texts, folder, memory_forecast.check(config, texts))
    if as_json:
        print_json(document)
        return
    rows = [["what", "size"], ["run folder", document["run"]]]
    rows += [
        [
            f"{name} text",
            f"{counted(text['tokens'], 'word')} in {counted(text['lines'], 'line')}, {text['oov']:,} unknown",
        ]
        for name, text in document["texts"].items()
    ]
    rows.append(["vocabulary", counted(document["vocabulary"], "word")])
    rows.append(["first epoch", counted(document["steps"], "step")])
    rows += [[each["name"], " x ".join(map(str, each["shape"]))] for each in document["parameters"]]
    rows += [[f"memory: {name}", f"{size / 1e6:,.1f} MB"] for name, size in document["memory"].items() if size]
    rows.append(["peak memory", f"{document['predicted_peak_memory'] / 1e6:,.1f} MB, predicted for the whole process"])
    print_table(rows)
    available = document["available_memory"]
    notify(f"nothing was trained{'' if available is None else f'; {available / 1e6:,.0f} MB are free here'}")


def _document(config: Config, texts: Texts, folder: RunFolder, predicted: Prediction) -> dict[str, Any]:
    from rnncli.config import build
    from rnncli.system import process

    read = {"training": texts.train, "validation": texts.valid, "test": texts.test}
    batches = build.training_batches(config, texts.train, texts.vocabulary.end_id, config.training.random_seed or 0)
    architecture = build.architecture(config.model, len(texts.vocabulary))
    return {
        "run": str(folder.path),
        "texts": {
            name: {"tokens": text.tokens, "lines": text.lines, "oov": len(text.oov_positions)}
            for name, text in read.items()
            if text is not None
        },
        "vocabulary": len(texts.vocabulary),
        "steps": batches.steps(0),
        "parameters": [{"name": name, "shape": list(shape)} for name, shape in architecture.shapes().items()],
        "memory": predicted.parts,
        "predicted_peak_memory": predicted.peak,
        "available_memory": process.available_memory(),
    }
