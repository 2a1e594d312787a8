"""What an engine is."""

from __future__ import annotations

from typing import Any, Protocol

from rnncli.model.architecture import Architecture, State
from rnncli.model.outputs import Output
from rnncli.model.parameters import Array, Parameters
from rnncli.system.profile import Profile


class Engine(Protocol):
    """Runs the stack of cells of an architecture over a batch, and offers its output layer.

    Made from an architecture and the counts of the words in the training text, (V,), None where they are not known.
    """

    architecture: Architecture
    output: Output
    profile: Profile
    """Is told which section of a step is under way."""

    def forward(self, parameters: Parameters, ids: Array, state: State) -> tuple[Array, State, Any]:
        """The top layer's hidden states as rows (T*B, H) for ids (T, B), the last state, and the cache."""

    def backward_(
        self, parameters: Parameters, gradients: Parameters, dhidden: Array, dstate: State, cache: Any
    ) -> State:
        """Backpropagate dhidden (T*B, H) and dstate; overwrites the gradients of the stack, returns the state's."""

    def held(self, T: int, B: int) -> int:
        """How many numbers a forward and a backward pass over the stack have in memory at most."""
