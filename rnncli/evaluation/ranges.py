"""The ranges of the arguments of prediction, one for the Python API and the command line; imports no NumPy."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, `low` itself left out if `above`; `whole`: integers alone."""

    low: int
    high: float = math.inf
    whole: bool = True
    above: bool = False

    def check(self, name: str, value: object) -> None:
        """Raise TypeError unless the value is such a number, ValueError if it is out of range; `name` says what it is.

        NumPy's scalars are numbers; bool is none.
        """
        if isinstance(value, bool) or not isinstance(value, numbers.Integral if self.whole else numbers.Real):
            kind = "a whole number" if self.whole else "a number"
            raise TypeError(f"{name} must be {kind}, not {value!r} ({type(value).__name__})")
        number: Any = value
        if not self.low <= number <= self.high or (self.above and number == self.low):  # NaN is nowhere
            upper = "" if self.high == math.inf else f" and at most {self.high:,}"
            raise ValueError(f"{name} must be {'above' if self.above else 'at least'} {self.low}{upper}, not {value}")


TOP = Range(0)
SAMPLES = Range(0, 10_000)
WORDS = Range(1)
BEAM = Range(1, 1000)
RANDOM_SEED = Range(0, 2**63 - 1)
TEMPERATURE = Range(0, 10**9, whole=False)
TOP_K = Range(1)
TOP_P = Range(0, 1, whole=False, above=True)
