"""The fast engine: one matrix product over all time steps for each input product and weight gradient."""

from __future__ import annotations

from typing import Any

from rnncli.model.architecture import Architecture, State
from rnncli.model.buffers import Buffers
from rnncli.model.cells.base import LayerState
from rnncli.model.cells.inputs import Inputs, OneHot, Rows
from rnncli.model.noise import Noise
from rnncli.model.parameters import Gradients, Parameters
from rnncli.system.arrays import Array


class FusedInput:
    """Rows of the embedding, or ids in place of one-hot vectors. Same results as `StepwiseInput`."""

    def __init__(self, architecture: Architecture) -> None:
        self._embedded = architecture.embedding_size is not None

    def forward(self, parameters: Parameters, ids: Array, noise: Noise | None) -> Inputs:
        return Rows(parameters["embedding.E"][ids.reshape(-1)], len(ids)) if self._embedded else OneHot(ids)

    def backward_(self, gradients: Gradients, dx: Array | None, x: Inputs, ids: Array) -> None:
        if dx is not None:
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
            hidden, layer_last, cache = self._cell.forward(p, x, layer_state, self._buffers[layer])
            caches.append(cache)
            last.append(layer_last)
            x = Rows(hidden, x.T)
        return hidden, tuple(last), caches

    def backward_(
        self, parameters: Parameters, gradients: Gradients, dhidden: Array, dlast: State, cache: Any
    ) -> tuple[Array | None, State]:
        first: list[LayerState] = []
        d: Array | None = dhidden
        for layer in reversed(range(len(cache))):
            assert d is not None  # only the first layer can have an input without a gradient
            p, g = parameters.section(f"layer{layer}"), gradients.section(f"layer{layer}")
            d, layer_first = self._cell.backward_(p, g, d, dlast[layer], cache[layer], self._buffers[layer])
            first.insert(0, layer_first)
        return d, tuple(first)
