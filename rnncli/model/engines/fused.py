"""The fast engine: one matrix product over all time steps for each input product and weight gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnncli.model.architecture import Architecture, State
from rnncli.model.buffers import Buffers
from rnncli.model.cells.base import LayerState
from rnncli.model.cells.inputs import Inputs, OneHot, Rows
from rnncli.model.engines.base import input_masks, layer_masks
from rnncli.model.noise import Noise
from rnncli.model.outputs.adaptive import cluster_starts
from rnncli.model.parameters import Gradients, Parameters, Section
from rnncli.system.arrays import Array, Tensors


class FusedInput:
    """Rows of the embedding, or ids in place of one-hot vectors. Same results as `StepwiseInput`."""

    def __init__(self, architecture: Architecture) -> None:
        self._embedded, self._clustered = architecture.embedding_size is not None, architecture.clustered_input

    def forward(self, parameters: Parameters, ids: Array, noise: Noise | None) -> Inputs:
        if not self._embedded:
            return OneHot(ids)
        if self._clustered:
            return ClusterRows(parameters.section("input"), ids, noise)
        E = parameters["embedding.E"]
        return Rows(E[ids.reshape(-1)], len(ids), *input_masks(noise, ids, E.shape, E.dtype))

    def backward_(self, gradients: Gradients, dx: Array | None, x: Inputs, ids: Array) -> None:
        if dx is not None:
            x.mask_(dx)
            if self._clustered:
                assert isinstance(x, ClusterRows)
                x.write_(gradients.section("input"), dx)
            else:
                gradients.write_rows_("embedding.E", ids.reshape(-1), dx)


class ClusterRows(Rows):
    """Input rows made of the tensors of an adaptive softmax (adaptive input; Baevski and Auli 2019).

    The row of a word of the head is its row of Wya; that of a word of cluster k is its row of W_k, times P_k.
    """

    def __init__(self, p: Tensors, ids: Array, noise: Noise | None) -> None:
        """p: the tensors of the output layer without its biases; ids (T, B)."""
        starts, flat, Wya = cluster_starts(p), ids.reshape(-1), p["Wya"]
        cluster = np.searchsorted(starts, flat, side="right")  # 0: the head
        x = np.empty((len(flat), Wya.shape[1]), Wya.dtype)
        self._head, self._tails = np.flatnonzero(cluster == 0), []
        self._head_ids = flat[self._head]
        x[self._head] = Wya[self._head_ids]
        for k, start in enumerate(starts, 1):
            at = np.flatnonzero(cluster == k)
            P, rows = p[f"P{k}"], flat[at] - start
            W = p[f"W{k}"][rows]
            x[at] = W @ P
            self._tails.append((at, rows, W, P))
        shape = (starts[-1] + len(p[f"W{len(starts)}"]) if len(starts) else len(Wya), Wya.shape[1])
        super().__init__(x, len(ids), *input_masks(noise, ids, shape, Wya.dtype))

    @property
    def products(self) -> int:
        """Multiply-adds of the products that make the rows."""
        return sum(len(at) * P.size for at, _, _, P in self._tails)

    def write_(self, g: Section, dx: Array) -> None:
        """Write the gradients of the tensors from dx (T*B, D)."""
        g.write_rows_("Wya", self._head_ids, dx[self._head])
        for k, (at, rows, W, P) in enumerate(self._tails, 1):
            np.matmul(W.T, dx[at], out=g[f"P{k}"])
            g.write_rows_(f"W{k}", rows, dx[at] @ P.T)


class FusedStack:
    """The stack of cells. Same results as `StepwiseStack`; a test of the engines compares them."""

    def __init__(self, architecture: Architecture) -> None:
        self._cell, self._residual = architecture.cell, architecture.residual
        shared = Buffers()
        self._buffers = [Buffers(shared) for _ in range(architecture.layers)]

    def forward(self, parameters: Parameters, x: Inputs, state: State, noise: Noise | None) -> tuple[Array, State, Any]:
        caches, last = [], []
        for layer, layer_state in enumerate(state):
            p = parameters.section(f"layer{layer}")
            of_weights, of_hidden = layer_masks(noise, layer, len(state), x.T, x.B, p)
            if of_weights is not None:
                p = p | {"Waa": p["Waa"] * of_weights}
            hidden, layer_last, cache = self._cell.forward(p, x, layer_state, self._buffers[layer])
            last.append(layer_last)
            if self._residual and layer:
                assert isinstance(x, Rows)
                hidden += x.x
            x = Rows(hidden, x.T, of_hidden)
            caches.append((p, of_weights, x, cache))
        return hidden, tuple(last), caches

    def backward_(
        self, parameters: Parameters, gradients: Gradients, dhidden: Array, dlast: State, cache: Any
    ) -> tuple[Array | None, State]:
        first: list[LayerState] = []
        d: Array | None = dhidden
        for layer in reversed(range(len(cache))):
            assert d is not None  # only the first layer can have an input without a gradient
            (p, of_weights, rows, of_cell), g = cache[layer], gradients.section(f"layer{layer}")
            rows.mask_(d)
            skip = d.copy() if self._residual and layer else None  # the cell may overwrite d
            d, layer_first = self._cell.backward_(p, g, d, dlast[layer], of_cell, self._buffers[layer])
            if skip is not None:
                d += skip
            if of_weights is not None:
                g["Waa"] *= of_weights
            first.insert(0, layer_first)
        return d, tuple(first)
