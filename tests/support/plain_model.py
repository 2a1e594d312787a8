"""Independent reference: reads a checkpoint with NumPy and JSON alone, and runs its model one word at a time."""

import json

import numpy as np


class Plain:
    """P(next word | words before), from the arrays of a checkpoint in float64, by the textbook equations."""

    def __init__(self, path):
        with np.load(path, allow_pickle=False) as archive:
            self.meta = json.loads(archive["meta"].tobytes())
            prefix = "parameter."
            self.p = {name[len(prefix) :]: archive[name].astype(float) for name in archive.files if prefix in name}
        self.words = self.meta["vocabulary"]
        self.cell = self.meta["config"]["model"]["cell"]
        self.layers = self.meta["config"]["model"]["layers"]

    def id(self, word):
        return self.words.index(word if word in self.words else "<unk>")

    def start(self):
        n = self.p["layer0.Waa"].shape[1]
        return [(np.zeros(n), np.zeros(n)) for _ in range(self.layers)]

    def read(self, word, state):
        """Read one word; ln P of every next word, and the new state."""
        x = np.eye(len(self.words))[self.id(word)]
        if "embedding.E" in self.p:
            x = x @ self.p["embedding.E"]
        after = []
        for layer, (a, c) in enumerate(state):
            a, c = self.step(
                {name: self.p.get(f"layer{layer}.{name}") for name in ("Wxa", "Waa", "ba", "bna")}, x, a, c
            )
            after.append((a, c))
            x = a
        return self.log_probabilities(x), after

    def log_probabilities(self, x):
        """Natural log P of every word, by the full softmax or by the head and clusters of the adaptive one."""
        clusters = sum(name.startswith("output.P") for name in self.p)
        head = log_softmax(self.p["output.Wya"] @ x + self.p["output.by"])
        words = len(head) - clusters
        parts = [head[:words]]
        for k in range(1, clusters + 1):
            P, W, b = (self.p[f"output.{name}{k}"] for name in "PWb")
            parts.append(head[words + k - 1] + log_softmax(W @ P @ x + b))
        return np.concatenate(parts)

    def step(self, p, x, a, c):
        entering, recurrent = x @ p["Wxa"] + p["ba"], p["Waa"] @ a
        if self.cell == "rnn":
            return np.tanh(entering + recurrent), c
        if self.cell == "lstm":
            forget, update, output, candidate = np.split(entering + recurrent, 4)
            c = sigmoid(forget) * c + sigmoid(update) * np.tanh(candidate)
            return sigmoid(output) * np.tanh(c), c
        (r, z, n), (ur, uz, un) = np.split(entering, 3), np.split(recurrent, 3)
        z = sigmoid(z + uz)
        return (1 - z) * np.tanh(n + sigmoid(r + ur) * (un + p["bna"])) + z * a, c

    def after(self, words):
        """Natural log P of every next word after `<end>` and these words, and the state."""
        log_p, state = self.read("<end>", self.start())
        for word in words:
            log_p, state = self.read(word, state)
        return log_p, state

    def losses(self, words):
        """-ln P of each of these words, of which the first follows `<end>`."""
        losses, state, before = [], self.start(), "<end>"
        for word in words:
            log_p, state = self.read(before, state)
            losses.append(-log_p[self.id(word)])
            before = word
        return losses


def log_softmax(logits):
    return logits - np.log(np.sum(np.exp(logits)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))
