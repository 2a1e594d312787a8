"""The names of notebook 004: h for the hidden state a, and Whx, Whh, Wyh, bh for the parameters."""

from __future__ import annotations

from rnncli.reference.sequence import Gradients, Parameters
from rnncli.system.arrays import Array

H_NAMES = {
    "Wax": "Whx",
    "Waa": "Whh",
    "Wya": "Wyh",
    "ba": "bh",
    "by": "by",
    "dxt": "dxt",
    "dx": "dx",
    "da_prev": "dh_prev",
    "da0": "dh0",
    "da": "dh",
    "dWax": "dWhx",
    "dWaa": "dWhh",
    "dWya": "dWyh",
    "dba": "dbh",
    "dby": "dby",
}
"""Name in this package -> name in notebook 004, for parameters and gradients of the basic RNN."""


def from_h_names(parameters: Parameters) -> dict[str, Array]:
    """Return the same arrays (not copies) with the names of this package: {"Whx": W} -> {"Wax": W}.

    Raises KeyError for a name that notebook 004 does not have.
    """
    course_names = {h_name: name for name, h_name in H_NAMES.items()}
    return {course_names[name]: value for name, value in parameters.items()}


def to_h_names(gradients: Parameters) -> Gradients:
    """Return the same arrays (not copies) with the names of notebook 004: {"da_prev": g} -> {"dh_prev": g}.

    Raises KeyError for a name that the basic RNN does not have.
    """
    return {H_NAMES[name]: value for name, value in gradients.items()}
