"""Random numbers by address: every stream is named by a seed, a purpose and a few integers, and needs no history.

A generator that is passed along has a state, and a state must be saved, restored and kept in step between processes.
Here the position *is* the name: `stream(seed, "dropout", step, layer)` gives the same numbers in a run that got to
`step` by itself, in one resumed there, and on every rank.
"""

from __future__ import annotations

import hashlib
import json
import operator
import secrets

import numpy as np


def stream(seed: int, purpose: str, *position: int) -> np.random.Generator:
    """The random numbers of one purpose at one position.

    Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) with counter 0 and a 128-bit key: the
    BLAKE2b hash of `[seed, purpose, *position]` written as JSON. Streams of different names are independent; the
    same name gives the same bits on every platform. What NumPy makes of these bits (`permutation`, `normal`) may
    change with a new NumPy, as its documentation says.

    Raises TypeError where the seed or a position is no integer.
    """
    # NumPy's integers are welcome; a float would be a position that rounds.
    name = json.dumps([operator.index(seed), purpose, *map(operator.index, position)])
    digest = hashlib.blake2b(name.encode("ascii"), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, "<u8").astype(np.uint64)))


def draw_seed() -> int:
    """A fresh seed from the operating system, 0 <= seed < 2**32: short enough to be typed again."""
    return secrets.randbelow(2**32)
