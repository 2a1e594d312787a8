"""The fast engine: every input product and every weight gradient of a sequence is one product."""

from __future__ import annotations

from typing import Any

from rnncli.cells.inputs import Inputs, OneHot, Rows
from rnncli.engines.architecture import Architecture, State
from rnncli.outputs import OUTPUTS, Output
from rnncli.parameters import Array, Parameters, add_rows_


class Fused:
    """Same results as `Stepwise`; `tests/test_engines.py` holds them together."""

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.output: Output = OUTPUTS[architecture.output](architecture.output_options)

    def forward(self, parameters: Parameters, ids: Array, state: State) -> tuple[Array, State, Any]:
        T = len(ids)
        embedded = self.architecture.embedding_size is not None
        x: Inputs = Rows(parameters["embedding.E"][ids.reshape(-1)], T) if embedded else OneHot(ids)
        caches, last = [], []
        for layer, layer_state in enumerate(state):
            p = parameters.section(f"layer{layer}")
            hidden, layer_last, cache = self.architecture.recurrent.forward(p, x, layer_state)
            caches.append(cache)
            last.append(layer_last)
            x = Rows(hidden, T)
        return hidden, tuple(last), (ids, caches)

    def backward_(
        self, parameters: Parameters, gradients: Parameters, dhidden: Array, dstate: State, cache: Any
    ) -> State:
        ids, caches = cache
        first: list[tuple[Array, ...]] = []
        d: Array | None = dhidden
        for layer in reversed(range(self.architecture.layers)):
            assert d is not None  # only the first layer can have an input without a gradient
            p, g = (tensors.section(f"layer{layer}") for tensors in (parameters, gradients))
            d, layer_first = self.architecture.recurrent.backward_(p, g, d, dstate[layer], caches[layer])
            first.insert(0, layer_first)
        if d is not None:
            gradients["embedding.E"][...] = 0
            add_rows_(gradients["embedding.E"], ids.reshape(-1), d)
        return tuple(first)
