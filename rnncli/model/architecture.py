"""Architecture of a model: names, shapes and starting values of its tensors, and the state carried between windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from rnncli.model.cells.base import Cell, LayerState
from rnncli.model.initialise import glorot_, uniform_
from rnncli.model.outputs.base import OutputLayer
from rnncli.model.parameters import Parameters
from rnncli.system.arrays import Array, Shapes
from rnncli.system.blas import one_thread
from rnncli.system.randomness import stream

State = tuple[LayerState, ...]
"""For each layer, the arrays that its cell carries, each (H, B); C-contiguous in what a pass returns."""


@dataclass(frozen=True)
class Architecture:
    """The sizes and parts of a model.

    Its parameters, in the order in which they are drawn and stored: `embedding.E` (V, D) if there is an embedding;
    instead, `input.*` if the input rows are made of the tensors of the output layer (`aliases`); `layer0.*`,
    `layer1.*`, ... with the names of the cell; `projection.P` (H, n) if `projected` is n; `output.*` with
    those of the output layer. `aliases` are pairs of names (alias, owner) for one tensor, such as ("output.Wya",
    "embedding.E"): only the owner is drawn and stored.

    projected: the number of features that enter the output layer, if they are a linear function of the hidden states.
    residual: every layer but the first adds its input to its output, both (T*B, H) (He et al. 2016).
    """

    vocabulary_size: int
    cell: Cell
    layers: int
    hidden_size: int
    embedding_size: int | None  # None: one-hot vectors enter the first cell
    output: type[OutputLayer]
    output_options: Any = None
    aliases: tuple[tuple[str, str], ...] = ()
    projected: int | None = None
    residual: bool = False

    def shapes(self) -> Shapes:
        """The shape of every tensor by its owner's name; no tensor is allocated.

        Raises ValueError for an alias whose shape differs from that of its owner.
        """
        shapes: Shapes = {}
        n_x = self.vocabulary_size
        if self.embedding_size is not None:
            n_x = self.embedding_size
            if self.clustered_input:
                made_of = [name for name in self.output_shapes() if not name.startswith("b")]
                shapes |= {f"input.{name}": self.output_shapes()[name] for name in made_of}
            else:
                shapes["embedding.E"] = (self.vocabulary_size, n_x)
        for layer in range(self.layers):
            cell_shapes = self.cell.shapes(n_x, self.hidden_size)
            shapes |= {f"layer{layer}.{name}": shape for name, shape in cell_shapes.items()}
            n_x = self.hidden_size
        if self.projected is not None:
            shapes["projection.P"] = (self.hidden_size, self.projected)
        shapes |= {f"output.{name}": shape for name, shape in self.output_shapes().items()}
        for alias, owner in self.aliases:
            if (shape := shapes.pop(alias)) != shapes[owner]:
                raise ValueError(f"{alias} {shape} cannot share the tensor {owner} {shapes[owner]}")
        return shapes

    @property
    def clustered_input(self) -> bool:
        """Whether input rows are made of the tensors of an output layer with clusters (adaptive input)."""
        return any(alias.startswith("input.") for alias, _ in self.aliases)

    def output_shapes(self) -> Shapes:
        """The shape of every tensor of the output layer by its name there, aliases included."""
        return self.output.shapes(self.projected or self.hidden_size, self.vocabulary_size, self.output_options)

    def word_rows(self) -> dict[str, range]:
        """For each tensor whose first rows belong to words, one each: the ids of these words."""
        ids = range(self.vocabulary_size)
        rows = {"layer0.Wxa" if self.embedding_size is None else "embedding.E": ids}
        return rows | {f"output.{name}": words for name, words in self.output.word_rows(self.output_shapes()).items()}

    def parameters(self, dtype: DTypeLike, vector: Array | None = None) -> Parameters:
        """Parameters of this model: zeros, or views of an existing vector."""
        return Parameters(self.shapes(), dtype, vector, dict(self.aliases))

    def initialise(self, random_seed: int, dtype: DTypeLike = np.float32) -> Parameters:
        """Parameters with their starting values, each section drawn in float64 from a separate stream."""
        parameters = self.parameters(dtype)
        if "embedding.E" in parameters.shapes:
            uniform_(parameters["embedding.E"], 0.1, stream(random_seed, "initialise embedding"))
        for layer in range(self.layers):
            rng = stream(random_seed, "initialise layer", layer)
            with one_thread():  # an orthogonal matrix takes a thousand small products
                self.cell.initialise_(parameters.section(f"layer{layer}"), rng)
        if self.projected is not None:
            P = parameters["projection.P"]
            glorot_(P, P.shape[0], P.shape[1], stream(random_seed, "initialise projection"))
        output = dict(parameters.section("output"))
        for alias, _ in self.aliases:
            if (name := alias.removeprefix("output.")) in output:
                output[name] = np.empty_like(output[name])  # discarded: the value of the owner is used
        self.output.initialise_(output, stream(random_seed, "initialise output"))
        return parameters

    def zero_state(self, columns: int, dtype: DTypeLike) -> State:
        """The state at the beginning of a text: zeros."""
        shape = (self.hidden_size, columns)
        return tuple(tuple(np.zeros(shape, dtype) for _ in self.cell.states) for _ in range(self.layers))

    def state_names(self) -> list[str]:
        """A name for each array of a flattened state: `layer0.a`, `layer0.c`, ..."""
        return [f"layer{layer}.{name}" for layer in range(self.layers) for name in self.cell.states]

    def flatten_state(self, state: State) -> dict[str, Array]:
        """The arrays of a state by name."""
        arrays = [array for layer in state for array in layer]
        return dict(zip(self.state_names(), arrays, strict=True))

    def unflatten_state(self, arrays: Sequence[Array]) -> State:
        """The state with these arrays, given in the order of `state_names`."""
        n = len(self.cell.states)
        return tuple(tuple(arrays[layer * n : (layer + 1) * n]) for layer in range(self.layers))
