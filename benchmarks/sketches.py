"""Ways to save time between the products of a step that were tried and not kept: `python benchmarks/sketches.py`.

Medians of repeated calls, with and without, by turns. See docs/performance.md, "What limits a step".
"""

import time
from collections.abc import Callable
from queue import SimpleQueue
from statistics import median
from threading import Thread

from rnncli.system import threads

threads.prepare()

import numpy as np  # noqa: E402 - after the number of threads is set
from speed import ids_of  # noqa: E402

from rnncli.model.buffers import Buffers  # noqa: E402
from rnncli.model.cells import Lstm  # noqa: E402
from rnncli.model.cells.inputs import Rows  # noqa: E402
from rnncli.model.parameters import sum_rows  # noqa: E402
from rnncli.system import blas  # noqa: E402

Array = np.ndarray
T, ROUNDS = 35, 60
CHUNK = 7  # time steps that the upper layer is behind the lower one


def random(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def by_turns(*works: Callable[[], object]) -> list[float]:
    """Median milliseconds of each."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS):
        for work, seconds in zip(works, times, strict=True):
            started = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - started)
    return [1e3 * median(seconds) for seconds in times]


class Projected(Rows):
    """Input whose product is made before."""

    def __init__(self, z: Array, steps: int) -> None:
        self.T, self.B, self._z = steps, len(z) // steps, z

    def project(self, Wxa: Array, out: Array) -> None:
        np.copyto(out, self._z)


def layers_on_two_threads(H: int, B: int) -> list[float]:
    """Forward pass of two layers: one after the other with all threads, and the upper one a few steps behind the lower,
    each on one thread of the BLAS.
    """
    cell, zero = Lstm(), (np.zeros((H, B), np.float32), np.zeros((H, B), np.float32))
    p = [{"Wxa": random(H, 4 * H) / 20, "Waa": random(4 * H, H) / 20, "ba": np.zeros(4 * H, np.float32)} for _ in "12"]
    buffers, x = [Buffers(), Buffers()], random(T * B, H)
    jobs: SimpleQueue[Array] = SimpleQueue()
    done: SimpleQueue[Array] = SimpleQueue()

    def plain() -> Array:
        lower, _, _ = cell.forward(p[0], Rows(x.copy(), T), zero, buffers[0])
        return cell.forward(p[1], Rows(lower, T), zero, buffers[1])[0]

    def upper() -> None:
        while True:
            state, pieces = zero, []
            for _ in range(T // CHUNK):
                rows, state, _ = cell.forward(p[1], Rows(jobs.get(), CHUNK), state, buffers[1])
                pieces.append(rows.copy())
            done.put(np.concatenate(pieces))

    def behind() -> Array:
        z = x @ p[0]["Wxa"]
        blas.set_threads(1)
        state = zero
        for first in range(0, T * B, CHUNK * B):
            rows, state, _ = cell.forward(p[0], Projected(z[first : first + CHUNK * B], CHUNK), state, buffers[0])
            jobs.put(rows.copy())
        hidden = done.get()
        blas.set_threads(threads.count())
        return hidden

    Thread(target=upper, daemon=True).start()
    np.testing.assert_allclose(behind(), plain(), atol=1e-5)
    return by_turns(behind, plain)


def small_products(H: int, B: int) -> list[float]:
    """A recurrent product as four on one thread, small enough for kernels that do not pack, and as one on all."""
    Waa, a, out = random(4 * H, H), random(H, B), np.empty((4 * H, B), np.float32)
    parts, out_parts = Waa.reshape(4, H, H), out.reshape(4, H, B)
    blas.set_threads(1)
    [four] = by_turns(lambda: [np.matmul(parts, a, out=out_parts) for _ in range(T)])
    blas.set_threads(threads.count())
    [one] = by_turns(lambda: [np.matmul(Waa, a, out=out) for _ in range(T)])
    return [four / T, one / T]


def factors_on_all_cores(H: int, B: int) -> list[float]:
    """The factors of the gradients of the gates of an LSTM, on all cores and on one."""
    gates, c, tanh_c = random(T, 4 * H, B), random(T + 1, H, B), random(T, H, B)
    dz = np.empty_like(gates)

    def factors(some: slice) -> None:
        f, i, o, candidate = (gates[some, k * H : (k + 1) * H] for k in range(4))
        for k, (factor, gate) in enumerate(((c[:-1][some], f), (candidate, i), (tanh_c[some], o))):
            slope = np.subtract(1, gate, out=dz[some, k * H : (k + 1) * H])
            slope *= gate
            slope *= factor
        slope = np.multiply(candidate, candidate, out=dz[some, 3 * H :])
        np.subtract(1, slope, out=slope)
        slope *= i

    return by_turns(lambda: threads.divide(factors, T, threads.SHARED), lambda: factors(slice(0, T)))


def distinct_words(H: int, B: int) -> list[float]:
    """Input products for the distinct words of a window, and for every position: forward with and without, backward
    with and without.
    """
    ids, _ = ids_of(10_000, 200_000)
    window = np.asarray(ids[: len(ids) // B * B].reshape(B, -1)[:, 100 : 100 + T].T.reshape(-1), np.intp)
    E, W, dz = random(10_000, H), random(H, 4 * H), random(T * B, 4 * H)
    words, place = np.unique(window, return_inverse=True)
    x = E[window]

    def backward_of_words() -> None:
        _, sums = sum_rows(window, dz)
        np.matmul(E[words].T, sums)
        np.matmul(sums, W.T)

    def backward() -> None:
        np.matmul(x.T, dz)
        sum_rows(window, dz @ W.T)

    return by_turns(lambda: np.take(E[words] @ W, place, axis=0), lambda: x @ W, backward_of_words, backward)


def measure() -> str:
    """The table, in ms."""
    lines = ["## Sketches", "", "`python benchmarks/run.py sketches`, in ms.", "", "| sketch | with it | without |"]
    lines.append("|---|---|---|")
    for H, B in ((200, 20), (300, 20), (650, 20)):
        lines.append(
            "| upper layer {} steps behind, 2 x {} | {:.1f} | {:.1f} |".format(CHUNK, H, *layers_on_two_threads(H, B))
        )
    lines.append(
        "| four small recurrent products on one thread, 200, B 20 | {:.3f} | {:.3f} |".format(*small_products(200, 20))
    )
    for H, B in ((200, 20), (450, 32)):
        lines.append("| factors on all cores, {}, B {} | {:.2f} | {:.2f} |".format(H, B, *factors_on_all_cores(H, B)))
    with_it, without, with_back, without_back = distinct_words(450, 32)
    lines.append(f"| distinct words, 450, B 32, forward | {with_it:.1f} | {without:.1f} |")
    lines.append(f"| distinct words, 450, B 32, backward | {with_back:.1f} | {without_back:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(measure())
