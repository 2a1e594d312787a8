"""Protocols of an engine: the part that turns ids into input, and the part that runs the stack of cells."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import DTypeLike

from rnncli.model.architecture import Architecture, State
from rnncli.model.noise import Noise
from rnncli.model.parameters import Gradients, Parameters
from rnncli.system.arrays import Array, Tensors


def input_masks(noise: Noise | None, ids: Array, shape: tuple[int, ...], dtype: DTypeLike) -> list[Array | None]:
    """The masks of the rows of ids (T, B) of an embedding of this shape (V, D), each broadcast to (T, B, D)."""
    if noise is None:
        return []
    (T, B), (V, D) = ids.shape, shape
    return [noise.words(V, ids, dtype), noise.input(T, B, D, dtype)]


def layer_masks(
    noise: Noise | None, layer: int, layers: int, T: int, B: int, p: Tensors
) -> tuple[Array | None, Array | None]:
    """The mask of the recurrent weights of a layer, and that of its hidden states as (T, B, n_a)."""
    if noise is None:
        return None, None
    Waa = p["Waa"]
    hidden = noise.hidden(layer, layers, T, B, Waa.shape[1], Waa.dtype)
    return noise.recurrent(layer, Waa.shape, Waa.dtype), hidden


class Input(Protocol):
    """The input of the first cell: embedding rows, or one-hot vectors.

    Made from an architecture. `noise` is None in a pass that evaluates or predicts.
    """

    def __init__(self, architecture: Architecture) -> None: ...

    def forward(self, parameters: Parameters, ids: Array, noise: Noise | None) -> Any:
        """The input for ids (T, B), in the layout that the stack of the same engine expects."""

    def backward_(self, gradients: Gradients, dx: Any, x: Any, ids: Array) -> None:
        """Write the gradient of the embedding, if there is one, from that of the input."""


class Stack(Protocol):
    """The layers of cells of an architecture, without embedding and output layer."""

    def __init__(self, architecture: Architecture) -> None: ...

    def forward(self, parameters: Parameters, x: Any, state: State, noise: Noise | None) -> tuple[Array, State, Any]:
        """The top layer's hidden states as rows (T*B, H) for the input x, the last state, and the cache."""

    def backward_(
        self, parameters: Parameters, gradients: Gradients, dhidden: Array, dlast: State, cache: Any
    ) -> tuple[Any, State]:
        """Backpropagate dhidden (T*B, H) and dlast; overwrite the gradients of the layers.

        Returns the gradients of the input (None for one-hot vectors) and of the starting state.
        """
