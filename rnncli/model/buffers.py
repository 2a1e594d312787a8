"""Arrays that are allocated once and reused by later steps."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Buffers(threading.local):
    """Arrays by name; the content of one is valid until the same name is requested again, in any shape.

    Each thread that uses a model has its own arrays. Memory grows only for a request larger than any before, so that
    windows of many lengths share it.
    """

    def __init__(self, shared: Buffers | None = None) -> None:
        """shared: scratch arrays of all layers, not kept between calls; None: these buffers are the shared ones."""
        self._shared = self if shared is None else shared
        self._flat: dict[tuple[str, np.dtype[Any]], NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A contiguous array of a shape and dtype, not initialised."""
        key, size = (name, np.dtype(dtype)), math.prod(shape)
        flat = self._flat.get(key)
        if flat is None or flat.size < size:
            flat = None
            self._flat.pop(key, None)  # freed before the larger one is allocated
            flat = self._flat[key] = np.empty(size, dtype)
        return flat[:size].reshape(shape)

    def scratch(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """As `array`, from the shared buffers: valid until any layer requests the name."""
        return self._shared.array(name, shape, dtype)
