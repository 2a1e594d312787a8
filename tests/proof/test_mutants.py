"""Mutation tests: mistakes are put into the code one by one, and each is found by exactly the expected detectors.

The mistakes are in mutants.txt. A mutated module is imported, with a fresh copy of the whole package around it, by an
import hook; six detectors look at it:

gradcheck  numerical derivatives of small models disagree with backpropagation
agreement  losses, gradients or states of the engines differ, or the losses of an epoch differ from plain loops over
           the text
learning   masks, averages, Adam, weight decay or schedules differ from their definitions
figures    the figures computed from the losses of a text differ from plain sums
texts      encoded texts, also from the cache, differ from those of plain Python; runs for modules that can cause it
runs       a run that diverges, is stopped, killed and resumed writes other files than the unchanged package, or a
           damaged checkpoint is accepted; runs for modules that can cause it
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import math
import re
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise, zip_longest
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support import run_facts
from support.plain_spelling import PlainSpelling

import rnncli

PACKAGE = Path(rnncli.__file__).parent
TABLE = Path(__file__).with_name("mutants.txt")
DETECTORS = {"gradcheck": {"gradcheck"}, "agreement": {"agreement"}, "both": {"gradcheck", "agreement"}}
DETECTORS |= {name: {name} for name in ("figures", "learning", "texts", "runs")}
# Modules that encode texts, and modules that only the step-by-step engine uses.
TEXTS = tuple(f"text/{name}.py" for name in ("tokenize_arrays", "word_index", "encode", "corpus", "cache"))
# Modules that store and restore runs.
RUNS = {f"training/{name}.py" for name in ("trainer", "retention", "divergence", "step")}
RUNS |= {f"runs/{name}.py" for name in ("folder", "metrics", "checkpoint", "progress", "checkpoint_file", "npz")}
RUNS |= {"system/disk.py"}
ORACLE = ("reference/", "model/engines/stepwise.py", "model/engines/stepwise_outputs.py")


@dataclass(frozen=True)
class Mutant:
    file: str
    cell: str
    output: str
    noise: bool
    seen_by: str
    name: str
    old: str
    new: str

    @property
    def module(self) -> str:
        return "rnncli." + self.file.removesuffix(".py").replace("/", ".")

    def source(self) -> str:
        """The module with the mistake; fails unless the text to replace occurs exactly once."""
        source = (PACKAGE / self.file).read_text(encoding="utf-8")
        count = source.count(self.old)
        assert count == 1, f"{self.file} has {self.old!r} {count} times: update {TABLE.name}"
        return source.replace(self.old, self.new)


def read_table():
    mutants, place = [], ()
    lines = iter(TABLE.read_text(encoding="utf-8").split("\n\n", 1)[1].splitlines())
    for line in lines:
        if line.startswith("@@ "):
            _, file, cell, *output = line.split()
            place = file, cell, output[0] if output else "full", output[1:] == ["noise"]
        elif line:
            seen_by, name = line.split(": ", 1)
            old, new = next(lines), next(lines)
            assert (old[:2], new[:2]) == ("- ", "+ "), line
            mutants.append(Mutant(*place, seen_by, name, old[2:], new[2:]))
    return mutants


MUTANTS = read_table()


class Hook(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Finds one module, and loads it from a given source."""

    def __init__(self, module: str, source: str) -> None:
        super().__init__(module, f"<mutant of {module}>")
        self.source = source

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def get_code(self, name):
        return compile(self.source, self.path, "exec")


def of_package(name):
    return name == "rnncli" or name.startswith("rnncli.")


@contextmanager
def fresh_package(mutant=None):
    """In the context, `rnncli` is imported again with the mutant; afterwards all modules are restored."""
    hooks = [Hook(mutant.module, mutant.source())] if mutant else []
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if of_package(name)}
    sys.meta_path[:0] = hooks
    try:
        yield
        assert all(sys.modules[hook.name].__loader__ is hook for hook in hooks)  # the mutant was loaded, not the file
    finally:
        for hook in hooks:
            sys.meta_path.remove(hook)
        for name in [name for name in sys.modules if of_package(name)]:
            del sys.modules[name]
        sys.modules.update(kept)


with fresh_package():
    RIGHT_RUNS = list(run_facts.facts())

# Options of each output layer in the two models.
OPTIONS = {
    "full": ({}, {}),
    "adaptive": ({"div_value": 2}, {"div_value": 1}),
    "sampled": ({"proposal": "log_uniform"}, {"proposal": "unigram"}),
}


def cases_of(cell, output, noise):
    from rnncli.model.outputs import OUTPUTS
    from rnncli.proof.gradcheck import EVERY_KIND, small
    from rnncli.schema.fields import options_of

    first, second = (options_of(OUTPUTS, output)(**each) for each in OPTIONS[output])
    if not noise:
        return [small(cell, 2, True, "sentences", output, first), small(cell, 1, False, "stream", output, second)]
    case = small(cell, 2, True, "stream", output, first)
    return [replace(case, config=replace(case.config, tied=True, residual=case.config.layers > 1), noise=EVERY_KIND)]


def gradcheck_sees(cases, engines):
    from rnncli.proof.gradcheck import check_case

    checks = (check for case in cases for engine in engines for check in check_case(case, engine))
    return any(not check.passed for check in checks)


def agreement_sees(cases):
    return any(
        far(numbers_of(case, "fused"), numbers_of(case, "stepwise"))
        or (not case.noise.dropout.hidden and far(epoch_of(case), plain_epoch_of(case)))
        for case in cases
    )


def far(some, others):
    pairs = zip(some, others, strict=True)
    return any(not np.abs(a - b).max() <= 1e-10 * max(np.abs(a).max(), 1e-3) for a, b in pairs)


def numbers_of(case, engine):
    """Every number of a few windows: loss, gradients, last state and gradient of the starting state, none zero; and
    the scores of the words and the log-probabilities of the next one.
    """
    from rnncli.proof import gradcheck

    model = gradcheck.random_model(case.architecture, engine, 1)
    found = []
    for index, batch in enumerate(gradcheck.batches_of(case.architecture, case.mode, 1)):
        rng = np.random.default_rng(index)
        zeros = model.zero_state(batch.inputs.shape[1])
        start, dlast = (tuple(tuple(rng.normal(size=a.shape) for a in layer) for layer in zeros) for _ in "12")
        passed = model.forward(batch, start, gradcheck.noise_of(batch, case.noise))
        gradients, first = model.backward_(passed, dlast)
        arrays = [passed.loss, *(gradient for _, gradient in gradients.items())]
        arrays += [a for layer in passed.state + first for a in layer]
        found += [np.array(a) for a in arrays]
        found += [model.score(batch, start)[0], model.next_word(batch.inputs, start)[0]]
    return found


BPTT, COLUMNS = 3, 4
SENTENCES = ([3, 1, 4, 1, 5, 2, 6, 0], [0], [2, 2, 0], [5, 3, 5, 0])
STREAM = [3, 1, 0, 4, 1, 5, 2, 2, 6, 5, 3, 0, 5, 4, 6]  # 4 columns: three of 4 words, one of 3


def epoch_of(case):
    """The losses of two epochs, batch by batch, as in training; without an estimated Z."""
    from rnncli.batches.sentences import SentenceBatches
    from rnncli.batches.stream import StreamBatches
    from rnncli.proof import gradcheck

    if case.mode == "stream":
        batches = StreamBatches(np.array(STREAM), 0, COLUMNS, BPTT)
    else:
        starts = np.cumsum([0, *map(len, SENTENCES)])
        batches = SentenceBatches(np.concatenate(SENTENCES), starts, 0, len(SENTENCES), BPTT, seed=0)
    model = gradcheck.random_model(case.architecture, "fused", 2)
    losses, state = [], ()
    for batch in [*batches.epoch(0), *batches.epoch(1)]:
        entering = model.entering(batch, state)
        passed = model.forward(batch, entering, gradcheck.noise_of(batch))
        state = passed.state
        exact = model.output.exact
        losses.append(float(passed.loss if exact else model.score(batch, entering)[0].sum() / batch.words))
    return [np.array(losses)]


def plain_epoch_of(case):
    """The same losses by the other engine, one column after another in text order."""
    from rnncli.proof import gradcheck

    if case.mode == "stream":
        cuts = [0, 4, 8, 12, 15]
        pairs = list(zip([0, *STREAM], STREAM, strict=False))
        columns = [pairs[a:b] for a, b in pairwise(cuts)]
    else:
        columns = [list(zip([0, *sentence], sentence, strict=False)) for sentence in SENTENCES]
    model = gradcheck.random_model(case.architecture, "stepwise", 2)
    nats, words = Counter(), Counter()
    for column in columns:
        state = model.zero_state(1)
        for i, (read, predicted) in enumerate(column):
            log_p, state = model.next_word(np.array([[read]]), state)
            nats[i // BPTT] -= log_p[0, predicted]
            words[i // BPTT] += 1
    losses = [nats[window] / words[window] for window in sorted(words)]
    return [np.array(losses + losses)]


# The losses of a text of eight words, three of them unknown, and their positions in two windows, one with padding.
LOSSES, UNKNOWN = np.array([0.5, 2, 0.25, 3, 1, 4, 0.125, 1.5]), {"nun": 2, "seasü": 1}
UNKNOWN_AT = np.array([1, 3, 5])
PADDED = SimpleNamespace(
    positions=np.array([[0, 3], [1, 4], [2, 4]]), mask=np.array([[True, True], [True, True], [True, False]]), words=5
)
WHOLE = SimpleNamespace(positions=np.array([[5], [6], [7]]), mask=None, words=3)
MEMBERS = ("<unk>", "sun", "<end>", "sea", "season")


def figures_see():
    from rnncli.evaluation.evaluate import count, evaluate
    from rnncli.text.vocabulary import Vocabulary

    def score(batch, state):
        rows = batch.positions.reshape(-1) if batch.mask is None else batch.positions[batch.mask]
        return LOSSES[rows], state

    model = SimpleNamespace(entering=lambda batch, state: state, score=score)
    batches = SimpleNamespace(epoch=lambda number: iter([PADDED, WHOLE]))
    text = SimpleNamespace(tokens=8, oov_positions=UNKNOWN_AT, outside=UNKNOWN, characters=40)
    found = evaluate(model, batches, text, count(text, True, Vocabulary(MEMBERS)))
    spelling = PlainSpelling([word for word in MEMBERS if word[0] != "<"])
    paid = -sum(n * math.log(spelling.probability(word)) for word, n in UNKNOWN.items())
    known = np.delete(LOSSES, UNKNOWN_AT)
    expected = [LOSSES.mean(), math.exp(LOSSES.mean()), math.exp(known.mean())]
    actual = [found.cross_entropy, found.perplexity, found.perplexity_excluding_oov]
    for nats, figures in (
        (LOSSES.sum(), (found.bits_per_word, found.bits_per_character)),
        (LOSSES.sum() + paid, (found.bits_per_word_with_spelling, found.bits_per_character_with_spelling)),
    ):
        expected += [nats / math.log(2) / 8, nats / math.log(2) / 40]
        actual += figures
    expected, actual = [*expected, math.exp((LOSSES.sum() + paid) / 8)], [*actual, found.perplexity_with_spelling]
    return (found.tokens, found.oov, found.ends) != (8, 3, True) or not np.allclose(
        np.array(actual, float), expected, rtol=1e-9, atol=0
    )


def learning_sees():
    from rnncli.model.noise import Dropout, Noise
    from rnncli.model.parameters import Parameters
    from rnncli.optim import SCHEDULES, Moment, decay_
    from rnncli.optim.averaging import Asgd, Ema, average_

    drawn = Noise(1, 0, 0, Dropout(0.25, 0.25, 0.25, 0.25, 0.25, "step"))
    shape = (40, 50, 60)
    masks = [drawn.input(*shape, float), *(drawn.hidden(layer, 2, *shape, float) for layer in (0, 1))]
    masks += [drawn.recurrent(0, (300, 400), float), drawn.words(9999, np.arange(9999).reshape(99, 101), float)]
    found = [abs(mask.mean() - 1) < 0.05 and abs((mask == 0).mean() - 0.25) < 0.05 for mask in masks]
    found += [mask.shape == shape for mask in masks[:3]]
    parameters = Parameters({"W": (2, 2), "b": (2,)}, np.float64)
    parameters.vector[:] = 1
    decay_(parameters, 0.25)
    found.append(parameters.vector.tolist() == [0.75] * 4 + [1, 1])
    steps = np.array([[1.0], [2.0], [4.0]])
    for averaging, expected in ((Asgd(), 7 / 3), (Ema(Ema.Options(0.1)), 0.9 * 4 + 0.1 * (0.9 * 2 + 0.1 * 1))):
        average = np.full(1, np.nan)
        for number, vector in enumerate(steps, 1):
            average_(average, vector, averaging.share(number))
        found.append(bool(np.isclose(average[0], expected)))
    for name, options, at, expected in (
        ("constant", {"warmup": 0.5, "annealing": 0.25}, (0.2, 0.25), 0.5),
        ("constant", {"warmup": 0.5, "annealing": 0.25}, (0.9, 0.95), 0.4),
        ("step", {"gamma": 0.5, "after": 4}, (0, 0.1, 5), 0.25),
        ("plateau", {}, (0, 0.1, 5, 2), 0.0625),
        ("cosine", {"warmup": 0.2}, (0.6, 0.7), 0.5),
        ("linear", {}, (0.25, 0.3), 0.75),
        ("one_cycle", {"peak": 0.5}, (0.25, 0.3), 0.52),
    ):
        schedule = SCHEDULES[name](SCHEDULES[name].Options(**options))
        found.append(bool(np.isclose(schedule.factor(Moment(*at)), expected)))
    return not all(found) or adam_differs()


def adam_differs():
    """Whether the update of a table by its rows differs from the equations of Adam."""
    from rnncli.model.parameters import Touched
    from rnncli.optim import Adam
    from rnncli.system import threads

    rows, (m, v) = np.array([1, 3]), np.zeros((2, 4, 2))
    adam, w = Adam(8, np.dtype(np.float64)), np.ones(8)
    expected, before, threads.SHARED = np.ones((4, 2)), threads.SHARED, 1
    try:
        for t in (1, 2):
            g = np.zeros((4, 2))
            g[rows[: 3 - t]] = t  # the second step does not touch row 3
            adam.step_(w, g.reshape(-1), 0.1, t, [Touched(0, (4, 2), rows[: 3 - t])])
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            expected -= 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    finally:
        threads.SHARED = before
    return not (np.allclose(w, expected.reshape(-1)) and np.allclose(adam.moments["v"], v.reshape(-1)))


# Words of all widths in a table, some with equal first bytes; apostrophes and points inside and outside of words.
PLAIN = ["the", "don't", "sun's", "dogs'", "'tis", "3.14", "1,000.", "2nd", "x", "internationally", "internationals"]
PLAIN += ["sea", "seas", "seaside", "e", "the longest word of all is pneumonoultramicroscopicsilicovolcanoconiosis"]
TOKEN = re.compile(r"(?:[a-z]+(?:'[a-z]+)*|[0-9]+(?:[.,][0-9]+)*)+|\S")


def texts_see():
    from rnncli.text import cache, lines, spool, word_index
    from rnncli.text.corpus import TextFormat
    from rnncli.text.tokenize import Tokenizer
    from rnncli.text.vocabulary import Rules

    lines.CHUNK, word_index.FIRST_BITS, word_index.COUNTED, spool.PIECE = 64, 2, 50, 30  # this package is discarded
    word_index.MULTIPLIERS[:] = 0  # so that all words hash to the same slot
    rng = np.random.default_rng(5)
    text = [" ".join(rng.choice(PLAIN, rng.integers(0, 9))) + f" w{i // 3}" for i in range(60)]
    words = TextFormat(Tokenizer("words", lowercase=False), "sentences", line_end=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "text")
        path.write_text("".join(f"{line}\n" for line in text))

        def wrong(min_count):
            rules = Rules(min_count, unknown=True)
            found = cache.prepared(Path(folder, "cache"), [str(path)], words, rules, 0.25)
            return encoded(found) != encoded_plainly(text, min_count)

        seen = wrong(1) or wrong(20)
        for ids in Path(folder, "cache").glob("*/train.ids"):
            ids.write_bytes(ids.read_bytes()[::-1])
        return seen or wrong(1)


def encoded(texts):
    parts = []
    for part in (texts.train, texts.valid):
        lines = [part.ids[a:b].tolist() for a, b in pairwise(part.line_starts.tolist())]
        parts.append((lines, part.oov_positions.tolist(), dict(part.outside), part.characters))
    return texts.vocabulary.words, texts.vocabulary.counts.tolist(), parts


def encoded_plainly(text, min_count):
    """The same, with the last quarter of the lines as the validation text."""
    cut = len(text) - len(text) // 4
    tokens = [[*TOKEN.findall(line), "<end>"] for line in text]
    counts = Counter(word for line in tokens[:cut] for word in line)
    kept = Counter({word: n for word, n in counts.items() if n >= min_count})
    kept["<unk>"] = counts.total() - kept.total()
    words = sorted(kept, key=lambda word: (-kept[word], word))
    parts = []
    for lines, content in ((tokens[:cut], text[:cut]), (tokens[cut:], text[cut:])):
        ids = [[words.index(word if word in kept else "<unk>") for word in line] for line in lines]
        outside = [(i, word) for i, word in enumerate(word for line in lines for word in line) if word not in kept]
        characters = sum(len(line) + 1 for line in content)
        parts.append((ids, [i for i, _ in outside], dict(Counter(word for _, word in outside)), characters))
    return tuple(words), [kept[word] for word in words], parts


def runs_see():
    try:
        return any(found != right for found, right in zip_longest(run_facts.facts(), RIGHT_RUNS))
    except Exception:  # a mistake may raise any error
        return True


def detectors_that_fire(cell, output, engines, noise=False, texts=True, runs=True):
    cases = cases_of(cell, output, noise)
    with np.errstate(all="ignore"):
        fired = {
            "gradcheck": gradcheck_sees(cases, engines),
            "agreement": agreement_sees(cases),
            "figures": figures_see(),
            "learning": learning_sees(),
            "texts": texts and texts_see(),
            "runs": runs and runs_see(),
        }
    return {name for name, yes in fired.items() if yes}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.file}, {m.cell}, {m.output}: {m.name}")
def test_a_mistake_is_seen(mutant):
    engine = "stepwise" if mutant.file.startswith(ORACLE) else "fused"
    with fresh_package(mutant):
        if mutant.file in RUNS:  # no gradient passes through it
            assert mutant.seen_by == "runs"
            assert runs_see()
            return
        fired = detectors_that_fire(
            mutant.cell, mutant.output, [engine], mutant.noise, mutant.file in TEXTS, runs=False
        )
        assert fired == DETECTORS[mutant.seen_by]


@pytest.mark.parametrize(
    ("cell", "output", "noise"),
    [
        *(("rnn", "full", False), ("lstm", "full", False), ("gru", "full", False), ("lstm", "full", True)),
        *(("rnn", "adaptive", False), ("rnn", "sampled", False), ("rnn", "adaptive", True)),
    ],
)
def test_code_without_a_mistake_passes(cell, output, noise):
    runs = (cell, output, noise) == ("lstm", "full", False)
    with fresh_package():
        assert detectors_that_fire(cell, output, ["fused", "stepwise"], noise, runs=runs) == set()


def test_the_table():
    assert len(MUTANTS) >= 24
    assert len({(m.file, m.cell, m.output, m.name) for m in MUTANTS}) == len({(m.file, m.old, m.new) for m in MUTANTS})
    assert {m.seen_by for m in MUTANTS} == set(DETECTORS)
    assert {m.cell for m in MUTANTS} == {"rnn", "lstm", "gru"}
    assert {m.output for m in MUTANTS} == {"full", "adaptive", "sampled"}
    files = {m.file for m in MUTANTS}
    assert files > {"evaluation/evaluate.py", "evaluation/perplexity.py", "text/spelling.py"}
    assert files > set(TEXTS)
    assert files > RUNS
    assert files > {"model/language_model.py", "batches/batch.py", "batches/stream.py", "batches/sentences.py"}
    assert files > {f"model/engines/{name}.py" for name in ("fused", "stepwise", "stepwise_outputs")}
    assert files > {f"model/outputs/{name}.py" for name in ("full", "adaptive", "sampled")}
    assert files > {f"reference/{name}.py" for name in ("adaptive", "sampled")}
    assert files > {f"{part}/{cell}.py" for part in ("model/cells", "reference") for cell in ("rnn", "lstm", "gru")}


def test_a_stale_mutant_fails_loudly():
    for old in ("no such text", "import"):
        with pytest.raises(AssertionError, match=r"update mutants\.txt"):
            Mutant("model/language_model.py", "rnn", "full", False, "both", "stale", old, "pass").source()


def test_other_tests_find_the_package_as_it_was():
    importlib.import_module("rnncli.reference.functional")
    before = {name: module for name, module in sys.modules.items() if of_package(name)}
    hooks = list(sys.meta_path)
    mutant = next(m for m in MUTANTS if m.file == "reference/functional.py")
    x = np.array([1.0])
    with fresh_package(mutant):
        from rnncli.reference import functional

        assert functional is not before["rnncli.reference.functional"]
        assert functional.sigmoid_backward(x, x / 4) == 0.75
    assert {name: module for name, module in sys.modules.items() if of_package(name)} == before
    assert sys.meta_path == hooks
    from rnncli.reference.functional import sigmoid_backward

    assert sigmoid_backward(x, x / 4) == 0.1875
