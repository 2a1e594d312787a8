"""The fast engine: one matrix product over all time steps for each input product and weight gradient."""

from __future__ import annotations

from typing import Any

from rnncli.model.architecture import Architecture, State
from rnncli.model.buffers import Buffers
from rnncli.model.cells.base import LayerState
from rnncli.model.cells.inputs import Inputs, OneHot, Rows
from rnncli.model.engines.base import input_masks, layer_masks
from rnncli.model.noise import Noise
from rnncli.model.parameters import Gradients, Parameters
from rnncli.system.arrays import Array


class FusedInput:
    """Rows of the embedding, or ids in place of one-hot vectors. Same results as `StepwiseInput`."""

    def __init__(self, architecture: Architecture) -> None:
        self._embedded = architecture.embedding_size is not None

    def forward(self, parameters: Parameters, ids: Array, noise: Noise | None) -> Inputs:
        if not self._embedded:
            return OneHot(ids)
        E = parameters["embedding.E"]
        return Rows(E[ids.reshape(-1)], len(ids), *input_masks(noise, ids, E))

    def backward_(self, gradients: Gradients, dx: Array | None, x: Inputs, ids: Array) -> None:
        if dx is not None:
            assert isinstance(x, Rows)
            x.mask_(dx)
            gradients.write_rows_("embedding.E", ids.reshape(-1), dx)


class FusedStack:
    """The stack of cells. Same results as `StepwiseStack`; a test of the engines compares them."""

    def __init__(self, architecture: Architecture) -> None:
        self._cell = architecture.cell
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
            d, layer_first = self._cell.backward_(p, g, d, dlast[layer], of_cell, self._buffers[layer])
            if of_weights is not None:
                g["Waa"] *= of_weights
            first.insert(0, layer_first)
        return d, tuple(first)
