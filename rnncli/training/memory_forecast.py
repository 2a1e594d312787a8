"""Forecast of the memory that training takes, checked against the machine before training begins.

The memory of the process after reading the texts is measured. The rest is estimated from array sizes: `model/costs.py`
for the model, `order_bytes` of the batches.
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
from rnncli.model.costs import noise_elements, orthogonal_bytes, output_elements, packed_elements, stack_elements
from rnncli.system import process, threads
from rnncli.text import spelling
from rnncli.text.corpus import Texts

# Resident bytes of a process before it reads anything, used where the system does not report them.
PYTHON_AND_NUMPY = 35_000_000
# Bytes of code and threads that the first step loads.
LATER = 4_000_000
# Name of the part that the system can reclaim.
MAPPED = "mapped texts"
# A BLAS repacks the matrices of a product: this many elements of the inner dimension at a time.
PACKED = 320


@dataclass(frozen=True)
class Prediction:
    """Sizes in bytes. `parts`: memory in use at the same time during training or evaluation, by purpose."""

    parts: dict[str, int]
    peak: int
    """Largest resident size over the life of the process."""
    resident: int
    """Resident size now."""


def predict(config: Config, texts: Texts) -> Prediction:
    """Memory of training once the texts are read. Raises TextError if they cannot be trained on."""
    resident = process.resident_memory() or process.peak_memory() or PYTHON_AND_NUMPY
    made = build.architecture(config.model, len(texts.vocabulary))
    shapes, item = made.shapes(), np.dtype(config.training.dtype).itemsize
    _, stack, output = build.parts(config.model.engine, made, texts.vocabulary.counts)
    sizes = {name: item * math.prod(shape) for name, shape in shapes.items()}
    end_id, parameters = texts.vocabulary.end_id, sum(sizes.values())
    trained = build.training_batches(config, texts.train, end_id, 0)
    read = [build.evaluation_batches(config, text, end_id) for text in (texts.valid, texts.test) if text]
    windows = [each.largest_window for each in [trained, *read]]
    positions, scored = math.prod(windows[0]), max(map(math.prod, windows[1:]), default=0)
    projected = made.hidden_size + 2 * made.projected if made.projected else 0  # features kept for each position
    parts = {
        "process": resident + LATER,
        "parameters": parameters,
        "gradients": parameters + sum(sizes[owner] for _, owner in made.aliases),  # each use has an array of its own
        "moments": parameters * len(build.moment_names(config)),
        "activations": item * (max(stack_elements(stack, made, *window) for window in windows) + positions * projected),
        "masks": item * noise_elements(made, config.dropout, *windows[0]),
        "logits": item * output_elements(output, made.output_shapes(), positions, scored),
        "products": item * packed_elements(made, output, positions, PACKED, threads.count() == 1),
        "order": max(each.order_bytes for each in [trained, *read]),
        # The spelling of the unknown words of the training text, at the end of an epoch.
        "spelling": spelling.peak_bytes(texts.vocabulary.words) if texts.train.outside else 0,
        MAPPED: _mapped(config, texts),
    }
    initialising = parts["process"] + parameters + orthogonal_bytes(made)
    peak = max(process.peak_memory() or 0, initialising, sum(parts.values()))
    return Prediction(parts, peak, resident)


def check(config: Config, texts: Texts) -> Prediction:
    """Predict, and raise the errors that would stop training at its start, before anything is written.

    TextError for a stream with fewer words than columns; ConfigError, with both sizes, for a model that does not fit in
    the memory that this process can have.
    """
    found, available = predict(config, texts), process.available_memory()
    # The system reclaims mapped pages when memory is short, and reads them again when needed.
    if available is not None and found.peak - found.resident - found.parts[MAPPED] > available:
        need, free = process.size(found.peak, up=True), process.size(available + found.resident)
        # Threads map much memory that they never use; only a limit on mapped memory counts it.
        mapped = threads.count() > 1 and process.mappable_memory() is not None
        raise ConfigError(
            f"training this model takes {need}, and {free} are free here",
            remedy="lower vocabulary.max_size, model.hidden_size, model.embedding_size or training.batch_size"
            + (", or --threads" if mapped else ""),
        )
    return found


def _mapped(config: Config, texts: Texts) -> int:
    """Bytes of the texts that are mapped from files and will be read."""
    arrays: list[npt.NDArray[Any]] = []
    for text in texts.named().values():
        arrays += [text.ids, text.oov_positions]
        if config.data.mode == "sentences":
            arrays.append(text.line_starts)
    return sum(array.nbytes for array in arrays if isinstance(array.base, np.memmap))
