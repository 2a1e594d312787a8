"""The protocol of a cell, and starting values of the weights that all cells have."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from rnncli.model.buffers import Buffers
from rnncli.model.cells.inputs import Inputs
from rnncli.model.initialise import glorot_, orthogonal_
from rnncli.model.parameters import Section
from rnncli.system.arrays import Array, Shapes, Tensors

LayerState = tuple[Array, ...]
"""The arrays that one layer carries from step to step, each (n_a, B)."""


class Cell(Protocol):
    """A recurrent cell over a sequence of T steps and B columns, from n_x features to n_a hidden units.

    Its parameters are `Wxa` (n_x, G n_a), a row for each input feature, so that a one-hot input is a gather of rows;
    `Waa` (G n_a, n_a), in the course's orientation; `ba` (G n_a,); and any that a cell adds. The G gates are stacked,
    those with a sigmoid first.
    """

    states: tuple[str, ...]
    """Names of the carried arrays, each (n_a, B); the first is the hidden state `a`."""

    def shapes(self, n_x: int, n_a: int) -> Shapes:
        """Shapes of the parameters, by name, in the order in which they are drawn and stored."""

    def initialise_(self, p: Tensors, rng: np.random.Generator) -> None:
        """Fill the parameters with their starting values."""

    def forward(self, p: Tensors, x: Inputs, state: LayerState, buffers: Buffers) -> tuple[Array, LayerState, Any]:
        """Run the sequence: hidden states as rows (T*B, n_a), the state after the last step, and the cache.

        The rows and the cache are arrays of `buffers`, which belong to this layer: valid until its next `forward`.
        Temporary arrays come from `buffers.scratch`, which all layers share; so may `dhidden` in a backward pass.
        """

    def backward_(
        self, p: Tensors, g: Section, dhidden: Array, dlast: LayerState, cache: Any, buffers: Buffers
    ) -> tuple[Array | None, LayerState]:
        """Backpropagate through the sequence.

        dhidden (T*B, n_a): the gradient of every hidden state from the layer above. dlast: the gradient of the last
        state from later steps. Overwrites the gradients of the parameters in `g`; returns those of the input rows
        (None for one-hot input) and of the starting state.
        """


def initialise_gates_(p: Tensors, rng: np.random.Generator) -> None:
    """Glorot input weights and orthogonal recurrent weights, gate by gate; every bias 0."""
    n_x, n_a = p["Wxa"].shape[0], p["Waa"].shape[1]
    glorot_(p["Wxa"], n_x, n_a, rng)
    for gate in range(p["Waa"].shape[0] // n_a):
        orthogonal_(p["Waa"][gate * n_a : (gate + 1) * n_a], rng)
    p["ba"][...] = 0
