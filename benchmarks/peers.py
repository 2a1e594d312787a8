"""The programs that are compared, each in a separate process: one process would mix two pools of threads.

`Peer` starts a worker and sends it commands as lines of JSON on its stdin; between commands the worker blocks and uses
no processor time.

`rnncli` is measured with its real training loop: the seconds of a step are those from one Step event to the next,
including the data, the row of metrics.jsonl and everything else (for fruit, only the step and its data). PyTorch is
used in the usual way: nn.Embedding (or one-hot tensors), nn.LSTM, nn.GRU or nn.RNN, nn.Linear, cross_entropy,
clip_grad_norm_, Adam; default kernels, float32, gradients set to None between steps, no torch.compile. Its layers
have two biases where `rnncli` has one (except for the GRU's candidate): a few more parameters.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CLIP_NORM = 5.0
NEVER = 1_000_000  # epochs or steps, more than any race takes
LSTM_GATES = [1, 0, 3, 2]  # f, i, o, c~ from torch's i, f, g, o, and back


@dataclass(frozen=True)
class Model:
    """The model that both train: sizes as in the config; `D` None: one-hot input; `sentences`: the mode of fruit.

    With dropout, both draw a mask for each window; the layers of PyTorch are then modules of their own.
    """

    cell: str = "lstm"
    V: int = 10_000
    D: int | None = 200
    H: int = 200
    layers: int = 2
    T: int = 35
    B: int = 20
    sentences: bool = False
    learning_rate: float = 0.001
    tied: bool = False
    dropout: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of the input, between layers, of the output
    output: str = "full"
    lazy: bool = False  # lazy_adam, against the faster of dense Adam and SparseAdam for the embedding

    @property
    def gates(self) -> int:
        return {"lstm": 4, "gru": 3, "rnn": 1}[self.cell]

    @property
    def inputs(self) -> list[int]:
        """Features that enter each layer."""
        return [self.D or self.V, *[self.H] * (self.layers - 1)]


def cores() -> int:
    """Threads for each program: one for each core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Peer:
    """A worker process, with `environment` added to its variables; `ask` sends a command and waits for the answer."""

    def __init__(self, kind: str, model: Model, folder: str, environment: dict[str, str], **options: Any) -> None:
        spec = {"model": asdict(model), "folder": folder, "threads": cores()} | options
        command = [sys.executable, __file__, kind, json.dumps(spec)]
        self._process = subprocess.Popen(
            command, env=os.environ | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, command: str, **arguments: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([command, arguments]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"a worker ended at {command!r}; its messages are above")
        return json.loads(answer)

    def close(self) -> None:
        self._process.communicate()


class Rnncli:
    """A `Trainer` on the ids of `data.npz`; `output` is `model.output` of its config."""

    def __init__(self, model: dict[str, Any], folder: str, threads: int, output: dict[str, Any]) -> None:
        from rnncli.system.threads import prepare

        prepare(threads)
        self.model, self.folder, self.threads = Model(**model), Path(folder), threads
        self.trainer = self._trainer(output)
        self._events = self.trainer.train()

    def _trainer(self, output: dict[str, Any]) -> Any:
        from rnncli.config import config, corpora
        from rnncli.runs.folder import RunFolder
        from rnncli.training.trainer import Trainer

        m = self.model
        sizes = {"cell": m.cell, "layers": m.layers, "hidden_size": m.H, "embedding_size": m.D}
        settings = config.from_dict(
            {
                "data": {"train": [str(ROOT / "data" / "fruit.txt")], "mode": "sentences" if m.sentences else "stream"},
                "model": sizes | {"output": output, "tied": m.tied},
                "dropout": dict(zip(("input", "hidden", "output"), m.dropout, strict=True)),
                "optimizer": {
                    "name": "lazy_adam" if m.lazy else "adam",
                    "learning_rate": m.learning_rate,
                    "clip_norm": CLIP_NORM,
                },
                "training": {"epochs": NEVER, "batch_size": m.B, "bptt": m.T},
                "run": {"checkpoint_every": f"{NEVER} steps"},
            }
        )
        run = RunFolder(self.folder / f"run-{os.getpid()}")
        run.create()
        return Trainer(settings, corpora.texts(settings) if m.sentences else self._texts(), 1, run)

    def _texts(self) -> Any:
        import numpy as np

        from rnncli.text.corpus import Corpus, Texts
        from rnncli.text.vocabulary import END, Vocabulary

        data = np.load(self.folder / "data.npz")
        words = [f"w{id}" for id in range(self.model.V)]
        words[int(data["end_id"])] = END
        ids = data["ids"].astype(np.min_scalar_type(self.model.V - 1))
        none = np.zeros(0, np.int64)
        text = Corpus(ids, np.array([0, len(ids)]), none, {}, len(ids), "", (("ids", 0),))
        vocabulary = Vocabulary(tuple(words), np.bincount(ids, minlength=self.model.V))
        return Texts(vocabulary, text, None, None)

    def first(self, path: str) -> None:
        """Write the starting parameters, the first batch, and its loss and gradients from a zero state."""
        import numpy as np

        passed, model = self._first_pass(), self.trainer.model
        gradients, _ = model.backward_(passed)
        tensors = {f"p.{name}": value for name, value in model.parameters.items()}
        tensors |= {f"g.{name}": value for name, value in gradients.items()}
        batch = passed.batch
        np.savez(path, loss=passed.loss, inputs=batch.inputs, targets=batch.targets, **tensors)

    def _first_pass(self) -> Any:
        from rnncli.model.noise import Noise

        batch, model = next(self.trainer.batches.epoch(0)), self.trainer.model
        return model.forward(batch, model.entering(batch, ()), Noise(1, batch.epoch, batch.index))

    def gflop(self) -> float:
        """GFLOP of the products of a step, those of the first batch; one-hot input takes none."""
        from rnncli.model.costs import operations

        return sum(operations(self.trainer.model, self._first_pass()).values()) / 1e9

    def steps(self, count: int) -> dict[str, Any]:
        """Take steps of the training loop."""
        from rnncli.runs.events import Step

        seconds = []
        for _ in range(count):
            started = time.perf_counter()
            while not isinstance(event := next(self._events), Step):
                pass  # the end of an epoch
            # An epoch of fruit is a single step; the end of an epoch has no counterpart in the loop of PyTorch.
            seconds.append(event.seconds if self.model.sentences else time.perf_counter() - started)
        return {"seconds": seconds, "loss": event.loss}

    def machine(self) -> dict[str, Any]:
        from rnncli.system import blas

        return blas.describe()

    def peak(self) -> float:
        import roofline

        return roofline.sgemm_peak()

    def roofline(self) -> list[list[Any]]:
        import roofline

        return roofline.measure_items(self.model, self.trainer, self._first_pass(), self.threads)

    def parts(self, count: int) -> dict[str, float]:
        import roofline

        return roofline.measure_parts(self.trainer, self.steps, count)


class Torch:
    """The same model on the windows of `windows.npz`, from the parameters of `first`."""

    def __init__(
        self, model: dict[str, Any], folder: str, threads: int, first: str, cutoffs: list[int] | None, adam: str
    ) -> None:
        os.environ["OPENBLAS_NUM_THREADS"] = "1"  # NumPy only passes arrays here
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
        import numpy as np
        import torch
        from torch import nn

        torch.set_num_threads(threads)
        m = self.model = Model(**model)
        self.embedding = nn.Embedding(m.V, m.D, sparse=adam == "sparse") if m.D else None
        kind = getattr(nn, m.cell.upper())
        apart = any(m.dropout)
        self.rnns = [kind(n_x, m.H) for n_x in m.inputs] if apart else [kind(m.inputs[0], m.H, m.layers)]
        self.training = False
        self.adaptive = cutoffs is not None
        self.output: Any = nn.Linear(m.H, m.V)
        if cutoffs is not None:
            self.output = nn.AdaptiveLogSoftmaxWithLoss(m.H, m.V, cutoffs, div_value=4.0, head_bias=True)
        if m.tied:
            self.output.weight = self.embedding.weight
        modules = [each for each in (self.embedding, *self.rnns, self.output) if each is not None]
        self.parameters = list(dict.fromkeys(parameter for module in modules for parameter in module.parameters()))
        self.optimizers = self._optimizers(adam)
        self._load(np.load(first))
        windows = np.load(Path(folder) / "windows.npz")
        self.ids, self.targets = (torch.from_numpy(windows[name].astype(np.int64)) for name in ("inputs", "targets"))
        self.state: Any = None
        self.at = 0

    def _optimizers(self, adam: str) -> list[Any]:
        """Adam, fused or not, or with adam "sparse" the faster of these for all but the embedding."""
        import torch

        rate = self.model.learning_rate
        if adam != "sparse":
            return [torch.optim.Adam(self.parameters, lr=rate, fused=adam == "fused")]
        assert self.embedding is not None
        others = [parameter for parameter in self.parameters if parameter is not self.embedding.weight]
        return [torch.optim.SparseAdam([self.embedding.weight], lr=rate), torch.optim.Adam(others, lr=rate, fused=True)]

    def tensors(self, read: Callable[[Any], Any]) -> dict[str, Any]:
        """The result of `read` for each parameter, by rnncli's name and layout, as views; gates in PyTorch's order."""
        views = {} if self.embedding is None else {"embedding.E": read(self.embedding.weight)}
        for k in range(self.model.layers):
            w_ih, w_hh, b_ih, b_hh = (
                read(self._of_layer(k, name)) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            views |= {f"layer{k}.Wxa": w_ih.T, f"layer{k}.Waa": w_hh, f"layer{k}.ba": b_ih}
            if self.model.cell == "gru":
                views[f"layer{k}.bna"] = b_hh[2 * self.model.H :]
        if not self.adaptive:
            return views | {"output.Wya": read(self.output.weight), "output.by": read(self.output.bias)}
        # PyTorch's clusters have no bias (`output.b1`, ...); those of rnncli start at 0.
        views |= {"output.Wya": read(self.output.head.weight), "output.by": read(self.output.head.bias)}
        for k, (down, words) in enumerate(self.output.tail, 1):
            views |= {f"output.P{k}": read(down.weight), f"output.W{k}": read(words.weight)}
        return views

    def _of_layer(self, k: int, name: str) -> Any:
        """A parameter of layer k."""
        return getattr(self.rnns[0], f"{name}_l{k}") if len(self.rnns) == 1 else getattr(self.rnns[k], f"{name}_l0")

    def _gates(self, name: str, array: Any) -> Any:
        """An array with its gates converted between the two orders."""
        import numpy as np

        if self.model.cell != "lstm" or not name.startswith("layer"):
            return array
        axis = 1 if name.endswith(".Wxa") else 0
        return np.concatenate([np.split(array, 4, axis)[gate] for gate in LSTM_GATES], axis)

    def _load(self, stored: Any) -> None:
        import torch

        for k in range(self.model.layers):
            self._of_layer(k, "bias_hh").data.zero_()
        for name, view in self.tensors(lambda parameter: parameter.data).items():
            if self.model.tied and name == "output.Wya":
                continue
            view.copy_(torch.from_numpy(self._gates(name, stored[f"p.{name}"])))

    def loss(self, ids: Any, targets: Any, state: Any) -> tuple[Any, Any]:
        from torch.nn import functional

        x = functional.one_hot(ids, self.model.V).float() if self.embedding is None else self.embedding(ids)
        if len(self.rnns) == 1:
            hidden, state = self.rnns[0](x, state)
        else:
            hidden, states = self._masked(x, self.model.dropout[0]), []
            for k, rnn in enumerate(self.rnns):
                hidden, last = rnn(hidden, None if state is None else state[k])
                hidden = self._masked(hidden, self.model.dropout[1 if k < len(self.rnns) - 1 else 2])
                states.append(last)
            state = states
        hidden, targets = hidden.flatten(0, 1), targets.flatten()
        if self.adaptive:
            return self.output(hidden, targets).loss, state
        return functional.cross_entropy(self.output(hidden), targets), state

    def _masked(self, x: Any, rate: float) -> Any:
        """The rows x (T, B, n) with one mask for all steps; unchanged before training."""
        if not (self.training and rate):
            return x
        return x * x.new_empty(1, *x.shape[1:]).bernoulli_(1 - rate).div_(1 - rate)

    def first(self, path: str) -> None:
        """Write loss and gradients of the first window from a zero state, by rnncli's names."""
        import numpy as np

        loss, _ = self.loss(self.ids[: self.model.T], self.targets[: self.model.T], None)
        loss.backward()
        gradients = self.tensors(lambda parameter: parameter.grad.to_dense())
        tensors = {f"g.{name}": self._gates(name, value.numpy()) for name, value in gradients.items()}
        np.savez(path, loss=loss.item(), **tensors)

    def steps(self, count: int) -> dict[str, Any]:
        """Take training steps."""
        seconds = []
        self.training = True
        for _ in range(count):
            started = time.perf_counter()
            loss = self._step()
            seconds.append(time.perf_counter() - started)
        return {"seconds": seconds, "loss": loss}

    def _step(self) -> float:
        window = slice(self.at, self.at + self.model.T)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss, state = self.loss(self.ids[window], self.targets[window], self.state)
        loss.backward()
        self._clip()
        for optimizer in self.optimizers:
            optimizer.step()
        if not self.model.sentences:  # a sentence starts from a zero state, and there is only one batch
            self.state = _detached(state)
            self.at += self.model.T
        return float(loss.item())

    def _clip(self) -> None:
        """`clip_grad_norm_`, which takes no sparse gradient: of that, its values."""
        from torch.nn.utils import clip_grad_norm_, clip_grads_with_norm_, get_total_norm

        if self.embedding is None or not self.embedding.sparse:
            clip_grad_norm_(self.parameters, CLIP_NORM)
            return
        weight = self.embedding.weight
        weight.grad = weight.grad.coalesce()
        rows = weight.grad.values()
        others = [each for each in self.parameters if each is not weight]
        norm = get_total_norm([rows, *(each.grad for each in others)])
        clip_grads_with_norm_(others, CLIP_NORM, norm)
        rows *= (CLIP_NORM / (norm + 1e-6)).clamp(max=1.0)


def _detached(state: Any) -> Any:
    """A state, or a tuple or list of such, without its history."""
    return type(state)(map(_detached, state)) if isinstance(state, tuple | list) else state.detach()


def main() -> None:
    kinds: dict[str, Callable[..., Any]] = {"rnncli": Rnncli, "torch": Torch}
    worker = kinds[sys.argv[1]](**json.loads(sys.argv[2]))
    for line in sys.stdin:
        command, arguments = json.loads(line)
        print(json.dumps(getattr(worker, command)(**arguments)), flush=True)


if __name__ == "__main__":
    main()
