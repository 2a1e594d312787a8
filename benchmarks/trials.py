"""Variants of a model, each trained for the same computing time as the plain one, on the Penn Treebank.

The plain model is the tied one of `recipes`, with the adaptive softmax. The steps of all are timed by turns first; a
variant with slower steps reads fewer words, and its schedule ends there. Gradients of the variants that have code of
their own are checked before they are trained. Needs train.txt and valid.txt in RNNCLI_PTB.
"""

import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from rnncli.batches.batch import Batch
from rnncli.batches.stream import StreamBatches
from rnncli.config import build, corpora, yaml_file
from rnncli.evaluation.evaluate import count, evaluate
from rnncli.model import LanguageModel
from rnncli.model.cells import Lstm
from rnncli.model.cells.inputs import hidden_rows, to_rows, to_steps
from rnncli.model.engines import FusedInput, FusedStack
from rnncli.model.noise import Noise
from rnncli.optim import Moment, clip_by_global_norm_
from rnncli.system.randomness import stream

HERE = Path(__file__).resolve().parent
PTB = Path(os.environ.get("RNNCLI_PTB", HERE.parent.parent / "shared" / "data" / "ptb"))
EPOCHS, SEEDS = 5, (1, 2)  # of the plain model; of every variant
TIMED = 40  # steps of each, timed by turns
RECIPE = """\
data: {train: TRAIN, valid: VALID, mode: stream}
model: {layers: 2, hidden_size: 300, embedding_size: 300, tied: true, output: {name: adaptive, head: 0.15}}
dropout: {input: 0.2, hidden: 0.2, output: 0.3}
optimizer: {learning_rate: 0.004, clip_norm: 1.0, schedule: {name: cosine, warmup: 0.02}}
training: {batch_size: 20, bptt: 35, random_seed: 1}
"""
VARIANTS = {
    "plain": "",
    "windows": "windows of changing length, the learning rate in proportion (Merity et al. 2018)",
    "accumulation": "gradients of two windows of 20 columns in one update",
    "accumulation, sqrt 2": "the same with 1.41 times the learning rate",
    "batch 40": "40 columns in one window, 1.41 times the learning rate",
    "residual": "the input of the second layer is added to its output",
    "layer norm": "layer normalisation of gates and cell state (Ba et al. 2016)",
    "residual, layer norm": "residual connections and layer normalisation",
    "residual, short head": "residual connections, and a head of 750 words in place of 1500",
}


class NormalisedLstm(Lstm):
    """An LSTM with normalised products of its gates and cell state (Ba et al. 2016, equations 20 to 22)."""

    def shapes(self, n_x, n_a):
        gains = {"ga": (4 * n_a,), "gx": (4 * n_a,), "gc": (n_a,), "bc": (n_a,)}
        return super().shapes(n_x, n_a) | gains

    def initialise_(self, p, rng):
        super().initialise_(p, rng)
        for name in ("ga", "gx", "gc"):
            p[name][...] = 1

    def forward(self, p, x, state, buffers):
        n_a, T, B, dtype = p["Waa"].shape[1], x.T, x.B, p["Waa"].dtype
        rows = np.empty((T * B, 4 * n_a), dtype)
        x.project(p["Wxa"], rows)
        x_hat, x_scale = normalised(rows, 1)
        gates = to_steps(x_hat * p["gx"] + p["ba"], np.empty((T, 4 * n_a, B), dtype))
        a, c = (np.empty((T + 1, n_a, B), dtype) for _ in range(2))
        a[0], c[0] = state
        kept = []
        for t in range(T):
            u_hat, u_scale = normalised(p["Waa"] @ a[t], 0)
            z = gates[t]
            z += u_hat * p["ga"][:, None]
            z[: 3 * n_a] *= 0.5
            np.tanh(z, out=z)
            z[: 3 * n_a] = 0.5 * z[: 3 * n_a] + 0.5
            f, i, o, candidate = z.reshape(4, n_a, B)
            c[t + 1] = f * c[t] + i * candidate
            c_hat, c_scale = normalised(c[t + 1], 0)
            squashed = np.tanh(c_hat * p["gc"][:, None] + p["bc"][:, None])
            a[t + 1] = o * squashed
            kept.append((u_hat, u_scale, c_hat, c_scale, squashed))
        return hidden_rows(a, buffers), (a[-1].copy(), c[-1].copy()), (x, gates, a, c, x_hat, x_scale, kept)

    def backward_(self, p, g, dhidden, dlast, cache, buffers):
        x, gates, a, c, x_hat, x_scale, kept = cache
        n_a, T, B, dtype = p["Waa"].shape[1], x.T, x.B, dhidden.dtype
        dh = to_steps(dhidden, np.empty((T, n_a, B), dtype))
        dz, du = np.empty_like(gates), np.empty_like(gates)
        for name in ("ga", "gc", "bc"):
            g[name][...] = 0
        da, dc = (each.copy() for each in dlast)
        for t in reversed(range(T)):
            u_hat, u_scale, c_hat, c_scale, squashed = kept[t]
            f, i, o, candidate = gates[t].reshape(4, n_a, B)
            da += dh[t]
            dsquashed = da * o * (1 - squashed**2)
            g["gc"] += (dsquashed * c_hat).sum(axis=1)
            g["bc"] += dsquashed.sum(axis=1)
            dc += through(dsquashed * p["gc"][:, None], c_hat, c_scale, 0)
            dz[t, :n_a] = dc * c[t] * f * (1 - f)
            dz[t, n_a : 2 * n_a] = dc * candidate * i * (1 - i)
            dz[t, 2 * n_a : 3 * n_a] = da * squashed * o * (1 - o)
            dz[t, 3 * n_a :] = dc * i * (1 - candidate**2)
            g["ga"] += (dz[t] * u_hat).sum(axis=1)
            du[t] = through(dz[t] * p["ga"][:, None], u_hat, u_scale, 0)
            dc = dc * f
            da = p["Waa"].T @ du[t]
        du_rows, rows, before = (to_rows(steps, np.empty((T * B, steps.shape[1]), dtype)) for steps in (du, dz, a[:-1]))
        np.matmul(du_rows.T, before, out=g["Waa"])
        g["ba"][...] = rows.sum(axis=0)
        g["gx"][...] = (rows * x_hat).sum(axis=0)
        return x.backward_(p, g, through(rows * p["gx"], x_hat, x_scale, 1), buffers), (da, dc)


def normalised(u, axis):
    """(u - mean) / deviation along an axis, and 1 / deviation."""
    centred = u - u.mean(axis=axis, keepdims=True)
    scale = ((centred * centred).mean(axis=axis, keepdims=True) + 1e-5) ** -0.5
    centred *= scale
    return centred, scale


def through(d, hat, scale, axis):
    """The gradient of u from that of its normalised value."""
    return scale * (d - d.mean(axis=axis, keepdims=True) - hat * (d * hat).mean(axis=axis, keepdims=True))


class ChangingWindows(StreamBatches):
    """Windows of 35 time steps, or half of them once in twenty times, give or take 5, at least 5."""

    def __init__(self, ids, end_id, batch_size, bptt, random_seed):
        super().__init__(ids, end_id, batch_size, bptt)
        self._seed = random_seed

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        rng = stream(self._seed, "window lengths", number)
        starts, lengths, _ = self._pool.find(0)
        longest, first, index = int(lengths.max()), 0, 0
        while first < longest:
            middle = self._bptt if rng.random() < 0.95 else self._bptt / 2
            stop = min(longest, first + max(5, round(rng.normal(middle, 5))))
            rows = np.arange(first, stop)[:, None]
            mask, positions = rows < lengths, starts + np.minimum(rows, lengths - 1)
            inputs, targets = self._ids[positions - 1].astype(np.intp), self._ids[positions].astype(np.intp)
            inputs[positions == 0] = self._end_id
            whole = bool(mask.all())
            yield Batch(inputs, targets, None if whole else mask, positions, not first, int(mask.sum()), number, index)
            first, index = stop, index + 1


class Trial:
    """A variant in training: model, batches and optimizer; `step_` takes one update."""

    def __init__(self, name, config, texts, seed=1):
        self.name, self.seed = name, seed
        self.end_id = texts.vocabulary.end_id
        if name == "batch 40":
            config = replace(config, training=replace(config.training, batch_size=40))
        if name.startswith("residual"):
            config = replace(config, model=replace(config.model, residual=True))
        if name.endswith("short head"):
            output = replace(config.model.output, options=replace(config.model.output.options, head=0.075))
            config = replace(config, model=replace(config.model, output=output))
        self.config, self.schedule = config, build.schedule(config)
        architecture = build.architecture(config.model, len(texts.vocabulary))
        if name.endswith("layer norm"):
            architecture = replace(architecture, cell=NormalisedLstm())
        self.model = made(architecture, architecture.initialise(self.seed))
        self.optimizer = build.optimizer(config, self.model.parameters)
        self.batches = build.training_batches(config, texts.train, self.end_id, self.seed)
        if name == "windows":
            t = config.training
            self.batches = ChangingWindows(texts.train.ids, self.end_id, t.batch_size, t.bptt, self.seed)
        self.rate = config.optimizer.learning_rate * (math.sqrt(2) if name.endswith(("sqrt 2", "40")) else 1)
        self.together = 2 if name.startswith("accumulation") else 1
        self.state, self.words, self.updates = (), 0, 0
        self._batches = self._forever()

    def _forever(self):
        epoch = 0
        while True:
            yield from self.batches.epoch(epoch)
            epoch += 1

    def step_(self, planned):
        """One update, at the place of the words read so far in `planned` words."""
        batches = [next(self._batches) for _ in range(self.together)]
        words, total = sum(batch.words for batch in batches), None
        for batch in batches:
            noise = Noise(self.seed, batch.epoch, batch.index, self.config.dropout)
            passed = self.model.forward(batch, self.model.entering(batch, self.state), noise, words)
            gradients, _ = self.model.backward_(passed)
            self.state = passed.state
            if self.together > 1:
                total = gradients.vector.copy() if total is None else total + gradients.vector
        if total is not None:
            gradients.vector[:] = total
            gradients.forget_rows_()
        clip_by_global_norm_(gradients.vector, self.config.optimizer.clip_norm, gradients.touched())
        rate = self.rate * self.schedule.factor(Moment(self.words / planned, (self.words + words) / planned))
        if self.name == "windows":
            rate *= len(batches[0].inputs) / self.config.training.bptt
        self.words, self.updates = self.words + words, self.updates + 1
        vector = self.model.parameters.vector
        self.optimizer.step_(vector, gradients.vector, rate, self.updates, gradients.touched())
        return words


def made(architecture, parameters):
    """The model on the parts of the fused engine; `build.language_model` knows no cell of another module."""
    parts = FusedInput(architecture), FusedStack(architecture), architecture.output(architecture.output_options, None)
    return LanguageModel(architecture, *parts, parameters)


def check(trial):
    """The largest error of the gradients of a small model of this kind, against complex-step derivatives."""
    m = replace(trial.config.model, hidden_size=6, embedding_size=6)
    m = replace(m, output=replace(m.output, options=replace(m.output.options, cutoffs=(4, 7))))
    architecture = replace(build.architecture(m, 11), cell=trial.model.architecture.cell)
    rng = np.random.default_rng(0)
    p = architecture.initialise(1, np.float64)
    p.vector += 0.1 * rng.standard_normal(p.vector.shape)
    model, complex_p = made(architecture, p), p.astype(complex)
    [batch, *_] = StreamBatches(rng.integers(0, 11, 60), 0, 3, 8).epoch(0)
    noise = Noise(1, 0, 0, trial.config.dropout)
    state = tuple(tuple(rng.standard_normal(each.shape) for each in layer) for layer in model.zero_state(3))
    g = model.backward_(model.forward(batch, state, noise))[0].vector.copy()
    derivatives, other = np.empty_like(g), made(architecture, complex_p)
    complex_state = tuple(tuple(each.astype(complex) for each in layer) for layer in state)
    for k in range(len(g)):
        complex_p.vector[k] += 1e-20j
        derivatives[k] = other.forward(batch, complex_state, noise).loss.imag / 1e-20
        complex_p.vector[k] = p.vector[k]
    return float(np.abs(g - derivatives).max() / np.abs(derivatives).max())


def seconds_per_word(trials):
    """Of each trial, the median over steps that were taken by turns."""
    times = {trial.name: [] for trial in trials}
    for _ in range(TIMED):
        for trial in trials:
            started = time.perf_counter()
            words = trial.step_(10**9)
            times[trial.name].append((time.perf_counter() - started) / words)
    return {name: median(each[3:]) for name, each in times.items()}


def texts_of_ptb():
    path = HERE / "runs" / "trials.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(RECIPE.replace("TRAIN", str(PTB / "train.txt")).replace("VALID", str(PTB / "valid.txt")))
    config = yaml_file.read(path)
    return config, corpora.texts(config)


def measure(names=tuple(VARIANTS)) -> str:
    """Words read and validation perplexity of each variant."""
    config, texts = texts_of_ptb()
    trials = [Trial(name, config, texts) for name in dict.fromkeys(("plain", *names))]
    errors = {trial.name: check(trial) for trial in trials if trial.name.startswith(("residual", "layer norm"))}
    for name, error in errors.items():
        assert error < 1e-9, (name, error)
    speed = seconds_per_word(trials)
    end_id = texts.vocabulary.end_id
    counts = count(texts.valid, True, texts.vocabulary)
    lines = [
        "## Tried at equal time",
        "",
        "`python benchmarks/run.py trials`: validation perplexity on the Penn Treebank after the time of",
        f"{EPOCHS} epochs of the plain model: tied, 2 x 300, adaptive softmax, dropout, Adam 0.004, cosine.",
        "",
        "| variant | time per word | words read | " + " | ".join(f"seed {seed}" for seed in SEEDS) + " |",
        "|---|---|---|" + "---|" * len(SEEDS),
    ]
    for name in names:
        share, found = speed[name] / speed["plain"], []
        for seed in SEEDS:
            trial = Trial(name, config, texts, seed)
            planned = EPOCHS * trial.batches.words / share
            while trial.words < planned:
                trial.step_(planned)
            valid = evaluate(trial.model, build.evaluation_batches(config, texts.valid, end_id), texts.valid, counts)
            found.append(f"{valid.perplexity:.1f}")
            print(name, f"{share:.2f}", trial.words, *found, file=sys.stderr, flush=True)
        title = f"{name}: {VARIANTS[name]}" if VARIANTS[name] else name
        lines.append(f"| {title} | {share:.2f} | {planned:,.0f} | {' | '.join(found)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(measure(tuple(sys.argv[1:]) or tuple(VARIANTS)))
