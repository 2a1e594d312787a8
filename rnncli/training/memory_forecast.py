"""How much memory training will take, said before it begins, and whether this machine has it.

What the process has once the texts are read is measured; what is still to be made is counted, array by array, by those
who make it (`held` of cells, engines and output layers, `order_bytes` of batches).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rnncli.config import build
from rnncli.config.config import Config
from rnncli.errors import ConfigError
from rnncli.model.engines import Architecture, Engine
from rnncli.model.parameters import Shapes
from rnncli.optim import OPTIMIZERS
from rnncli.system import process, threads
from rnncli.text import spelling
from rnncli.text.corpus import Texts

# What a process has before it has read anything, where nobody tells.
PYTHON_AND_NUMPY = 35_000_000
# Code and threads that come in with the first step.
LATER = 4_000_000
# The name of the part that the system may take back.
MAPPED = "mapped texts"
# A BLAS copies the matrices of a product into a layout of its own: this many of the inner dimension at a time.
PACKED = 320


@dataclass(frozen=True)
class Prediction:
    """Bytes. `parts` are there together while the model is trained or measured, by what they are for."""

    parts: dict[str, int]
    peak: int
    """The largest resident size of the process, from its start to its end."""
    resident: int
    """Its size now."""


def predict(config: Config, texts: Texts) -> Prediction:
    """What training will take, from where the texts are read. Raises TextError where they cannot be trained on."""
    resident = process.resident_memory() or process.peak_memory() or PYTHON_AND_NUMPY
    engine, item = build.engine(config, texts.vocabulary), np.dtype(config.training.dtype).itemsize
    shapes = engine.architecture.shapes()
    sizes = {name: item * math.prod(shape) for name, shape in shapes.items()}
    end_id, parameters = texts.vocabulary.end_id, sum(sizes.values())
    trained = build.training_batches(config, texts.train, end_id, 0)
    read = [build.evaluation_batches(config, text, end_id) for text in (texts.valid, texts.test) if text]
    windows = [each.largest_window for each in [trained, *read]]
    positions, scored = math.prod(windows[0]), max(map(math.prod, windows[1:]), default=0)
    of_output = {name.removeprefix("output."): shape for name, shape in shapes.items() if name.startswith("output.")}
    parts = {
        "process": resident + LATER,
        "parameters": parameters,
        "gradients": parameters,
        "moments": parameters * len(OPTIMIZERS[config.optimizer.name].moment_names),
        "activations": item * max(engine.held(*window) for window in windows),
        "logits": item * engine.output.held(of_output, positions, scored),
        "products": item * _packed(engine, shapes, positions),
        "order": max(each.order_bytes for each in [trained, *read]),
        # At the end of an epoch, what the unknown words of the training text cost.
        "spelling": spelling.held(texts.vocabulary.words) if texts.train.outside else 0,
        MAPPED: _mapped(config, texts),
    }
    initialising = parts["process"] + parameters + _orthogonal(engine.architecture)
    peak = max(process.peak_memory() or 0, initialising, sum(parts.values()))
    return Prediction(parts, peak, resident)


def check(config: Config, texts: Texts) -> Prediction:
    """Predict, and raise what would stop training at its beginning, before anything is written.

    TextError for a stream with fewer words than columns; ConfigError, with the figures, for a model that cannot fit
    in this machine's memory.
    """
    found, available = predict(config, texts), process.available_memory()
    # What is mapped the system takes back when memory is short, and reads again when it is needed.
    if available is not None and found.peak - found.resident - found.parts[MAPPED] > available:
        raise ConfigError(
            f"training this model takes {found.peak / 1e9:.1f} GB, and {(available + found.resident) / 1e9:.1f} GB are "
            "free here; lower vocabulary.max_size, model.hidden_size, model.embedding_size or training.batch_size"
        )
    return found


def _mapped(config: Config, texts: Texts) -> int:
    """Of the texts, what is mapped from files and will be read."""
    arrays: list[npt.NDArray[Any]] = []
    for text in texts.named().values():
        arrays += [text.ids, text.oov_positions]
        if config.data.mode == "sentences":
            arrays.append(text.line_starts)
    return sum(array.nbytes for array in arrays if isinstance(array.base, np.memmap))


def _packed(engine: Engine, shapes: Shapes, positions: int) -> int:
    """Numbers that a BLAS copies for the largest of the products: as OpenBLAS does it, for want of a better."""
    size = engine.architecture.hidden_size
    left_out = ("embedding.E", *(() if engine.output.exact else ("output.Wya",)))
    if engine.architecture.embedding_size is None:
        left_out += ("layer0.Wxa",)
    tallest = max(shape[0] for name, shape in shapes.items() if len(shape) == 2 and name not in left_out)
    if threads.count() == 1 and size < PACKED:  # a narrow product needs no more than a strip at a time
        tallest = min(tallest, PACKED)
    return max(tallest, min(positions, PACKED)) * min(max(positions, size), PACKED)


def _orthogonal(architecture: Architecture) -> int:
    """What the start of a square of a recurrent matrix takes: five of it in float64."""
    return 5 * 8 * architecture.hidden_size**2
