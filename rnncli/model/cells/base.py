"""What a cell is, and how the weights that all cells have are initialised."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from rnncli.model.buffers import Buffers
from rnncli.model.cells.inputs import Inputs
from rnncli.model.initialise import glorot_, orthogonal_
from rnncli.model.parameters import Array, Shapes

Tensors = dict[str, Array]
State = tuple[Array, ...]


class Cell(Protocol):
    """A recurrent cell over a sequence of T steps and B columns, from n_x features to n_a hidden units.

    Its parameters are `Wxa` (n_x, G n_a), a row for each input feature, so that a one-hot input is a gather of rows;
    `Waa` (G n_a, n_a), the course's orientation; `ba` (G n_a,); and what its own file adds. G gates are stacked,
    those with a sigmoid first.
    """

    states: tuple[str, ...]
    """Names of the carried arrays, each (n_a, B); the first is the hidden state `a`."""

    def shapes(self, n_x: int, n_a: int) -> Shapes:
        """Shapes of the parameters, by name, in the order in which they are drawn and stored."""

    def initialise_(self, p: Tensors, rng: np.random.Generator) -> None:
        """Fill the parameters with their starting values."""

    def forward(self, p: Tensors, x: Inputs, state: State, buffers: Buffers) -> tuple[Array, State, Any]:
        """Run the sequence: hidden states as rows (T*B, n_a), the state after the last step, and the cache.

        The rows and the cache lie in `buffers`, which are this layer's own: good until its next `forward`. What is
        not kept lies in their `scratch`, which is that of all layers; `dhidden` of a backward pass does too.
        """

    def backward_(
        self, p: Tensors, g: Tensors, dhidden: Array, dstate: State, cache: Any, buffers: Buffers
    ) -> tuple[Array | None, State]:
        """Backpropagate through the sequence.

        `dhidden` (T*B, n_a) is the gradient that comes to every hidden state from above, `dstate` the one that comes
        to the last state from later steps. Writes the gradients of the parameters into `g` (what was there is
        overwritten) and returns those of the input rows (None where the input is one-hot) and of the starting state.
        """

    def flops(self, n_x: int, n_a: int, positions: int, one_hot: bool) -> tuple[int, int]:
        """Floating-point operations of the matrix products, forward and backward over so many positions T*B.

        A product of (n, k) and (k, m) has 2 n m k. One-hot input is a gather, and its gradient a sum of rows.
        """

    def held(self, n_x: int, n_a: int, T: int, B: int, one_hot: bool) -> tuple[int, int]:
        """How many numbers a forward and a backward pass have in memory at most.

        Those that each layer has for itself, and those that all layers share, one after another: `scratch`, and what
        is soon free.
        """


def flops_of_gates(gates: int, n_x: int, n_a: int, positions: int, one_hot: bool) -> tuple[int, int]:
    """Those of Waa a and Wxa^T x; backward each is two products, for the weights and for what they multiply."""
    forward = 2 * positions * gates * n_a * (n_a + (0 if one_hot else n_x))
    return forward, 2 * forward


def held_of_gates(
    gates: int, kept: int, shared: int, n_x: int, n_a: int, T: int, B: int, one_hot: bool
) -> tuple[int, int]:
    """What all cells have in memory, where a layer has `kept` and all `shared` arrays as large as the states."""
    N, row = T * B, gates * n_a
    own = N * row + (N + B) * n_a * kept + N * n_a  # the gates, the states, the hidden ones as rows
    # The gates' rows and their gradients, the gradient that comes from above, the hidden states before.
    all_layers = 2 * N * row + N * n_a * (2 + shared)
    all_layers += row * n_a + 2 * B * (row + kept * n_a)  # Waa transposed, and what one step needs
    # A gather of rows, or their gradients in order and added up; else the gradient of the input.
    return own, all_layers + (N * row + min(N, n_x) * row if one_hot else N * n_x)


def initialise_gates_(p: Tensors, rng: np.random.Generator) -> None:
    """Glorot input weights and orthogonal recurrent weights, gate by gate; every bias 0."""
    n_x, n_a = p["Wxa"].shape[0], p["Waa"].shape[1]
    glorot_(p["Wxa"], n_x, n_a, rng)
    for gate in range(p["Waa"].shape[0] // n_a):
        orthogonal_(p["Waa"][gate * n_a : (gate + 1) * n_a], rng)
    p["ba"][...] = 0
