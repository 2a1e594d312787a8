"""The fast engine: every input product and every weight gradient of a sequence is one product."""

from __future__ import annotations

from typing import Any

from rnncli.model.architecture import Architecture, State
from rnncli.model.buffers import Buffers
from rnncli.model.cells.inputs import Inputs, OneHot, Rows
from rnncli.model.outputs import OUTPUTS, Output
from rnncli.model.parameters import Array, Parameters, write_rows_
from rnncli.system.profile import Profile


class Fused:
    """Same results as `Stepwise`; `tests/test_engines.py` holds them together."""

    def __init__(self, architecture: Architecture, counts: Array | None = None) -> None:
        self.architecture = architecture
        self.output: Output = OUTPUTS[architecture.output](architecture.output_options, counts)
        self.profile = Profile()
        shared = Buffers()
        self._buffers = [Buffers(shared) for _ in range(architecture.layers)]

    def forward(self, parameters: Parameters, ids: Array, state: State) -> tuple[Array, State, Any]:
        self.profile.enter("input")
        T = len(ids)
        embedded = self.architecture.embedding_size is not None
        x: Inputs = Rows(parameters["embedding.E"][ids.reshape(-1)], T) if embedded else OneHot(ids)
        self.profile.enter("cells forward")
        caches, last = [], []
        for layer, layer_state in enumerate(state):
            p = parameters.section(f"layer{layer}")
            hidden, layer_last, cache = self.architecture.recurrent.forward(p, x, layer_state, self._buffers[layer])
            caches.append(cache)
            last.append(layer_last)
            x = Rows(hidden, T)
        return hidden, tuple(last), (ids, caches)

    def backward_(
        self, parameters: Parameters, gradients: Parameters, dhidden: Array, dstate: State, cache: Any
    ) -> State:
        self.profile.enter("cells backward")
        ids, caches = cache
        first: list[tuple[Array, ...]] = []
        d: Array | None = dhidden
        for layer in reversed(range(self.architecture.layers)):
            assert d is not None  # only the first layer can have an input without a gradient
            p, g = (tensors.section(f"layer{layer}") for tensors in (parameters, gradients))
            d, layer_first = self.architecture.recurrent.backward_(
                p, g, d, dstate[layer], caches[layer], self._buffers[layer]
            )
            first.insert(0, layer_first)
        if d is not None:
            self.profile.enter("input")
            write_rows_(gradients.section("embedding"), "E", ids.reshape(-1), d)
        return tuple(first)

    def held(self, T: int, B: int) -> int:
        a = self.architecture
        D, one_hot = a.embedding_size, a.embedding_size is None
        n_x = a.vocabulary_size if D is None else D
        # The embeddings' rows; their gradients in order, and added up.
        held = 0 if D is None else 2 * T * B * D + min(T * B, a.vocabulary_size) * D
        shared = 0
        for _ in range(a.layers):
            own, for_all = a.recurrent.held(n_x, a.hidden_size, T, B, one_hot)
            held, shared = held + own, max(shared, for_all)
            n_x, one_hot = a.hidden_size, False
        return held + shared
