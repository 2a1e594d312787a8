"""What every engine agrees on: the tensors of a model, how they start, and the state that is carried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from rnncli.model.cells import CELLS, Cell
from rnncli.model.initialise import uniform_
from rnncli.model.outputs import OUTPUTS
from rnncli.model.parameters import Array, Parameters, Shapes
from rnncli.system.blas import one_thread
from rnncli.system.randomness import stream

State = tuple[tuple[Array, ...], ...]
"""For each layer the arrays that its cell carries, each (H, B)."""


@dataclass(frozen=True)
class Architecture:
    """The sizes of a model and the names of its parts.

    Its parameters, in the order in which they are stored and drawn: `embedding.E` (V, D) where there is one;
    `layer0.*`, `layer1.*`, ... as the cell has them; `output.*` as the output layer has them.
    """

    vocabulary_size: int
    cell: str
    layers: int
    hidden_size: int
    embedding_size: int | None  # None: one-hot vectors enter the first cell
    output: str = "full"
    output_options: Any = None

    @property
    def recurrent(self) -> Cell:
        """The cell of every layer."""
        return CELLS[self.cell]

    def shapes(self) -> Shapes:
        """The shape of every tensor by name; takes no memory for them."""
        shapes: Shapes = {}
        n_x = self.vocabulary_size
        if self.embedding_size is not None:
            shapes["embedding.E"] = (self.vocabulary_size, self.embedding_size)
            n_x = self.embedding_size
        for layer in range(self.layers):
            cell_shapes = self.recurrent.shapes(n_x, self.hidden_size)
            shapes |= {f"layer{layer}.{name}": shape for name, shape in cell_shapes.items()}
            n_x = self.hidden_size
        output_shapes = OUTPUTS[self.output].shapes(self.hidden_size, self.vocabulary_size, self.output_options)
        return shapes | {f"output.{name}": shape for name, shape in output_shapes.items()}

    def flops(self, positions: int) -> tuple[int, int]:
        """Floating-point operations of the cells' matrix products, forward and backward over so many positions."""
        forward, backward, one_hot = 0, 0, self.embedding_size is None
        n_x = self.embedding_size or self.vocabulary_size
        for _ in range(self.layers):
            of_layer = self.recurrent.flops(n_x, self.hidden_size, positions, one_hot)
            forward, backward = forward + of_layer[0], backward + of_layer[1]
            n_x, one_hot = self.hidden_size, False
        return forward, backward

    def initialise(self, random_seed: int, dtype: DTypeLike = np.float32) -> Parameters:
        """Parameters with their starting values, each section drawn in float64 from a stream of its own."""
        parameters = Parameters(self.shapes(), dtype)
        if self.embedding_size is not None:
            uniform_(parameters["embedding.E"], 0.1, stream(random_seed, "initialise embedding"))
        for layer in range(self.layers):
            rng = stream(random_seed, "initialise layer", layer)
            with one_thread():  # an orthogonal matrix is a thousand small products
                self.recurrent.initialise_(parameters.section(f"layer{layer}"), rng)
        OUTPUTS[self.output].initialise_(parameters.section("output"), stream(random_seed, "initialise output"))
        return parameters

    def zero_state(self, columns: int, dtype: DTypeLike) -> State:
        """The state at the beginning of a text: zeros."""
        shape = (self.hidden_size, columns)
        return tuple(tuple(np.zeros(shape, dtype) for _ in self.recurrent.states) for _ in range(self.layers))

    def state_names(self) -> list[str]:
        """A name for each array of a flattened state: `layer0.a`, `layer0.c`, ..."""
        return [f"layer{layer}.{name}" for layer in range(self.layers) for name in self.recurrent.states]

    def flatten_state(self, state: State) -> dict[str, Array]:
        """The arrays of a state by name."""
        arrays = [array for layer in state for array in layer]
        return dict(zip(self.state_names(), arrays, strict=True))

    def unflatten_state(self, arrays: Sequence[Array]) -> State:
        """The state whose arrays, in the order of `state_names`, are given."""
        n = len(self.recurrent.states)
        return tuple(tuple(arrays[layer * n : (layer + 1) * n]) for layer in range(self.layers))
