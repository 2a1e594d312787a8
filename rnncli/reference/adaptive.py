"""The adaptive softmax (Grave et al. 2017), over the whole vocabulary at every step.

Words are sorted by falling frequency. The first c1 are the head, the others are K consecutive clusters. The head's
softmax has an entry for each of its words, then one for each cluster; a cluster's softmax has an entry for each of its
words, and takes a projection of the hidden state to d_k elements:

    head = softmax(Wya a + by)                        tail_k = softmax(W<k> (P<k> a) + b<k>)
    P(w) = head[w]  for w in the head                 P(w) = head[c1 + k - 1] tail_k[w]  for w in cluster k

Parameters: Wya (c1 + K, n_a), by (c1 + K, 1); for k = 1 ... K: P<k> (d_k, n_a), W<k> (n_k, d_k), b<k> (n_k, 1).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from rnncli.reference.functional import log_softmax
from rnncli.reference.sequence import Gradients, Parameters
from rnncli.system.arrays import Array


def adaptive_output_forward(a: Array, parameters: Parameters) -> tuple[Array, Any]:
    """Return log P(w | a) for every word, for one time step (Grave et al. 2017, section 4), and the cache.

    a (n_a, m). log_y (n_y, m): each column is the logarithm of a distribution, because P itself may underflow to 0.
    """
    clusters = _clusters(parameters)
    log_head = log_softmax(parameters["Wya"] @ a + parameters["by"])
    c1 = len(log_head) - len(clusters)
    log_y, tails = [log_head[:c1]], []
    for k in clusters:
        x = parameters[f"P{k}"] @ a
        log_tail = log_softmax(parameters[f"W{k}"] @ x + parameters[f"b{k}"])
        log_y.append(log_head[c1 + k - 1] + log_tail)
        tails.append((x, log_tail))
    return np.concatenate(log_y), (a, log_head, tails, parameters)


def adaptive_output_backward(y: Array, cache: Any) -> Gradients:
    """Gradients of -sum(y log_y) for one time step.

    With the targets of the head y_head (y of the words in the head, and the sum of y over each cluster),

        dz_head = head - y_head        dz_k = y_head[c1 + k - 1] tail_k - y_k

    y (n_y, m), one-hot; the gradient of a cluster without the target is zero. Returns "d" + name for every parameter,
    with its shape, and da (n_a, m).
    """
    a, log_head, tails, parameters = cache
    c1 = len(log_head) - len(tails)
    ends = np.cumsum([c1] + [len(log_tail) for _, log_tail in tails])
    y_tails = [y[start:end] for start, end in pairwise(ends)]
    y_head = np.concatenate([y[:c1]] + [y_k.sum(axis=0, keepdims=True) for y_k in y_tails])

    dz = np.exp(log_head) - y_head
    gradients = {"dWya": dz @ a.T, "dby": dz.sum(axis=1, keepdims=True)}
    da = parameters["Wya"].T @ dz
    for k, (x, log_tail), y_k in zip(_clusters(parameters), tails, y_tails, strict=True):
        dz = y_head[c1 + k - 1] * np.exp(log_tail) - y_k
        dx = parameters[f"W{k}"].T @ dz
        gradients |= {f"dW{k}": dz @ x.T, f"db{k}": dz.sum(axis=1, keepdims=True), f"dP{k}": dx @ a.T}
        da = da + parameters[f"P{k}"].T @ dx
    return gradients | {"da": da}


def _clusters(parameters: Parameters) -> list[int]:
    """1 ... K."""
    return [k for k in range(1, len(parameters)) if f"P{k}" in parameters]
