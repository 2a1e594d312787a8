"""Random streams addressed by a seed, a purpose and a few integers; no state is stored.

A generator that is passed around has a state that must be saved, restored and synchronised between processes. Here the
address is enough: `stream(seed, "dropout", step, layer)` gives the same numbers in an uninterrupted run, in a resumed
run, and on every rank.
"""

from __future__ import annotations

import hashlib
import json
import operator
import secrets

import numpy as np


def stream(seed: int, purpose: str, *position: int) -> np.random.Generator:
    """Return the generator for one purpose at one position.

    Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) with counter 0 and a 128-bit key: the
    BLAKE2b hash of `[seed, purpose, *position]` as JSON. Streams of different addresses are independent; the same
    address gives the same bits on every platform. How NumPy turns bits into numbers (`permutation`, `normal`) may
    change between versions of NumPy, as its documentation says.

    Raises TypeError if the seed or a position is not an integer.
    """
    # `operator.index` accepts NumPy's integers and rejects floats, which would be rounded positions.
    name = json.dumps([operator.index(seed), purpose, *map(operator.index, position)])
    digest = hashlib.blake2b(name.encode("ascii"), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, "<u8").astype(np.uint64)))


def draw_seed() -> int:
    """Draw a seed from the operating system, 0 <= seed < 2**32: short enough to retype."""
    return secrets.randbelow(2**32)
