"""Random runs, interrupted at random places, end with the same bytes as the same runs without interruptions.

A pair is a config and a plan of interruptions, both drawn from one number. A failure prints that number:
`differences(number, folder)` repeats it.
"""

import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from support.small_run import metrics, settings

from rnncli.config import corpora, yaml_file
from rnncli.errors import ConfigError, NumericalError, TextError
from rnncli.runs import checkpoint_file
from rnncli.runs.events import Done
from rnncli.runs.folder import RunFolder
from rnncli.training.trainer import Trainer

WORDS = ["sun", "Moon", "über", "rain", "the", "The", "falls", "rises,", "on", "sea.", "ice", "it's", "7", "42"]
RARE = ["comet", "Naïve", "x1", "zeta!", "quasar", "nebula"]
SIGNALS = [name for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)]

# Interruptions of a run. In this process: a stop after a step, a stop at the n-th call of `stop` (training calls it
# while validating, too), or abandoning the training after some event without a save. In another process: a time limit
# of zero, or a signal.
HERE = ("step", "asked", "killed")
ELSEWHERE = ("max_time", *SIGNALS)


def lines(r, count, words):
    longest = r.choice([3, 9, 25])
    return "".join(" ".join(r.choices(words, k=r.randint(0, longest))) + "\n" for _ in range(count))


def draw_output(r):
    name = r.choice(["full", "adaptive", "adaptive", "sampled", "sampled"])
    if name == "adaptive":
        return {"name": name, "cutoffs": r.choice([None, [], [3], [2, 5]]), "div_value": r.choice([1.0, 2.0, 4.0])}
    if name == "sampled":
        return {"name": name, "samples": r.randint(1, 20), "proposal": r.choice(["log_uniform", "unigram"])}
    return {"name": name}


def draw_vocabulary(r, folder):
    if r.random() < 0.1:
        (folder / "members.txt").write_text("\n".join(WORDS[:9]) + "\n", encoding="utf-8")
        return {"vocabulary.file": str(folder / "members.txt"), "vocabulary.unknown": True}
    rules = [{}, {"vocabulary.unknown": True}, {"vocabulary.min_count": 2}, {"vocabulary.max_size": r.randint(8, 12)}]
    return r.choice(rules)


def draw_texts(r, folder):
    """The training text, and the other settings of `data`."""
    (folder / "valid.txt").write_text(lines(r, r.randint(1, 12), [*WORDS, *RARE]), encoding="utf-8")
    (folder / "test.txt").write_text(lines(r, 3, WORDS), encoding="utf-8")
    data = {"data.mode": r.choice(["sentences", "stream"]), "data.lowercase": r.random() < 0.3}
    data["data.tokenizer"] = r.choice(["whitespace", "whitespace", "words", "characters"])
    if data["data.mode"] == "stream":
        data["data.line_end"] = r.random() < 0.5
    data["data.valid"] = r.choice([None, 0.2, 0.5, str(folder / "valid.txt")])
    if r.random() < 0.2:
        data["data.test"] = str(folder / "test.txt")
    return " ".join(WORDS) + "\n" + lines(r, r.randint(8, 30), [*WORDS, *r.sample(RARE, 2)]), data


def draw(r, folder):
    """A config, and the settings drawn for it."""
    folder.mkdir()
    text, drawn = draw_texts(r, folder)
    engine = r.choice(["fused", "fused", "stepwise"])
    name = r.choice(["adam", "sgd"] if engine == "stepwise" else ["adam", "lazy_adam", "sgd"])
    drawn |= draw_vocabulary(r, folder) | {
        "model.cell": r.choice(["rnn", "lstm", "gru"]),
        "model.layers": r.randint(1, 3),
        "model.hidden_size": r.randint(2, 8),
        "model.embedding_size": r.choice([None, 1, 4]),
        "model.output": draw_output(r),
        "model.engine": engine,
        "optimizer.name": name,
        "optimizer.learning_rate": r.choice([0.001, 0.01, 0.1, 2.0]),
        "optimizer.clip_norm": r.choice([None, 0.1, 5.0]),
        "training.epochs": r.randint(1, 4),
        "training.batch_size": r.randint(1, 9),
        "training.bptt": r.randint(1, 12),
        "training.random_seed": r.randrange(2**63),
        "training.dtype": r.choice(["float32", "float64"]),
        "training.patience": r.choice([None, 1, 2, 3]) if drawn["data.valid"] is not None else None,
        "guard.every": r.choice([1, 3, 10, 1000]),
        "guard.jump": r.choice([None, 0.5, 3.0]),
        "guard.rollbacks": r.randint(0, 3),
        "parallel.shards": 1,
        "run.keep": r.randint(1, 3),
        "run.checkpoint_every": r.choice(["1 epoch", "2 epochs", "1 step", "3 steps", "7 steps", "10m", "0.005s"]),
    }
    return settings(folder, text, **drawn), drawn


def valid_draw(r, folder):
    """A config that can be trained; most can."""
    for n in range(50):
        try:
            config, drawn = draw(r, folder / f"config-{n}")
            Trainer(config, corpora.texts(config), config.training.random_seed, RunFolder(folder / "unused"))
            return config, drawn
        except (ConfigError, TextError):  # an unknown word without <unk>, fewer words than columns
            continue
    raise AssertionError("50 configs that cannot be trained")


def train_here(config, folder, kind=None, at=0):
    """Resume until the end or the interruption; the numbers of steps and of calls of `stop`, and how it ended."""
    run = RunFolder(folder)
    run.create()
    made = Trainer(config, corpora.texts(config), config.training.random_seed, run)
    if (last := run.last()) is not None:
        made.resume(last[0])
    asked = 0

    def stop():
        nonlocal asked
        asked += 1
        step = kind == "step" and made.progress.position.step >= at
        return "requested" if step or (kind == "asked" and asked >= at) else None

    events, ended, training = 0, "", made.train(stop)
    try:
        for event in training:
            events += 1
            if isinstance(event, Done):
                ended = event.reason
            elif kind == "killed" and events >= at:
                ended = kind
                break
    except NumericalError as error:
        ended = str(error).replace(str(folder), "").splitlines()[0]  # advice follows, which depends on the files
    training.close()
    return made.progress.position.step, asked, ended


def train_elsewhere(config_path, folder, kind, at):
    """Resume in another process until the end or the interruption; how it ended."""
    words = [sys.executable, "-m", "rnncli", "train", config_path, "--set", f"run.dir={folder}", "--resume", "--quiet"]
    limit = ["--max-time", "0s"] if kind == "max_time" else []
    process = subprocess.Popen([*words, *limit], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    before = steps_in(folder)
    while kind in SIGNALS and process.poll() is None:
        if steps_in(folder) >= max(at, before + 1):  # by then its signal handlers are set
            process.send_signal(getattr(signal, kind))
            break
        time.sleep(0.001)
    _, stderr = process.communicate(timeout=100)
    assert process.returncode in (0, 6, 130, 143), stderr
    assert "Traceback" not in stderr
    return "stopped" if f"stopped by {kind}" in stderr else "over"


def steps_in(folder):
    rows = RunFolder(folder).metrics
    return rows.read_bytes().count(b'"event": "step"') if rows.exists() else 0


def draw_plan(r, steps, asked, elsewhere):
    """One to four interruptions as (kind, place); often at the first two steps or the last two."""
    kinds = r.choices(ELSEWHERE if elsewhere else HERE, k=1 if r.random() < 0.5 else r.randint(2, 4))
    places = sorted(r.choice([1, 2, steps - 1, steps, *(r.randint(1, steps) for _ in range(6))]) for _ in kinds)
    return [
        (kind, r.randint(1, asked) if kind == "asked" else max(1, at)) for kind, at in zip(kinds, places, strict=True)
    ]


def ends(folder, how):
    """Results that interruptions must not change. A run that diverged saves no checkpoint at its end."""
    run, found = RunFolder(folder), {"metrics": metrics(folder), "the end": how}
    if how not in ("epochs", "patience"):
        return found
    paths = run.checkpoints()
    _, arrays = checkpoint_file.read(paths[-1], lambda name: True)
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode() + array.tobytes())
    best = run.preferred()[0]
    return found | {
        "arrays": digest.hexdigest(),
        "last": (paths[-1].name, hashlib.sha256(paths[-1].read_bytes()).hexdigest()),
        "best": (best.name, hashlib.sha256(best.read_bytes()).hexdigest()),
    }


def differences(number, folder, elsewhere=False):
    """Train a pair in an empty folder; returns the differences, the settings drawn, the plan, and what happened."""
    r = random.Random(number)
    config, drawn = valid_draw(r, folder)
    steps, asked, how = train_here(config, folder / "whole")
    plan = draw_plan(r, max(1, steps), max(1, asked), elsewhere)
    happened = []
    if elsewhere:
        yaml_file.write(config, folder / "resolved.yaml")
    for kind, at in plan:
        if elsewhere:
            happened.append((kind, train_elsewhere(folder / "resolved.yaml", folder / "run", kind, at)))
        else:
            happened.append((kind, train_here(config, folder / "run", kind, at)[2]))
    again = train_here(config, folder / "run")[2]
    whole, resumed = ends(folder / "whole", how), ends(folder / "run", again)
    wrong = {key: (whole[key], resumed.get(key)) for key in whole if whole[key] != resumed.get(key)}
    return wrong, drawn, plan, [*happened, ("end", how)]


@pytest.mark.parametrize(("elsewhere", "short", "full"), [(False, 9, 160), (True, 2, 40)], ids=["here", "elsewhere"])
def test_resumed_runs_equal_uninterrupted_ones(soak, tmp_path, elsewhere, short, full):
    interruptions, settings_seen, times = Counter(), set(), soak.times(short, full)
    for n in range(times):
        number, folder = soak.random.getrandbits(48), tmp_path / str(n)
        folder.mkdir()
        wrong, drawn, plan, happened = differences(number, folder, elsewhere)
        listed = "\n".join(f"  {key}: {str(each)[:2000]}" for key, each in wrong.items())
        assert not wrong, (
            f"pair {n} differs; again: differences({number}, folder, {elsewhere})\n"
            f"{json.dumps(drawn, indent=1)}\nplan {plan}\nhappened {happened}\nwhole and resumed:\n{listed}"
        )
        interruptions.update(f"{kind}: {how.split(':')[0][:20]}" for kind, how in happened)
        settings_seen |= {f"{key}={each}" for key, each in drawn.items() if key.count(".") == 1}
    soak.report(f"{times} pairs equal; {dict(interruptions.most_common())}; {len(settings_seen)} values of settings")
