"""Decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2)."""

from __future__ import annotations

from rnncli.model.parameters import CHUNK, Parameters
from rnncli.system import threads
from rnncli.system.arrays import Array


def decay_(parameters: Parameters, share: float) -> None:
    """Subtract a share of every weight from it, in place; biases (tensors of one dimension) are not changed."""
    weights = [tensor.reshape(-1) for _, tensor in parameters.items() if tensor.ndim > 1]
    chunks = [weight[start : start + CHUNK] for weight in weights for start in range(0, weight.size, CHUNK)]

    def work(chunk: Array) -> None:
        chunk *= 1 - share

    threads.share(work, chunks, sum(weight.size for weight in weights))
