"""Arrays that are made once and used again by the next step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Buffers:
    """Arrays by name; what stands in one is good until it is asked for again, in whatever shape.

    Memory is taken where a larger one is asked for than ever before, so that windows of many lengths share it.
    """

    def __init__(self) -> None:
        self._flat: dict[tuple[str, np.dtype[Any]], NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array (shape) of a dtype, contiguous, with anything in it."""
        key, size = (name, np.dtype(dtype)), math.prod(shape)
        flat = self._flat.get(key)
        if flat is None or flat.size < size:
            flat = self._flat[key] = np.empty(size, dtype)
        return flat[:size].reshape(shape)
