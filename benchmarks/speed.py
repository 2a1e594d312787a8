"""Training steps against PyTorch: `make bench`, or `python benchmarks/speed.py [lstm] [gru] [outputs] ...` for some.

Both train the same model on the same ids, in separate processes (see `peers.py`), a few steps in alternation: only one
runs at a time. Medians of at least 15 steps after warm-up. PyTorch is measured with Adam and with fused Adam, and the
faster one counts. Before timing, both compute the loss and every gradient of the first batch from the same parameters;
a difference beyond float32 accuracy ends the measurement. At the end the losses must still agree, which verifies data,
clipping, Adam and the carried state.

V 10,000 uses the Penn Treebank if it is present (../shared/data/ptb beside the repository, or the folder in
RNNCLI_PTB); otherwise, and for V 33,278, ids are drawn from Zipf's law.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
import roofline
from peers import ROOT, Model, Peer

PTB = Path(os.environ.get("RNNCLI_PTB", ROOT.parent / "shared" / "data" / "ptb"))
WARM_UP, TURNS, TURN = 6, 4, 5  # steps, turns of each, steps in a turn
PAUSE = 0.1  # seconds between turns: idle threads stop spinning
ZIPF_STEPS = 100
LOSS_TOLERANCE, GRADIENT_TOLERANCE, TRAINED_TOLERANCE = 1e-5, 1e-4, 0.01
CLUSTER_BIAS = re.compile(r"g\.output\.b[0-9]+")  # PyTorch's clusters have no bias
# Variants of PyTorch: its Adam, and the environment; the sparse ones only against lazy_adam.
HUGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}
ADAMS: dict[str, tuple[str, dict[str, str]]] = {
    "Adam": ("dense", {}),
    "fused Adam": ("fused", {}),
    "tuned": ("fused", HUGE_PAGES),
    "SparseAdam": ("sparse", {}),
    "tuned SparseAdam": ("sparse", HUGE_PAGES),
}
WITHOUT_TORCH = "Not compared: PyTorch is not installed here; `make bench` installs it."


@dataclass(frozen=True)
class Configuration:
    """A model to compare, the goal for the ratio of words/s to PyTorch's, and the steps per turn."""

    title: str
    model: Model
    goal: float | None = None
    turn: int = TURN


ONE_LAYER = Model(D=450, H=450, layers=1, B=32, output="adaptive")
CONFIGURATIONS = {
    "lstm": Configuration("LSTM, V 10,000, H 200, T 35, B 20", Model(), 1.4),
    "t20": Configuration("LSTM, T 20", Model(T=20)),
    "b64": Configuration("LSTM, B 64", Model(B=64), 1.2),
    "gru": Configuration("GRU", Model(cell="gru"), 1.4),
    "rnn": Configuration("RNN", Model(cell="rnn"), 1.4),
    "tied300": Configuration("LSTM, H 300, tied", Model(D=300, H=300, tied=True)),
    "dropped": Configuration(
        "LSTM, H 300, tied, dropout 0.25, 0.25, 0.4", Model(D=300, H=300, tied=True, dropout=(0.25, 0.25, 0.4)), 1.5
    ),
    "adaptive200": Configuration("LSTM, adaptive", Model(output="adaptive"), 1.2),
    "adaptive450": Configuration("LSTM, adaptive, 1 x 450, B 32", ONE_LAYER, 1.25),
    "lazy200": Configuration(
        "LSTM, adaptive, dropout 0.25, 0.25, 0.4, lazy_adam",
        Model(output="adaptive", dropout=(0.25, 0.25, 0.4), lazy=True),
        1.3,
    ),
    "lazy450": Configuration(
        "LSTM, adaptive, 1 x 450, B 32, dropout 0.25, 0.35, lazy_adam",
        replace(ONE_LAYER, dropout=(0.25, 0.0, 0.35), lazy=True),
        1.3,
    ),
    "h650": Configuration("LSTM, H 650", Model(D=650, H=650), 1.15),
    "v33278": Configuration("LSTM, V 33,278", Model(V=33_278), 1.6),
    "onehot": Configuration("LSTM, one-hot input", Model(D=None)),
    "fruit": Configuration(
        "fruit: V 10, H 32, T 5, B 3",
        Model(V=10, D=None, H=32, layers=1, T=5, B=3, sentences=True, learning_rate=0.01),
        2.0,
        turn=200,
    ),
}
# Output layers against PyTorch's full softmax (goals), and adaptive against AdaptiveLogSoftmaxWithLoss.
OUTPUTS = {
    "outputs": (CONFIGURATIONS["lstm"].model, {"adaptive": 3.0, "sampled": 2.5}),
    "outputs33278": (CONFIGURATIONS["v33278"].model, {"adaptive": 8.0, "sampled": 6.0}),
}
ADAPTIVE_GOAL = 1.3


@dataclass
class Result:
    """Median seconds of a step by peer, and further measurements in the worker of `rnncli`."""

    seconds: dict[str, float]
    difference: float = 0.0  # the largest of a gradient, as a share of the largest number of its tensor
    machine: dict[str, Any] = field(default_factory=dict)
    peak: float = 0.0
    gflop: float = 0.0
    items: list[list[Any]] = field(default_factory=list)
    parts: dict[str, float] = field(default_factory=dict)

    def torch(self, output: str = "full") -> tuple[str, float]:
        """The fastest of the variants of PyTorch in its own environment, and its seconds."""
        adams = {adam: seconds for adam in ADAMS if (seconds := self.seconds.get(f"torch {output} {adam}"))}
        adams = {adam: seconds for adam, seconds in adams.items() if not ADAMS[adam][1]}
        best = min(adams, key=adams.__getitem__)
        return best, adams[best]

    def tuned(self, output: str = "full") -> float:
        """Seconds of the fastest variant of PyTorch."""
        return min(seconds for name, seconds in self.seconds.items() if name.startswith(f"torch {output} "))


def ids_of(V: int, words: int) -> tuple[np.ndarray[Any, Any], int]:
    """A text of the vocabulary, most frequent words first, and the id of `<end>` in it."""
    if V == 10_000 and (PTB / "train.txt").exists():
        from rnncli.config import config, corpora

        texts = corpora.texts(config.from_dict({"data": {"train": [str(PTB / "train.txt")], "mode": "stream"}}))
        assert len(texts.vocabulary) == V
        return texts.train.ids, texts.vocabulary.end_id
    p = 1 / (np.arange(V) + 2.7)
    return np.random.default_rng(1).choice(V, words, p=p / p.sum()), 0


def write_data(model: Model, folder: Path) -> None:
    """Ids for `rnncli`, and the same ids as windows (positions, B) for PyTorch: B columns of equal length."""
    ids, end_id = ids_of(model.V, model.T * model.B * ZIPF_STEPS)
    ids = ids[: len(ids) // model.B * model.B]
    np.savez(folder / "data.npz", ids=ids, end_id=end_id)
    before = np.concatenate(([end_id], ids[:-1]))
    inputs, targets = (each.reshape(model.B, -1).T for each in (before, ids))
    np.savez(folder / "windows.npz", inputs=inputs, targets=targets)


def difference(ours: Path, theirs: Path) -> float:
    """The largest difference of a gradient, as a share of its tensor's largest number.

    Raises RuntimeError if it exceeds the tolerance.
    """
    a, b = np.load(ours), np.load(theirs)
    if abs(a["loss"] - b["loss"]) > LOSS_TOLERANCE * abs(b["loss"]):
        raise RuntimeError(f"not the same model: loss {a['loss']} in rnncli, {b['loss']} in PyTorch")
    names = [name for name in a.files if name.startswith("g.") and not CLUSTER_BIAS.fullmatch(name)]
    shares = {name: float(np.abs(a[name] - b[name]).max() / np.abs(a[name]).max()) for name in names}
    worst = max(shares, key=shares.__getitem__)
    if not shares[worst] <= GRADIENT_TOLERANCE:
        raise RuntimeError(f"not the same model: {worst} differs by {shares[worst]:.1e} of its largest number")
    return shares[worst]


@contextmanager
def workers(
    model: Model, outputs: dict[str, dict[str, Any]], environment: dict[str, str]
) -> Iterator[tuple[dict[str, Peer], float]]:
    """Workers: one of `rnncli` for each output layer, three of PyTorch for full and adaptive, checked to agree.

    `environment` is for the workers of `rnncli`.
    """
    peers: dict[str, Peer] = {}
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not model.sentences:
            write_data(model, folder)
        try:
            for output, options in outputs.items():
                peers[output] = Peer("rnncli", model, name, environment, output=options)
                first = folder / f"{output}.npz"
                peers[output].ask("first", path=str(first))
                if output == "sampled":  # PyTorch has no counterpart
                    continue
                if model.sentences:
                    (folder / "windows.npz").write_bytes(first.read_bytes())
                cutoffs = options.get("cutoffs")
                for adam, (kind, variables) in ADAMS.items():
                    if kind == "sparse" and not model.lazy:
                        continue
                    theirs = folder / f"torch {output} {adam}.npz"
                    peer = Peer("torch", model, name, variables, first=str(first), cutoffs=cutoffs, adam=kind)
                    peers[f"torch {output} {adam}"] = peer
                    peer.ask("first", path=str(theirs))
                    worst = max(worst, difference(first, theirs))
            yield peers, worst
        finally:
            for peer in peers.values():
                peer.close()


def race(peers: dict[str, Peer], turn: int, dropped: bool = False) -> dict[str, float]:
    """Median seconds of a step of each, in alternation. Raises RuntimeError if the final losses differ.

    dropped: each has masks of its own, so that losses cannot agree.
    """
    for peer in peers.values():
        peer.ask("steps", count=max(WARM_UP, turn))
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    losses: dict[str, float] = {}
    for _ in range(TURNS):
        for name, peer in peers.items():
            time.sleep(PAUSE)
            taken = peer.ask("steps", count=turn)
            seconds[name] += taken["seconds"]
            losses[name] = taken["loss"]
    for name, loss in losses.items():
        ours = losses[name.split()[1] if name.startswith("torch") else name]
        if not dropped and abs(loss - ours) > TRAINED_TOLERANCE * ours:
            raise RuntimeError(f"{name} trains differently: loss {loss} after these steps, {ours} in rnncli")
    return {name: statistics.median(each) for name, each in seconds.items()}


def options_of(model: Model) -> dict[str, Any]:
    """`model.output` of a config, with cutoffs, which PyTorch must be told."""
    if model.output != "adaptive":
        return {"name": model.output}
    from rnncli.model.outputs.adaptive import default_cutoffs

    return {"name": model.output, "cutoffs": list(default_cutoffs(model.V))}


def run(configuration: Configuration, environment: dict[str, str] | None = None) -> Result:
    """Time a model against PyTorch; then, with the other workers idle, the parts of its step."""
    model = configuration.model
    with workers(model, {model.output: options_of(model)}, environment or {}) as (peers, worst):
        ours = peers[model.output]
        peak = ours.ask("peak")
        result = Result(race(peers, configuration.turn, any(model.dropout)), worst, ours.ask("machine"))
        result.peak, result.gflop = max(peak, ours.ask("peak")), ours.ask("gflop")
        result.items = ours.ask("roofline")
        result.parts = ours.ask("parts", count=TURNS * configuration.turn)
    return result


def run_outputs(model: Model) -> Result:
    """Time the output layers against PyTorch, each with its defaults."""
    names = ("full", "adaptive", "sampled")
    outputs = {name: options_of(replace(model, output=name)) for name in names}
    with workers(model, outputs, {}) as (peers, worst):
        return Result(race(peers, TURN), worst)


def row(configuration: Configuration, result: Result) -> str:
    """A row of the table against PyTorch."""
    output, words = (m := configuration.model).output, m.T * m.B
    ours, (adam, theirs), tuned = result.seconds[output], result.torch(output), result.tuned(output)
    share = "" if m.sentences else f"{result.gflop / ours / result.peak:.2f}"
    goal = "" if configuration.goal is None else f"{configuration.goal:g}"
    return (
        f"| {configuration.title} | {1e3 * ours:.4g} | {1e3 * theirs:.4g} ({adam}) | {words / ours:,.0f} | "
        f"{words / theirs:,.0f} | {theirs / ours:.2f} | {goal} | {1e3 * tuned:.4g} | {tuned / ours:.2f} | {share} |"
    )


def speed_section(results: dict[str, Result]) -> str:
    """The table against PyTorch."""
    machine = next(iter(results.values())).machine
    peaks = ", ".join(f"{result.peak:.0f}" for result in results.values())
    worst = max(result.difference for result in results.values())
    lines = [
        "## Training steps against PyTorch",
        "",
        f"PyTorch {metadata.version('torch')} in the usual way, without torch.compile. Both alternately, on the same",
        f"ids, {machine['threads']} threads each; full softmax, float32, clipped to norm 5, dense Adam (for",
        "PyTorch the faster of two). A row lists its differences from the first. Medians of a step, with data",
        "and metrics (for fruit, where an epoch is one step, only with data).",
        f"From the same parameters, losses agreed, and gradients to {worst:.0e} of the largest number of each tensor.",
        "",
        "`tuned` is PyTorch with fused Adam and THP_MEM_ALLOC_ENABLE=1, which makes it request",
        f"huge pages, as NumPy does by default. The BLAS of rnncli used kernel {machine['kernel']}; its SGEMM peaks,",
        f"measured with each row, were {peaks} GFLOP/s. The last column is the rate of the step's matrix products",
        "over the whole step, as a share of that.",
        "",
        "| model | rnncli, ms | PyTorch, ms | rnncli, words/s | PyTorch | ratio | goal | tuned | ratio | peak |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(row(CONFIGURATIONS[name], result) for name, result in results.items())])


def outputs_section(results: dict[str, Result]) -> str:
    """The table of the output layers."""
    lines = [
        "## Output layers",
        "",
        "Each with its defaults, in the first model above, all alternately. Ratios are those of words/s to PyTorch's,",
        "in brackets to PyTorch tuned. `sampled` has no counterpart there; that of `adaptive` is its",
        f"AdaptiveLogSoftmaxWithLoss with the same clusters (goal {ADAPTIVE_GOAL:g}).",
        "",
        "| V | output | ms | words/s | over full | goal | over adaptive |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        (model, goals), (_, full), (_, adaptive) = OUTPUTS[name], result.torch(), result.torch("adaptive")
        for output in ("full", "adaptive", "sampled"):
            ours = result.seconds[output]
            over = f"{adaptive / ours:.2f} ({result.tuned('adaptive') / ours:.2f})" if output == "adaptive" else ""
            lines.append(
                f"| {model.V:,} | `{output}` | {1e3 * ours:.4g} | {model.T * model.B / ours:,.0f} | "
                f"{full / ours:.2f} ({result.tuned() / ours:.2f}) | {goals.get(output, '')} | {over} |"
            )
        lines += [
            f"| {model.V:,} | PyTorch: {what} | {1e3 * each:.4g} | {model.T * model.B / each:,.0f} | | | |"
            for what, each in (("full", full), ("adaptive", adaptive))
        ]
    return "\n".join(lines)


def measure(names: Iterable[str] = (*CONFIGURATIONS, *OUTPUTS)) -> str:
    """The tables of these configurations, all by default."""
    if util.find_spec("torch") is None:
        return f"## Training steps against PyTorch\n\n{WITHOUT_TORCH}"
    results: dict[str, Result] = {}
    outputs: dict[str, Result] = {}
    for name in names:
        print(f"  {name} ...", file=sys.stderr)
        if name in OUTPUTS:
            outputs[name] = run_outputs(OUTPUTS[name][0])
        else:
            results[name] = run(CONFIGURATIONS[name])
    sections = [speed_section(results)] if results else []
    if results:
        sections.append(roofline.section({CONFIGURATIONS[name].title: each for name, each in results.items()}))
    return "\n\n".join([*sections, outputs_section(outputs)] if outputs else sections)


if __name__ == "__main__":
    print(measure(sys.argv[1:] or (*CONFIGURATIONS, *OUTPUTS)))
