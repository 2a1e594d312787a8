"""The oracle: the same model through real one-hot tensors and `rnncli.reference`, one time step at a time.

Deliberately slow and short, so that it can be verified by reading. It uses the parameters, random streams and batches
of the fast engine: parameters are split into the course's matrices, gate by gate, and the gradients are joined again.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from rnncli import reference
from rnncli.model.architecture import Architecture, State
from rnncli.model.cells import Cell, Gru, Lstm, Rnn
from rnncli.model.cells.base import LayerState
from rnncli.model.engines.base import input_masks, layer_masks
from rnncli.model.noise import Noise
from rnncli.model.parameters import Gradients, Parameters
from rnncli.reference.functional import one_hot
from rnncli.system.arrays import Array, Tensors


class StepwiseInput:
    """Real one-hot tensors (V, B, T), and their product with the embedding at each step."""

    def __init__(self, architecture: Architecture) -> None:
        self._vocabulary_size, self._embedded = architecture.vocabulary_size, architecture.embedding_size is not None
        self._clusters = [alias for alias, _ in architecture.aliases if alias.startswith("input.W")][1:]
        self._clustered = architecture.clustered_input

    def forward(self, parameters: Parameters, ids: Array, noise: Noise | None) -> tuple[Array, Any]:
        words = self._words(ids, parameters.dtype)
        if not self._embedded:
            return words, None
        E = self._embedding(parameters)
        masks = [_features_first(mask) for mask in input_masks(noise, ids, E.shape, E.dtype)]
        return _masked(_over_steps(E.T, words), masks), (masks, parameters)  # (D, V) @ (V, B)

    def _embedding(self, parameters: Parameters) -> Array:
        """The embedding (V, D): that of a model with adaptive input is the head, then W_k P_k of each cluster."""
        if not self._clustered:
            return parameters["embedding.E"]
        tails = [parameters[W] @ parameters[W.replace("W", "P")] for W in self._clusters]
        head = self._vocabulary_size - sum(map(len, tails))
        return np.concatenate([parameters["input.Wya"][:head], *tails])

    def backward_(self, gradients: Gradients, dx: Array, x: tuple[Array, Any], ids: Array) -> None:
        if not self._embedded:
            return
        masks, p = x[1]
        words, dx = self._words(ids, dx.dtype), _masked(dx, masks)
        dE = np.sum([words[:, :, t] @ dx[:, :, t].T for t in range(len(ids))], axis=0)
        if not self._clustered:
            gradients["embedding.E"][...] = dE
            return
        start = len(dE) - sum(len(p[W]) for W in self._clusters)
        gradients["input.Wya"][...] = 0
        gradients["input.Wya"][:start] = dE[:start]
        for W in self._clusters:
            P, dE_k = W.replace("W", "P"), dE[start : start + len(p[W])]
            gradients[W][...], gradients[P][...] = dE_k @ p[P].T, p[W].T @ dE_k
            start += len(p[W])

    def _words(self, ids: Array, dtype: DTypeLike) -> Array:
        """(T, B) to (V, B, T)."""
        return one_hot(ids, self._vocabulary_size, dtype).transpose(0, 2, 1)


class StepwiseStack:
    """The stack of cells. Same results as `FusedStack`; a test of the engines compares them."""

    def __init__(self, architecture: Architecture) -> None:
        self._states, self._cell = architecture.cell.states, COURSE_CELLS[type(architecture.cell)]
        self._residual = architecture.residual

    def forward(
        self, parameters: Parameters, x: tuple[Array, Any], state: State, noise: Noise | None
    ) -> tuple[Array, State, Any]:
        caches, last, (a, _) = [], [], x
        for layer, layer_state in enumerate(state):
            p = parameters.section(f"layer{layer}")
            of_weights, of_hidden = layer_masks(noise, layer, len(state), a.shape[2], a.shape[1], p)
            if of_weights is not None:
                p = p | {"Waa": p["Waa"] * of_weights}
            masks = [_features_first(of_hidden)]
            entering = a
            a, layer_last, cache = self._cell.forward(a, layer_state, self._cell.to_course(p))
            if self._residual and layer > 0:
                a = a + entering
            a = _masked(a, masks)
            caches.append((of_weights, masks, cache))
            last.append(tuple(np.ascontiguousarray(part) for part in layer_last))
        hidden = a.transpose(2, 1, 0).reshape(-1, a.shape[0])  # (H, B, T) -> (T*B, H)
        return hidden, tuple(last), (a.shape, caches)

    def backward_(
        self, parameters: Parameters, gradients: Gradients, dhidden: Array, dlast: State, cache: Any
    ) -> tuple[Array, State]:
        (H, B, T), caches = cache
        da = dhidden.reshape(T, B, H).transpose(2, 1, 0)  # (T*B, H) -> (H, B, T)
        first: list[LayerState] = []
        for layer in reversed(range(len(caches))):
            (of_weights, masks, of_cell), g = caches[layer], gradients.section(f"layer{layer}")
            da = _masked(da, masks)
            course = self._cell.backward(da, dlast[layer], of_cell)
            self._cell.from_course_(g, course)
            if of_weights is not None:
                g["Waa"] *= of_weights
            first.insert(0, tuple(course[f"d{name}0"] for name in self._states))
            da = course["dx"] + da if self._residual and layer > 0 else course["dx"]
        return da, tuple(first)


def _features_first(mask: Array | None) -> Array:
    """A mask (T, B, n) as (n, B, T), each dimension of 1 kept; ones if nothing is dropped."""
    return np.ones((1, 1, 1)) if mask is None else mask.transpose(2, 1, 0)


def _masked(x: Array, masks: list[Array]) -> Array:
    for mask in masks:
        x = (x * mask).astype(x.dtype)
    return x


def _over_steps(W: Array, x: Array) -> Array:
    """W @ x<t> for each step of x (n, B, T)."""
    return np.stack([W @ x[:, :, t] for t in range(x.shape[2])], axis=2)


def _rows(p: Tensors, gate: int, gates: int) -> slice:
    n_a = len(p["ba"]) // gates
    return slice(gate * n_a, (gate + 1) * n_a)


class CourseCell(Protocol):
    """A cell with the course's matrices; sequences are (n, B, T)."""

    def to_course(self, p: Tensors) -> Tensors:
        """The stacked parameters of one layer, split and named as in the course."""

    def from_course_(self, g: Tensors, course: Tensors) -> None:
        """Write the course's gradients into the stacked gradients."""

    def forward(self, x: Array, state: tuple[Array, ...], p: Tensors) -> tuple[Array, tuple[Array, ...], Any]:
        """Return hidden states, last state and caches."""

    def backward(self, da: Array, dlast: tuple[Array, ...], caches: Any) -> Tensors:
        """The course's gradients, with `dx`, and `da0` (and `dc0`) for the starting state."""


class CourseRnn:
    """The cell `rnn` with the matrices of notebooks 000 to 004."""

    def to_course(self, p: Tensors) -> Tensors:
        return {"Wax": p["Wxa"].T, "Waa": p["Waa"], "ba": p["ba"][:, None]}

    def from_course_(self, g: Tensors, course: Tensors) -> None:
        g["Wxa"][...], g["Waa"][...], g["ba"][...] = course["dWax"].T, course["dWaa"], course["dba"][:, 0]

    def forward(self, x: Array, state: tuple[Array, ...], p: Tensors) -> tuple[Array, tuple[Array, ...], Any]:
        a, _, caches = reference.rnn_forward(x, state[0], p)
        return a, (a[:, :, -1],), caches

    def backward(self, da: Array, dlast: tuple[Array, ...], caches: Any) -> Tensors:
        return reference.rnn_backward(_into_last_step(da, dlast[0]), caches)


class CourseLstm:
    """The cell `lstm` with the matrices of notebooks 001 to 003: Wf, Wi, Wo, Wc over [a_prev; x_t]."""

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

    def backward(self, da: Array, dlast: tuple[Array, ...], caches: Any) -> Tensors:
        return reference.lstm_backward(_into_last_step(da, dlast[0]), caches, dc_last=dlast[1])


class CourseGru:
    """The cell `gru` with the matrices of `reference.gru_forward`."""

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

    def backward(self, da: Array, dlast: tuple[Array, ...], caches: Any) -> Tensors:
        return reference.gru_backward(_into_last_step(da, dlast[0]), caches)


def _into_last_step(da: Array, da_last: Array) -> Array:
    """Return da (H, B, T) plus the gradient that reaches the last state from later steps."""
    da = da.copy()
    da[:, :, -1] += da_last
    return da


COURSE_CELLS: dict[type[Cell], CourseCell] = {Rnn: CourseRnn(), Lstm: CourseLstm(), Gru: CourseGru()}
