"""What enters a cell, and the one conversion between the two layouts.

The recurrence works on `(T, n, B)`, so that step t is the course's contiguous matrix (n, m); the big products work on
rows `(T*B, n)`, so that all steps are one product. `to_steps` and `to_rows` go from one to the other.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rnncli.parameters import Array, add_rows_


def to_steps(rows: Array, T: int) -> Array:
    """(T*B, n) to a contiguous (T, n, B)."""
    return np.ascontiguousarray(rows.reshape(T, -1, rows.shape[1]).transpose(0, 2, 1))


def to_rows(steps: Array) -> Array:
    """(T, n, B) to a contiguous (T*B, n)."""
    return steps.transpose(0, 2, 1).reshape(-1, steps.shape[1])


class Inputs(Protocol):
    """The input of a cell over T steps and B columns."""

    T: int

    def project(self, Wxa: Array) -> Array:
        """The input product of all steps, (T*B, G n_a)."""

    def backward_(self, Wxa: Array, dWxa: Array, dz: Array) -> Array | None:
        """From dz (T*B, G n_a): write the gradient of Wxa, return that of the input rows if it has one."""


class OneHot:
    """One-hot vectors, given as ids (T, B): their product with Wxa is a gather of its rows."""

    def __init__(self, ids: Array) -> None:
        self.T = len(ids)
        self.ids = ids.reshape(-1)

    def project(self, Wxa: Array) -> Array:
        return Wxa[self.ids]

    def backward_(self, Wxa: Array, dWxa: Array, dz: Array) -> None:
        dWxa[...] = 0
        add_rows_(dWxa, self.ids, dz)


class Rows:
    """Dense input rows (T*B, n_x): embeddings, or the hidden states of the layer below."""

    def __init__(self, x: Array, T: int) -> None:
        self.T = T
        self.x = x

    def project(self, Wxa: Array) -> Array:
        product: Array = self.x @ Wxa
        return product

    def backward_(self, Wxa: Array, dWxa: Array, dz: Array) -> Array:
        np.matmul(self.x.T, dz, out=dWxa)
        dx: Array = dz @ Wxa.T
        return dx


def gate_inputs(p: dict[str, Array], x: Inputs) -> Array:
    """Wax x<t> + ba for every step and gate: (T, G n_a, B)."""
    z = x.project(p["Wxa"])
    z += p["ba"]
    return to_steps(z, x.T)


def weight_gradients_(
    p: dict[str, Array], g: dict[str, Array], x: Inputs, a: Array, dz: Array, du: Array | None = None
) -> Array | None:
    """The gradients of Wxa, ba and Waa over all steps at once, each as one product; returns that of the input rows.

    a (T+1, n_a, B) are the hidden states with the starting one first, dz (T, G n_a, B) the gradient of the gates'
    inputs, du that of the recurrent products Waa a<t-1> where it is not dz (the GRU).
    """
    dz_rows = to_rows(dz)
    np.sum(dz_rows, axis=0, out=g["ba"])
    du_rows = dz_rows if du is None else to_rows(du)
    np.matmul(du_rows.T, to_rows(a[:-1]), out=g["Waa"])
    return x.backward_(p["Wxa"], g["Wxa"], dz_rows)
