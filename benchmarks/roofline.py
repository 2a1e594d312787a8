"""Lower bound on the time of a training step on this machine, and the time above it. Runs in the worker of `peers.py`.

The roofline of a step is the sum of
- its matrix products, at the shapes and layouts of the fused engine and of its output layer (the rows of a cluster of
  the adaptive softmax are those of one batch), with buffers allocated before. They are timed in the order of a step,
  for several rounds, and the medians taken: so the caches are as in a real step, and the times include writing the
  matrix of logits in one product and reading it in two;
- its exponentials (on all cores) and tanhs (one call per time step and layer), in blocks that stay in the cache;
- other memory traffic: Adam reads w, g, m and v and writes w, m and v, 28 bytes per parameter; 24 in a table of which
  most rows have no gradient in a step, and with lazy_adam nothing but its rows with a gradient; at the bandwidth of a
  copy by all cores. Other gradients are written by the products above.

Not included: elementwise sums and products, the norm of the gradient, conversions between layouts, Python.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from peers import Model

Array = np.ndarray[Any, np.dtype[Any]]
Work = tuple[str, str, Callable[[], object]]  # part of the step, name, function

PARTS = ("data", "input", "cells forward", "output", "cells backward", "clip and update")
ROUNDS, WARM_UP = 9, 2
BLOCK = 1 << 16  # elements: stays in a core's second-level cache, twice
COPIED = 1 << 25  # elements: far more than any cache holds


def sgemm_peak() -> float:
    """GFLOP/s of a product of 2048 x 2048 matrices in float32, best of several."""
    n = 2048
    a, b = (random(n, n) for _ in range(2))
    out = np.empty_like(a)
    return 2 * n**3 / min(seconds(lambda: np.matmul(a, b, out=out)) for _ in range(8)) / 1e9


def random(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def copy_bandwidth(pool: ThreadPoolExecutor, threads: int) -> float:
    """Bytes per second, read and written, of a copy far larger than the caches; median of several."""
    source, target = np.ones(COPIED, np.float32), np.zeros(COPIED, np.float32)
    pieces = list(zip(np.array_split(source, threads), np.array_split(target, threads), strict=True))

    def copy() -> None:
        list(pool.map(lambda piece: np.copyto(piece[1], piece[0]), pieces))

    copy()
    return 2 * source.nbytes / statistics.median(seconds(copy) for _ in range(ROUNDS))


def products_of_a_cell(m: Model, layer: int) -> list[Work]:
    """The products and tanhs of one layer, as in `rnncli.model.cells`."""
    N, H, GH, n_x = m.T * m.B, m.H, m.gates * m.H, m.inputs[layer]
    Waa, WaaT = random(GH, H), random(H, GH)
    a, dz, steps = random(m.T, H, m.B), random(m.T, GH, m.B), np.empty((m.T, GH, m.B), np.float32)
    da, a_rows, dz_rows = np.empty((H, m.B), np.float32), random(N, H), random(N, GH)
    dWaa = np.empty((GH, H), np.float32)
    before = random((m.gates + (m.cell == "lstm")) * H, m.B)
    after = np.empty_like(before)

    def recurrent_forward() -> None:
        for t in range(m.T):
            np.matmul(Waa, a[t], out=steps[t])  # (GH, H) @ (H, B)

    def recurrent_backward() -> None:
        for t in range(m.T):
            np.matmul(WaaT, dz[t], out=da)  # (H, GH) @ (GH, B)

    def tanhs() -> None:
        for _ in range(m.T):
            np.tanh(before, out=after)

    work: list[Work] = [
        ("cells forward", "recurrent products", recurrent_forward),
        ("cells forward", "tanhs", tanhs),
        ("cells backward", "recurrent products", recurrent_backward),
        ("cells backward", "dWaa", lambda: np.matmul(dz_rows.T, a_rows, out=dWaa)),
    ]
    if layer == 0 and m.D is None:  # one-hot: rows are gathered and added
        return work
    x, Wxa, dWxa = random(N, n_x), random(n_x, GH), np.empty((n_x, GH), np.float32)
    z, dx = np.empty((N, GH), np.float32), np.empty((N, n_x), np.float32)
    return [
        ("cells forward", "input products", lambda: np.matmul(x, Wxa, out=z)),
        *work,
        ("cells backward", "dWxa", lambda: np.matmul(x.T, dz_rows, out=dWxa)),
        ("cells backward", "dx", lambda: np.matmul(dz_rows, Wxa.T, out=dx)),
    ]


def softmax(name: str, rows: int, words: int, features: int, pool: ThreadPoolExecutor, threads: int) -> list[Work]:
    """The products and exponentials of a softmax over `words` words of `rows` rows."""
    x, W = random(rows, features), random(words, features)
    logits, dW, dx = np.empty((rows, words), np.float32), np.empty_like(W), np.empty_like(x)
    blocks = [(random(BLOCK), np.empty(BLOCK, np.float32)) for _ in range(threads)]
    times, rest = divmod(rows * words, threads * BLOCK)

    def exponentiate(block: tuple[Array, Array]) -> None:
        for _ in range(times):
            np.exp(block[0], out=block[1])
        np.exp(block[0][: rest // threads], out=block[1][: rest // threads])

    return [
        ("output", f"logits{name}", lambda: np.matmul(x, W.T, out=logits)),
        ("output", f"exponentials{name}", lambda: list(pool.map(exponentiate, blocks))),
        ("output", f"gradient of the words{name}", lambda: np.matmul(logits.T, x, out=dW)),
        ("output", f"gradient of the rows{name}", lambda: np.matmul(logits, W, out=dx)),
    ]


def projection(rows: int, size: int, features: int) -> list[Work]:
    """The products that project the rows of a cluster, forward and backward."""
    x, P, projected = random(rows, size), random(features, size), np.empty((rows, features), np.float32)
    dP, dx = np.empty_like(P), np.empty_like(x)
    return [
        ("output", "projections of clusters", lambda: np.matmul(x, P.T, out=projected)),
        ("output", "projections of clusters", lambda: np.matmul(projected.T, x, out=dP)),
        ("output", "projections of clusters", lambda: np.matmul(projected, P, out=dx)),
    ]


def products_of_the_output(passed: Any, p: dict[str, Any], pool: ThreadPoolExecutor, threads: int) -> list[Work]:
    """The products and exponentials of a full or an adaptive softmax."""
    N, (words, size) = len(passed.losses), p["Wya"].shape
    work = softmax("", N, words, size, pool, threads)
    for k in range(1, len(p) // 3 + 1):
        rows, (words, features) = len(passed.output[2][k - 1][0]), p[f"W{k}"].shape
        work += projection(rows, size, features)
        work += softmax(" of clusters", rows, words, features, pool, threads)
    return work


def bytes_of_adam(trainer: Any, passed: Any) -> int:
    """Bytes that the update must move."""
    gradients, _ = trainer.model.backward_(passed)
    bytes_ = 28 * gradients.vector.size
    for table in gradients.touched():
        rows, row = len(table.rows), 4 * table.row_size
        unread = 7 * (table.shape[0] - rows) if trainer.config.optimizer.name == "lazy_adam" else table.shape[0] - rows
        bytes_ -= unread * row
    return bytes_


def measure_items(m: Model, trainer: Any, passed: Any, threads: int) -> list[list[Any]]:
    """Rows of part, name and milliseconds per step, in the order of a step; `passed`: the pass over a batch."""
    output = trainer.model.parameters.section("output")
    with ThreadPoolExecutor(threads) as pool:
        bandwidth = copy_bandwidth(pool, threads)
        layers = [products_of_a_cell(m, layer) for layer in range(m.layers)]
        work = [each for layer in layers for each in layer if each[0] == "cells forward"]
        work += products_of_the_output(passed, output, pool, threads)
        work += [each for layer in reversed(layers) for each in layer if each[0] == "cells backward"]
        rounds = [[seconds(each) for _, _, each in work] for _ in range(WARM_UP + ROUNDS)][WARM_UP:]
    spent: dict[tuple[str, str], float] = {}
    for (part, what, _), times in zip(work, zip(*rounds, strict=True), strict=True):
        spent[part, what] = spent.get((part, what), 0.0) + statistics.median(times)
    spent["clip and update", "Adam's bytes"] = bytes_of_adam(trainer, passed) / bandwidth
    return [[part, what, 1e3 * each] for (part, what), each in spent.items()] + [["", "bandwidth", bandwidth / 1e9]]


def measure_parts(trainer: Any, take_steps: Callable[[int], object], count: int) -> dict[str, float]:
    """Mean milliseconds of a step by part, as `rnncli train --profile` reports them."""
    from rnncli.training.speed import FIRST_TIMED_STEP

    profile = trainer.profiled()
    take_steps(FIRST_TIMED_STEP + count)
    return {each["name"]: each["milliseconds"] for each in profile.report()["sections"]}


def section(results: dict[str, Any]) -> str:
    """The table: a column for each configuration, by title; `results` as `speed.run` gives them."""
    steps = list(results.values())
    items = [{(part, what): value for part, what, value in step.items} for step in steps]
    bandwidths = ", ".join(f"{each['', 'bandwidth']:.0f}" for each in items)
    rooflines = [sum(value for (part, _), value in each.items() if part) for each in items]
    measured = [1e3 * next(iter(step.seconds.values())) for step in steps]  # those of rnncli
    names = list(dict.fromkeys(key for each in items for key in each if key[0]))
    names.sort(key=lambda key: PARTS.index(key[0]))
    rows = [(f"{part}: {what}", [each.get((part, what)) for each in items]) for part, what in names]
    rows += [("**roofline**", rooflines), ("**step**", measured)]
    lines = [
        "## Roofline",
        "",
        "Lower bound on a step, in ms: its matrix products at their shapes, exponentials, tanhs and memory traffic,",
        f"each timed alone in the same process and added up. Copies moved {bandwidths} GB/s.",
        "",
        f"| | {' | '.join(results)} |",
        f"|---|{'---|' * len(steps)}",
        *(
            f"| {name} | {' | '.join('' if each is None else f'{each:.2f}' for each in values)} |"
            for name, values in rows
        ),
        f"| **roofline / step** | {' | '.join(f'{a / b:.2f}' for a, b in zip(rooflines, measured, strict=True))} |",
    ]
    if any(a > b for a, b in zip(rooflines, measured, strict=True)):
        lines += ["", "A roofline above the step was timed while the machine was busy, and is not valid."]
    lines += [
        "",
        "The rest of a step: the time of each part, as `--profile` reports it, minus its items above, in ms.",
        "",
    ]
    lines += [f"| | {' | '.join(results)} |", f"|---|{'---|' * len(steps)}"]
    for part in PARTS:
        floors = [sum(value for (each, _), value in item.items() if each == part) for item in items]
        rest = [f"{step.parts[part] - floor:.2f}" for step, floor in zip(steps, floors, strict=True)]
        lines.append(f"| {part} | {' | '.join(rest)} |")
    return "\n".join(lines)
