"""Penalties on the hidden states that enter the output layer (Merity et al. 2017).

    activation / (words H) * sum of h_t^2  +  temporal / (words H) * sum of (h_t - h_{t-1})^2

over the real positions of a window, masks of dropout included; the second sum over pairs of neighbouring steps within
it. (Merity et al. take the second over states without masks; with one mask for a window it is that of what is kept.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnncli.schema.fields import setting
from rnncli.system.arrays import Array


@dataclass(frozen=True)
class Penalties:
    """Factors of the two sums; 0: none."""

    activation: float = setting(0.0, minimum=0, later=True)
    temporal: float = setting(0.0, minimum=0, later=True)

    def __bool__(self) -> bool:
        return self.activation > 0 or self.temporal > 0

    def value(self, hidden: Array, mask: Array | None, T: int, words: int) -> Any:
        """The penalty of hidden states (T*B, H), in nats per word; mask (T, B): the real positions."""
        h, change = self._states(hidden, mask, T)
        found: Any = (self.activation * (h * h).sum() + self.temporal * (change * change).sum()) / (words * h.shape[2])
        return found

    def add_gradient_(self, dhidden: Array, hidden: Array, mask: Array | None, T: int, words: int) -> None:
        """Add the gradient of `value` to dhidden (T*B, H)."""
        h, change = self._states(hidden, mask, T)
        d, factor = dhidden.reshape(h.shape), 2 / (words * h.shape[2])
        d += factor * self.activation * h
        change *= factor * self.temporal
        d[1:] += change
        d[:-1] -= change

    def _states(self, hidden: Array, mask: Array | None, T: int) -> tuple[Array, Array]:
        """Hidden states (T, B, H), and their changes from step to step (T - 1, B, H); zero at padding."""
        h = hidden.reshape(T, -1, hidden.shape[1])
        if mask is None:
            return h, h[1:] - h[:-1]
        return h * mask[:, :, None], (h[1:] - h[:-1]) * mask[1:, :, None]


NO_PENALTIES = Penalties()
