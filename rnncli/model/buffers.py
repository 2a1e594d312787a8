"""Arrays that are made once and used again by the next step."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Buffers(threading.local):
    """Arrays by name; what stands in one is good until it is asked for again, in whatever shape.

    Each thread that uses a model has arrays of its own. Memory is taken where a larger one is asked for than ever
    before, so that windows of many lengths share it.
    """

    def __init__(self, shared: Buffers | None = None) -> None:
        """`shared` are those of all who work one after another, for what none of them keeps."""
        self._shared = self if shared is None else shared
        self._flat: dict[tuple[str, np.dtype[Any]], NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array (shape) of a dtype, contiguous, with anything in it."""
        key, size = (name, np.dtype(dtype)), math.prod(shape)
        flat = self._flat.get(key)
        if flat is None or flat.size < size:
            flat = None
            self._flat.pop(key, None)  # its memory is free before more is taken
            flat = self._flat[key] = np.empty(size, dtype)
        return flat[:size].reshape(shape)

    def scratch(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """The same in the shared buffers: good until anybody asks for it."""
        return self._shared.array(name, shape, dtype)
