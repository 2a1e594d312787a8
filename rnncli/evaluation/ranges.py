"""The ranges of the arguments of prediction, one for the Python API and the command line; imports no NumPy."""

from __future__ import annotations

import numbers

from rnncli.schema.fields import KINDS, Rule

TOP = Rule("int", minimum=0)
SAMPLES = Rule("int", minimum=0, maximum=10_000)
WORDS = Rule("int", minimum=1)
BEAM = Rule("int", minimum=1, maximum=1000)
RANDOM_SEED = Rule("int", minimum=0, maximum=2**63 - 1)
TEMPERATURE = Rule("float", minimum=0, maximum=10**9)
TOP_K = Rule("int", minimum=1)
TOP_P = Rule("float", above=0, maximum=1)


def check(name: str, value: object, rule: Rule) -> None:
    """Raise TypeError unless the value is such a number, ValueError if it is out of range; `name` says what it is.

    NumPy's scalars are numbers; bool is none.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral if rule.kind == "int" else numbers.Real):
        raise TypeError(f"{name} must be {KINDS[rule.kind][1]}, not {value!r} ({type(value).__name__})")
    if not all(holds(value, bound) for _, bound, holds in rule.bounds()):  # of NaN none holds
        limits = " and ".join(f"{words} {bound:,}" for words, bound, _ in rule.bounds())
        raise ValueError(f"{name} must be {limits}, not {value}")
