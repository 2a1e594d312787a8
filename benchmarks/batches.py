"""Padding and speed of batches, and the cost of a text in a mapped file compared with one in memory.

Uses train.txt of the Penn Treebank, from ../shared/data/ptb beside the repository or the folder in RNNCLI_PTB; for
effects of large texts, COPIES of it one after the other, in temporary files.
`python benchmarks/batches.py [padding] [large] [steps]` prints selected parts.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from peers import Model
from speed import PTB

from rnncli.batches.batch import Batch, Batches
from rnncli.batches.sentences import SentenceBatches
from rnncli.batches.stream import StreamBatches
from rnncli.config import config, corpora
from rnncli.runs.folder import RunFolder
from rnncli.text.corpus import Corpus, Texts
from rnncli.text.vocabulary import END, Vocabulary
from rnncli.training.trainer import Trainer

BPTT = 35
COPIES = 100
GOAL_PADDING, GOAL_STEP = 5, 1.03
TURNS, PAUSE = 10, 0.05  # turns of each, and seconds between them: idle threads stop spinning
# Models and steps per turn: one of a usual size, and one that computes almost nothing.
MODELS = {
    "LSTM, V 10,000, H 200, T 35, B 20": (Model(layers=1), 6),
    "RNN, V 50, H 8, T 35, B 20": (Model(cell="rnn", V=50, D=8, H=8, layers=1), 250),
}


def treebank() -> Texts:
    return corpora.texts(config.from_dict({"data": {"train": [str(PTB / "train.txt")], "mode": "sentences"}}))


def seconds(work: Callable[[], Any], times: int = 5) -> float:
    """Median seconds of several calls."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def padding(texts: Texts) -> str:
    """Share of positions that are padding, and time for an epoch of batches."""
    text, end_id = texts.train, texts.vocabulary.end_id
    lines = [
        f"Sentences of the Penn Treebank, {text.lines:,} of them, T {BPTT}: share of padding (goal:",
        f"below {GOAL_PADDING} %), the time of all batches of an epoch, and of their order alone. Medians of five.",
        "",
        "| B | batches | padded | epoch, ms | a batch, us | order, ms |",
        "|---|---|---|---|---|---|",
    ]
    for B in (20, 64, 128):
        batches = SentenceBatches(text.ids, text.line_starts, end_id, B, BPTT, seed=1)
        sizes = [(batch.words, batch.targets.size) for batch in batches.epoch(0)]
        words, positions = np.sum(sizes, axis=0)
        epoch = seconds(lambda batches=batches: [None for _ in batches.epoch(0)])
        order = seconds(lambda batches=batches: batches.steps(0))
        lines.append(
            f"| {B} | {len(sizes):,} | {100 * (1 - words / positions):.2f} % | {1e3 * epoch:.0f} | "
            f"{1e6 * epoch / len(sizes):.0f} | {1e3 * order:.1f} |"
        )
    return "\n".join(lines)


@contextmanager
def large(texts: Texts) -> Iterator[dict[str, tuple[Any, Any]]]:
    """The ids and line starts of a large text, as arrays in memory and as mapped files."""
    ids = np.tile(texts.train.ids, COPIES)
    starts = (texts.train.line_starts[:-1] + texts.train.tokens * np.arange(COPIES)[:, None]).reshape(-1)
    starts = np.append(starts, len(ids))
    with tempfile.TemporaryDirectory() as folder:
        maps = []
        for name, array in (("ids", ids), ("starts", starts)):
            array.tofile(Path(folder, name))
            maps.append(np.memmap(Path(folder, name), array.dtype, "r"))
        yield {"memory": (ids, starts), "mapped": (maps[0], maps[1])}


def by_turns(works: dict[str, Callable[[], Any]], turns: int = TURNS) -> dict[str, float]:
    """Median seconds of each, in alternation."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(turns):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(each) for name, each in taken.items()}


def of_large(places: dict[str, tuple[Any, Any]], end_id: int) -> str:
    """Batches of a large text: time for one batch, and for the first after resuming in the middle of an epoch."""
    ids, starts = places["memory"]
    lines = [
        f"A text of {len(ids):,} words and {len(starts) - 1:,} sentences, in memory and in mapped files (that the",
        f"system has in its cache), alternately, medians of {TURNS}: one batch; the first batch after resuming in the",
        "middle of an epoch; the peak memory of Python and NumPy.",
        "",
        "| B 20, T 35 | memory | mapped | ratio | peak, MB |",
        "|---|---|---|---|---|",
    ]

    def row(what: str, works: dict[str, Callable[[], Any]], unit: str, factor: float, held: str) -> None:
        taken = by_turns(works)
        a, b = factor * taken["memory"], factor * taken["mapped"]
        lines.append(f"| {what}, {unit} | {a:.3g} | {b:.3g} | {b / a:.2f} | {held} |")

    streams: dict[str, Batches] = {name: StreamBatches(ids, end_id, 20, BPTT) for name, (ids, _) in places.items()}
    sentences: dict[str, Batches] = {
        name: SentenceBatches(ids, starts, end_id, 20, BPTT, seed=1) for name, (ids, starts) in places.items()
    }
    for title, kinds, middle in (("stream", streams, 70_000), ("sentences", sentences, len(starts) // 40)):
        reading = {name: kind.epoch(0, 1) for name, kind in kinds.items()}
        works = {name: lambda read=read: [None for _ in islice(read, 1000)] for name, read in reading.items()}
        row(f"{title}: a batch", works, "us", 1e3, "")
        first = {name: lambda kind=kind, at=middle: next(kind.epoch(1, at)) for name, kind in kinds.items()}
        tracemalloc.start()
        first["mapped"]()
        held = f"{tracemalloc.get_traced_memory()[1] / 1e6:.1f}"
        tracemalloc.stop()
        row(f"{title}: the first after resuming", first, "ms", 1e3, held)
    return "\n".join(lines)


class ByTurns:
    """Replaces the batches of a trainer: `turn` batches from each place in rotation; all places hold the same text.

    One trainer reads from all places: two trainers would differ by the addresses of their buffers.
    """

    def __init__(self, places: dict[str, Batches], turn: int) -> None:
        self._places, self._turn = places, turn
        self.words = next(iter(places.values())).words
        self.read_from: list[str] = []  # the place of each batch

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Batches of one epoch from step `start`."""
        for name in cycle(self._places):
            for batch in islice(self._places[name].epoch(number, start), self._turn):
                self.read_from.append(name)
                yield batch
            start += self._turn
            time.sleep(PAUSE)


def trainer(model: Model, ids: Any, folder: Path) -> Trainer:
    """A trainer on these ids as a stream, where END is id 0."""
    sizes = {"cell": model.cell, "layers": model.layers, "hidden_size": model.H, "embedding_size": model.D}
    settings = config.from_dict(
        {
            "data": {"train": ["unread"], "mode": "stream"},
            "model": sizes,
            "training": {"epochs": 1, "batch_size": model.B, "bptt": model.T},
            "run": {"checkpoint_every": "1000000 steps"},
        }
    )
    text = Corpus(ids, np.array([0, len(ids)]), np.zeros(0, np.int64), {}, len(ids), "", (("ids", 0),))
    vocabulary = Vocabulary((END, *(f"w{id}" for id in range(1, model.V))), np.arange(model.V, 0, -1))
    run = RunFolder(folder)
    run.create()
    return Trainer(settings, Texts(vocabulary, text, None, None), 1, run)


def step_seconds(model: Model, turn: int, ids: Any, folder: Path) -> dict[str, float]:
    """Median seconds of a step that reads from memory, and of one that reads from a mapped file."""
    ids.tofile(folder / "ids")
    texts = {"memory": ids, "mapped": np.memmap(folder / "ids", ids.dtype, "r")}
    training = trainer(model, ids, folder / "run")
    by_turns = ByTurns({name: StreamBatches(each, 0, model.B, model.T) for name, each in texts.items()}, turn)
    training.batches = by_turns  # type: ignore[assignment]
    taken: dict[str, list[float]] = {name: [] for name in texts}
    # The first two turns warm up. The first step of each turn includes the pause.
    for index, event in enumerate(islice(training.train(), 2 * (TURNS + 1) * turn)):
        if index >= 2 * turn and index % turn:
            taken[by_turns.read_from[index]].append(event.seconds)
    return {name: statistics.median(each) for name, each in taken.items()}


def steps(ids: Any) -> str:
    """Whole steps of training, data and metrics included, over a mapped file and over memory."""
    lines = [
        "Steps of training on that text as a stream, whole steps: one model reads alternately from",
        f"memory and from a mapped file. Medians. Goal: {GOAL_STEP:g}.",
        "",
        "| model | memory, ms | mapped, ms | ratio |",
        "|---|---|---|---|",
    ]
    for title, (model, turn) in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            taken = step_seconds(model, turn, ids % model.V if model.V < 10_000 else ids, Path(folder))
        a, b = 1e3 * taken["memory"], 1e3 * taken["mapped"]
        lines.append(f"| {title} | {a:.4g} | {b:.4g} | {b / a:.3f} |")
    return "\n".join(lines)


PARTS = ("padding", "large", "steps")


def measure(parts: tuple[str, ...] = PARTS) -> str:
    """The report of some parts, all by default."""
    sections = ["## Batches"]
    if not (PTB / "train.txt").exists():
        return "\n\n".join([*sections, f"Not measured: there is no train.txt in {PTB}."])
    texts = treebank()
    if "padding" in parts:
        sections.append(padding(texts))
    if {"large", "steps"} & set(parts):
        with large(texts) as places:
            if "large" in parts:
                sections.append(of_large(places, texts.vocabulary.end_id))
            if "steps" in parts:
                sections.append(steps(places["memory"][0]))
    return "\n\n".join(sections)


if __name__ == "__main__":
    print(measure(tuple(sys.argv[1:]) or PARTS))
