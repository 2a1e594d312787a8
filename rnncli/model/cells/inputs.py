"""The input of a cell, and conversion between two layouts of sequences.

The recurrence uses `(T, n, B)`: step t is the course's matrix (n, m), contiguous. The large products use rows
`(T*B, n)`, so that one product covers all steps. `to_steps` and `to_rows` convert.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rnncli.model.buffers import Buffers
from rnncli.model.parameters import Section
from rnncli.system import threads
from rnncli.system.arrays import Array, Tensors

# Features of a sequence, or rows of a matrix, that are transposed together, so that they stay in a core's cache.
FEATURES, WEIGHTS = 256, 64


def to_steps(rows: Array, out: Array, bias: Array | None = None) -> Array:
    """(T*B, n) to (T, n, B), written into `out`. bias (n,): added to the rows first, in place."""
    T, n, B = out.shape
    by_step = rows.reshape(T, B, n)

    def convert(steps: slice) -> None:
        some = by_step[steps]
        if bias is not None:
            some += bias
        np.copyto(out[steps], some.transpose(0, 2, 1))

    threads.divide(convert, T, out.size)
    return out


def to_rows(steps: Array, out: Array) -> Array:
    """(T, n, B) to (T*B, n), written into `out`."""
    T, n, B = steps.shape
    by_step = out.reshape(T, B, n)

    def convert(some: slice) -> None:
        for first in range(0, n, FEATURES):
            features = slice(first, first + FEATURES)
            np.copyto(by_step[some, :, features], steps[some, features].transpose(0, 2, 1))

    threads.divide(convert, T, steps.size)
    return out


def transposed(W: Array, buffers: Buffers) -> Array:
    """A contiguous copy of W.T in shared scratch: a product of few columns is faster with it."""
    out = buffers.scratch("transposed", W.shape[::-1], W.dtype)
    for first in range(0, len(W), WEIGHTS):
        np.copyto(out[:, first : first + WEIGHTS], W[first : first + WEIGHTS].T)
    return out


class Inputs(Protocol):
    """The input of a cell over T steps and B columns."""

    T: int
    B: int

    def mask_(self, rows: Array) -> None:
        """Multiply input rows (T*B, n_x), or their gradient, by the masks of dropout, in place."""

    def project(self, Wxa: Array, out: Array) -> None:
        """Write the input product of all steps, (T*B, G n_a)."""

    def backward_(self, p: Tensors, g: Section, dz: Array, buffers: Buffers) -> Array | None:
        """From dz (T*B, G n_a), write the gradient of Wxa; return that of the input rows, None for one-hot input."""


class OneHot:
    """One-hot vectors, given as ids (T, B): their product with Wxa is a gather of rows."""

    def __init__(self, ids: Array) -> None:
        self.T, self.B = ids.shape
        self.ids = ids.reshape(-1)

    def mask_(self, rows: Array) -> None:
        pass

    def project(self, Wxa: Array, out: Array) -> None:
        out[...] = Wxa[self.ids]

    def backward_(self, p: Tensors, g: Section, dz: Array, buffers: Buffers) -> None:
        g.write_rows_("Wxa", self.ids, dz)


class Rows:
    """Dense input rows (T*B, n_x): embeddings, or the hidden states of the layer below.

    masks: factors of the rows as (T, B, n_x), each in a shape that broadcasts to it; None: nothing is dropped.
    """

    def __init__(self, x: Array, T: int, *masks: Array | None) -> None:
        self.T, self.B = T, len(x) // T
        self.x, self._masks = x, masks
        self.mask_(x)

    def mask_(self, rows: Array) -> None:
        for mask in self._masks:
            if mask is not None:
                steps = rows.reshape(self.T, self.B, -1)
                steps *= mask

    def project(self, Wxa: Array, out: Array) -> None:
        np.matmul(self.x, Wxa, out=out)

    def backward_(self, p: Tensors, g: Section, dz: Array, buffers: Buffers) -> Array:
        np.matmul(self.x.T, dz, out=g["Wxa"])
        return np.matmul(dz, p["Wxa"].T, out=buffers.scratch("dx", self.x.shape, self.x.dtype))


def gate_inputs(p: Tensors, x: Inputs, buffers: Buffers) -> Array:
    """Wax x<t> + ba for every step and gate: (T, G n_a, B)."""
    n, dtype = len(p["ba"]), p["ba"].dtype
    z = buffers.scratch("gate rows", (x.T * x.B, n), dtype)
    x.project(p["Wxa"], z)
    return to_steps(z, buffers.array("gates", (x.T, n, x.B), dtype), p["ba"])


def hidden_rows(a: Array, buffers: Buffers) -> Array:
    """The hidden states (T+1, n_a, B), without the starting one, as rows (T*B, n_a)."""
    T, n_a, B = a[1:].shape
    return to_rows(a[1:], buffers.array("hidden", (T * B, n_a), a.dtype))


def weight_gradients_(
    p: Tensors, g: Section, x: Inputs, a: Array, dz: Array, buffers: Buffers, du: Array | None = None
) -> Array | None:
    """The gradients of Wxa, ba and Waa over all steps at once, each as one product; returns that of the input rows.

    a (T+1, n_a, B) are the hidden states with the starting one first, dz (T, G n_a, B) the gradient of the gates'
    inputs, du that of the recurrent products Waa a<t-1> if it differs from dz (GRU).
    """
    rows = buffers.scratch("gate rows", (x.T * x.B, dz.shape[1]), dz.dtype)
    before = to_rows(a[:-1], buffers.scratch("hidden before", (x.T * x.B, a.shape[1]), a.dtype))
    if du is not None:
        np.matmul(to_rows(du, rows).T, before, out=g["Waa"])
    dz_rows = to_rows(dz, rows)
    if du is None:
        np.matmul(dz_rows.T, before, out=g["Waa"])
    np.sum(dz_rows, axis=0, out=g["ba"])
    return x.backward_(p, g, dz_rows, buffers)
