"""Names for the array types that cross module boundaries."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Ids = NDArray[np.integer[Any]]
"""Word ids in any integer type."""
Shapes = dict[str, tuple[int, ...]]
Tensors = dict[str, Array]
