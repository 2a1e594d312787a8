"""The oracle: the same model through real one-hot tensors and `rnncli.reference`, one time step at a time.

Slow on purpose, and short, so that it can be believed by reading it. It shares the parameters, random streams and
batches of the fast engine; here they are cut into the course's matrices, gate by gate, and gradients put together
again.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from rnncli import reference
from rnncli.model.architecture import Architecture, State
from rnncli.model.engines.stepwise_outputs import OUTPUTS
from rnncli.model.outputs import Output
from rnncli.model.parameters import Array, Parameters
from rnncli.reference.functional import one_hot
from rnncli.system.profile import Profile

Tensors = dict[str, Array]


class Stepwise:
    """Same results as `Fused`; `tests/test_engines.py` holds them together."""

    def __init__(self, architecture: Architecture, counts: Array | None = None) -> None:
        self.architecture = architecture
        self.output: Output = OUTPUTS[architecture.output](architecture.output_options, counts)
        self.profile = Profile()
        self.cell = CELLS[architecture.cell]

    def forward(self, parameters: Parameters, ids: Array, state: State) -> tuple[Array, State, Any]:
        self.profile.enter("input")
        words = one_hot(ids, self.architecture.vocabulary_size, parameters.dtype).transpose(0, 2, 1)  # (V, B, T)
        x = words
        if self.architecture.embedding_size is not None:
            x = _over_steps(parameters["embedding.E"].T, words)  # (D, V) @ (V, B) at each step
        self.profile.enter("cells forward")
        caches, last = [], []
        for layer, layer_state in enumerate(state):
            p = self.cell.to_course(parameters.section(f"layer{layer}"))
            x, layer_last, cache = self.cell.forward(x, layer_state, p)
            caches.append(cache)
            last.append(layer_last)
        hidden = x.transpose(2, 1, 0).reshape(-1, x.shape[0])  # (H, B, T) -> (T*B, H)
        return hidden, tuple(last), (words, caches)

    def backward_(
        self, parameters: Parameters, gradients: Parameters, dhidden: Array, dstate: State, cache: Any
    ) -> State:
        self.profile.enter("cells backward")
        words, caches = cache
        da = dhidden.reshape(words.shape[2], words.shape[1], -1).transpose(2, 1, 0)  # (T*B, H) -> (H, B, T)
        first: list[tuple[Array, ...]] = []
        for layer in reversed(range(self.architecture.layers)):
            course = self.cell.backward(da, dstate[layer], caches[layer])
            self.cell.from_course_(gradients.section(f"layer{layer}"), course)
            first.insert(0, tuple(course[f"d{name}0"] for name in self.architecture.recurrent.states))
            da = course["dx"]
        if self.architecture.embedding_size is not None:
            self.profile.enter("input")
            steps = range(words.shape[2])
            gradients["embedding.E"][...] = sum(words[:, :, t] @ da[:, :, t].T for t in steps)
        return tuple(first)

    def held(self, T: int, B: int) -> int:
        a = self.architecture
        D, V = a.embedding_size, a.vocabulary_size
        n_x = V if D is None else D
        gates = math.prod(a.recurrent.shapes(n_x, a.hidden_size)["ba"]) // a.hidden_size
        stack = sum(math.prod(shape) for name, shape in a.shapes().items() if not name.startswith("output."))
        # About: the parameters as the course has them, and their gradients, of a step and of all; one-hot vectors and
        # their like, the input, also beside the state of each gate, its gradient; for each layer what a step keeps.
        return (3 if gates > 1 else 1) * stack + T * B * (V + (1 + gates) * n_x + a.layers * 20 * a.hidden_size)


def _over_steps(W: Array, x: Array) -> Array:
    """W @ x<t> for each step of x (n, B, T)."""
    return np.stack([W @ x[:, :, t] for t in range(x.shape[2])], axis=2)


def _rows(p: Tensors, gate: int, gates: int) -> slice:
    n_a = len(p["ba"]) // gates
    return slice(gate * n_a, (gate + 1) * n_a)


class CellOfCourse(Protocol):
    """A cell in the course's matrices; sequences are (n, B, T)."""

    def to_course(self, p: Tensors) -> Tensors:
        """The stacked parameters of one layer as the course names and cuts them."""

    def from_course_(self, g: Tensors, course: Tensors) -> None:
        """Write the course's gradients into the stacked ones."""

    def forward(self, x: Array, state: tuple[Array, ...], p: Tensors) -> tuple[Array, tuple[Array, ...], Any]:
        """Hidden states, the last state, caches."""

    def backward(self, da: Array, dstate: tuple[Array, ...], caches: Any) -> Tensors:
        """The course's gradients, with `dx`, and `da0` (and `dc0`) for the starting state."""


class RnnOfCourse:
    """The cell `rnn` in the matrices of notebooks 000 to 004."""

    def to_course(self, p: Tensors) -> Tensors:
        return {"Wax": p["Wxa"].T, "Waa": p["Waa"], "ba": p["ba"][:, None]}

    def from_course_(self, g: Tensors, course: Tensors) -> None:
        g["Wxa"][...], g["Waa"][...], g["ba"][...] = course["dWax"].T, course["dWaa"], course["dba"][:, 0]

    def forward(self, x: Array, state: tuple[Array, ...], p: Tensors) -> tuple[Array, tuple[Array, ...], Any]:
        a, _, caches = reference.rnn_forward(x, state[0], p)
        return a, (a[:, :, -1],), caches

    def backward(self, da: Array, dstate: tuple[Array, ...], caches: Any) -> Tensors:
        return reference.rnn_backward(_into_last_step(da, dstate[0]), caches)


class LstmOfCourse:
    """The cell `lstm` in the matrices of notebooks 001 to 003: Wf, Wi, Wo, Wc over [a_prev; x_t]."""

    gates = "fioc"

    def to_course(self, p: Tensors) -> Tensors:
        course = {}
        for k, gate in enumerate(self.gates):
            rows = _rows(p, k, 4)
            course["W" + gate] = np.concatenate([p["Waa"][rows], p["Wxa"][:, rows].T], axis=1)  # over [a_prev; x_t]
            course["b" + gate] = p["ba"][rows, None]
        return course

    def from_course_(self, g: Tensors, course: Tensors) -> None:
        n_a = g["Waa"].shape[1]
        for k, gate in enumerate(self.gates):
            rows, dW = _rows(g, k, 4), course["dW" + gate]
            g["Waa"][rows], g["Wxa"][:, rows], g["ba"][rows] = dW[:, :n_a], dW[:, n_a:].T, course["db" + gate][:, 0]

    def forward(self, x: Array, state: tuple[Array, ...], p: Tensors) -> tuple[Array, tuple[Array, ...], Any]:
        a, _, c, caches = reference.lstm_forward(x, state[0], p, c0=state[1])
        return a, (a[:, :, -1], c[:, :, -1]), caches

    def backward(self, da: Array, dstate: tuple[Array, ...], caches: Any) -> Tensors:
        return reference.lstm_backward(_into_last_step(da, dstate[0]), caches, dc_last=dstate[1])


class GruOfCourse:
    """The cell `gru` in the matrices of `reference.gru_forward`."""

    gates = "rz"

    def to_course(self, p: Tensors) -> Tensors:
        n = _rows(p, 2, 3)
        course = {"Wna": p["Waa"][n], "Wnx": p["Wxa"][:, n].T, "bnx": p["ba"][n, None], "bna": p["bna"][:, None]}
        for k, gate in enumerate(self.gates):
            rows = _rows(p, k, 3)
            course["W" + gate] = np.concatenate([p["Waa"][rows], p["Wxa"][:, rows].T], axis=1)
            course["b" + gate] = p["ba"][rows, None]
        return course

    def from_course_(self, g: Tensors, course: Tensors) -> None:
        n, n_a = _rows(g, 2, 3), g["Waa"].shape[1]
        g["Waa"][n], g["Wxa"][:, n], g["ba"][n] = course["dWna"], course["dWnx"].T, course["dbnx"][:, 0]
        g["bna"][...] = course["dbna"][:, 0]
        for k, gate in enumerate(self.gates):
            rows, dW = _rows(g, k, 3), course["dW" + gate]
            g["Waa"][rows], g["Wxa"][:, rows], g["ba"][rows] = dW[:, :n_a], dW[:, n_a:].T, course["db" + gate][:, 0]

    def forward(self, x: Array, state: tuple[Array, ...], p: Tensors) -> tuple[Array, tuple[Array, ...], Any]:
        a, _, caches = reference.gru_forward(x, state[0], p)
        return a, (a[:, :, -1],), caches

    def backward(self, da: Array, dstate: tuple[Array, ...], caches: Any) -> Tensors:
        return reference.gru_backward(_into_last_step(da, dstate[0]), caches)


def _into_last_step(da: Array, da_last: Array) -> Array:
    """Da (H, B, T) with the gradient that comes to the last state from later steps added."""
    da = da.copy()
    da[:, :, -1] += da_last
    return da


CELLS: dict[str, CellOfCourse] = {"rnn": RnnOfCourse(), "lstm": LstmOfCourse(), "gru": GruOfCourse()}
