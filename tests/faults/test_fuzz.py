"""Random input to the commands: each ends within seconds with a documented exit code and no traceback."""

import json
import os
import random as module_of_random
import re
import shutil
import subprocess
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from support.crafting import craft, good
from text.test_any_text import at_most

from rnncli.cli import COMMANDS, main
from rnncli.config.config import Config, DataConfig, to_dict
from rnncli.schema.fields import settings_of

LONGEST = 5.0  # seconds
LONGEST_MESSAGE = 50_000  # characters: a hundred errors in a config, one a line
DONE, USAGE, CONFIG, TEXT, RUN, NUMERICAL, WRITING = 0, 2, 3, 4, 5, 6, 7

HERE = Path(__file__).parents[2]
FILES = [*sorted(HERE.glob("configs/*.yaml")), *sorted(HERE.glob("rnncli/cli/starter/*.yaml"))]
CONFIGS = [re.sub(r"(?<=train: )\S+", "text.txt", path.read_text()) for path in FILES]
CONFIGS.append("data: {train: text.txt, valid: 0.3}\nmodel: {hidden_size: 2}\ntraining: {epochs: 1}\n")

DEFAULTS = to_dict(Config(DataConfig(("text.txt",))))
KEYS = {section: sorted(DEFAULTS[section]) for section in settings_of(Config)}
DOTTED = [f"{section}.{key}" for section, keys in KEYS.items() for key in keys]
DOTTED += ["model.output.name", "model.output.cutoffs", "model.output.samples", "optimizer.schedule.name"]

# Values as written in YAML; no path leads out of the folder.
SCALARS = [
    "null",
    "true",
    "off",
    "0",
    "1",
    "-1",
    "2",
    "3",
    "0.1",
    "0.9",
    "1e-3",
    "1e999",
    "-0.0",
    ".nan",
    ".inf",
    "1_0",
]
SCALARS += ["9" * 20, "9" * 400, "9" * 5000, "0x10", "0o7", "1:30", "2001-01-01", "''", '""', "'1'", "x", "text.txt"]
SCALARS += ["lstm", "gru", "full", "adaptive", "sampled", "adam", "sgd", "lazy_adam", "stream", "sentences", "words"]
SCALARS += [
    "characters",
    "fused",
    "stepwise",
    "float64",
    "constant",
    "cosine",
    "tree",
    "1 epoch",
    "2 steps",
    "10m",
    "0s",
]
SCALARS += ["90s", "1h30m", "-5m", "99999999999d", "nowhere.txt", "*.txt", "**", ".", "[", "text[", "t?xt.txt"]
SCALARS += ["<<", "=", "&a x", "*a", "!x y", "!!python/object:os.system x", "@x", "`x`", "%x", "|", ">", "? x", "- x"]
SCALARS += [
    "é",
    "日本",
    "\U0001f600",
    '"\\ud800"',
    '"\\0"',
    '"\\x85"',
    "\u2028",
    "a\tb",
    "'unclosed",
    '"unclosed',
    "x" * 300,
]
FLOWS = ["[]", "{}", "[1, 2]", "[2, 1]", "[text.txt]", "[text.txt, text.txt]", "[[1]]", "{a: 1}", "{name: full}"]
FLOWS += [
    "{name: adaptive, cutoffs: [2, 4]}",
    "{name: adaptive, cutoffs: []}",
    "{name: sampled, samples: 3}",
    "{name: 1}",
]
FLOWS += [
    "{name: adaptive, div_value: 1e9}",
    "{name: sampled, samples: 0}",
    "{name: cosine}",
    "{<<: 1}",
    "[null]",
    "[true]",
]
BYTES = [
    b"\0",
    b"\t",
    b"\r",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x85",
    b"\x1b[31m",
    b": ",
]
BYTES += [
    b"\n",
    b"#",
    b"- ",
    b"{",
    b"}",
    b"[",
    b"]",
    b"'",
    b'"',
    b"&a ",
    b"*a",
    b"!",
    b"|",
    b">",
    b"%",
    b"---\n",
    b"...\n",
]
BYTES += [b"  ", b",", b"?", b"\n\n", b"1", b"e9", "é".encode(), "\u2028".encode(), b"\\", b"<<: *a\n"]

WORDS = [
    "sun",
    "moon",
    "über",
    "rain",
    "the",
    "<unk>",
    "<end>",
    "nowhere",
    "12",
    "\ufeff",
    "\u200b",
    "İ",
    "👩‍👩‍👧",
    "e\u0301",
]
CONTROLS = [
    "\0",
    "\a",
    "\b",
    "\x1b[2J",
    "\r",
    "\n",
    "\t",
    "\x7f",
    "\x85",
    "\u2028",
    "\ud800",
    "\udcff",
    "\uffff",
    "\U0010ffff",
]
# Values for a number on the command line.
NUMBERS = [
    "0",
    "1",
    "2",
    "5",
    "-1",
    "1.5",
    "",
    " ",
    "x",
    "nan",
    "inf",
    "-inf",
    "1e3",
    "1e-9",
    "1e999",
    "0.5",
    "1_0",
    "٣",
    "0x1",
]
NUMBERS += ["9" * 20, "9" * 400, "9" * 5000, "-0", "+1", "1,5", "１", "true"]


@dataclass(frozen=True)
class Trial:
    """A command, and the exit codes it may return."""

    kind: str
    words: tuple
    codes: tuple
    stdin: bytes = b""

    def __str__(self):
        return (
            f"{self.kind}: rnncli {' '.join(repr(str(word)[:200]) for word in self.words)} (stdin {self.stdin[:80]!r})"
        )


class Fuzzer:
    """Draws trials in the current folder: `made/run` is a run, `good.npz` a checkpoint of it."""

    def __init__(self, folder):
        self.folder = folder
        self.good = good(folder / "made")
        self.meta = self.good.meta
        shutil.copy(self.good.path, folder / "good.npz")
        shutil.copy(folder / "made" / "text.txt", folder / "text.txt")

    def trial(self, random):
        kinds = {self.config: 8, self.overrides: 4, self.damage: 3, self.meta_data: 5, self.seed: 5, self.text: 3}
        kinds |= {self.run_folder: 4, self.options: 3, self.interactive: 1}
        (kind,) = random.choices(list(kinds), list(kinds.values()))
        return kind(random)

    # Configs

    def config(self, random):
        make = random.choice([mutated, mutated, lines_of, built, built, wrong, large, junk])
        content = make(random)
        Path("config.yaml").write_bytes(content)
        return self.on_config(random, f"config {make.__name__}", ())

    def overrides(self, random):
        Path("config.yaml").write_text("data: {train: text.txt}\n")
        sets = [override(random) for _ in range(random.choice([1, 1, 2, 5]))]
        return self.on_config(random, "--set", tuple(word for each in sets for word in ("--set", each)))

    def on_config(self, random, kind, more):
        """A command that takes a config; training is limited to a tiny model and to the run folder `new-run`."""
        shutil.rmtree("new-run", ignore_errors=True)
        tiny = ["run.dir=new-run", "data.cache=cache", "data.train=text.txt", "model.hidden_size=2", "model.layers=1"]
        tiny += ["training.epochs=1", "training.batch_size=2", "training.bptt=3", "model.embedding_size=2"]
        tiny += ["model.engine=fused", "data.valid=null", "data.test=null", "vocabulary.file=null"]
        forced = [word for each in tiny for word in ("--set", each)]
        words = random.choice(
            [
                ("train", "config.yaml", *more, "--dry-run"),
                ("train", "config.yaml", *more, "--dry-run", "--json"),
                ("train", "config.yaml", *more, *forced, "--max-time", "0s", "--quiet"),
                ("data", "config.yaml", *more),
                ("vocab", "config.yaml", *more, "--no-trial"),
            ]
        )
        if random.random() < 0.03:
            words = ("gradcheck", "config.yaml", *more)
        return Trial(kind, words, (DONE, CONFIG, TEXT, WRITING) + ((NUMERICAL,) if "--quiet" in words else ()))

    # Checkpoints

    def damage(self, random):
        raw = bytearray(self.good.raw)
        for _ in range(random.choice([1, 1, 3, 20])):
            at, length = random.randrange(len(raw)), random.choice([1, 1, 4, 100])
            kind = random.randrange(5)
            if kind == 0:
                raw[at : at + length] = random.randbytes(length)
            elif kind == 1:
                del raw[at : at + length]
            elif kind == 2:
                raw[at:at] = random.randbytes(length)
            elif kind == 3:
                raw[at] ^= 1 << random.randrange(8)
            else:
                there = random.randrange(len(raw))
                raw[at : at + length] = raw[there : there + length]
        return self.on_checkpoint(random, "damage", bytes(raw))

    def meta_data(self, random):
        """Any change to the metadata or to a member, with correct hashes."""
        meta, members = json.loads(json.dumps(self.meta)), dict(self.good.members)
        for _ in range(random.choice([1, 1, 2])):
            altered(random, meta)
        if random.random() < 0.2:
            name = random.choice(sorted(members))
            members[name] = altered_array(random, members[name])
        path = Path("bad.npz")
        craft(path, self.good.__class__(path, b"", meta, members))
        return self.on_checkpoint(random, "metadata", path.read_bytes())

    def on_checkpoint(self, random, kind, raw):
        name = random.choice(["inspect", "verify", "strip", "predict", "evaluate", "train"])
        if name == "train":
            shutil.rmtree(self.folder / "made" / "run")
            (self.folder / "made" / "run" / "checkpoints").mkdir(parents=True)
            (self.folder / "made" / "run" / "checkpoints" / self.good.path.name).write_bytes(raw)
            codes = (DONE, RUN) + ((NUMERICAL,) if kind == "metadata" else ())
            return Trial(kind, ("train", "made/config.yaml", "--resume", "--quiet"), codes)
        Path("bad.npz").write_bytes(raw)
        Path("out.npz").unlink(missing_ok=True)
        more = {"inspect": (), "verify": ("--verify",), "strip": ("--strip", "out.npz"), "evaluate": ("text.txt",)}
        more = more.get(name, ("--seed", "sun the"))
        json_ = random.choice([(), ("--json",)])
        # these words may be unknown to a changed vocabulary or tokenizer
        codes = (DONE, RUN, TEXT) if kind == "metadata" and name in ("predict", "evaluate") else (DONE, RUN)
        command = name if name in COMMANDS else "inspect"
        return Trial(kind, (command, "--run", "bad.npz", *more, *json_), codes)

    # Seeds, texts and options

    def seed(self, random):
        text = any_text(random)
        drawing = ("--random-seed", "1", "--words", "5", "--samples", "2")
        more = random.choice([drawing, ("--words", "5", "--beam", "3"), ("--samples", "0")])
        more += random.choice([(), ("--json",), ("--no-unk",)])
        return Trial("seed", ("predict", "--run", "good.npz", "--seed", text, *more), (DONE, TEXT))

    def interactive(self, random):
        source = random.choice([("--interactive",), ("--file", "-")])
        words = ("predict", "--run", "good.npz", *source, "--words", "3", "--samples", "1")
        return Trial("interactive", words, (DONE, TEXT), text_bytes(random))

    def text(self, random):
        content = text_bytes(random)
        json_ = random.choice([(), ("--json",)])
        if random.random() < 0.5:
            return Trial("text", ("evaluate", "--run", "good.npz", "-", *json_), (DONE, TEXT), content)
        name = random.choice(["any.txt", "any.txt", "any.gz", "any.bz2", "any.xz", "any\nname.txt", "añy.txt"])
        Path(name).write_bytes(content)
        files = random.choice(
            [(name,), (name, "text.txt"), (name, name), ("nowhere.txt",), (".",), ("", name), ("\udcff",)]
        )
        return Trial("text", ("evaluate", "--run", "good.npz", *files, *json_), (DONE, TEXT))

    def options(self, random):
        kind = random.randrange(4)
        if kind == 0:
            names = ["--top", "--top-k", "--top-p", "--temperature", "--beam", "--random-seed", "--words", "--samples"]
            chosen = random.sample(names, random.choice([1, 2, 3]))
            few = {"--words": "3", "--samples": "2"}  # large values are allowed, but take long
            pairs = [(name, few.get(name) or random.choice(NUMBERS)) for name in chosen]
            bad = [
                (name, random.choice(["0", "-1", "x", "", "nan", "1e3", "9" * 400]))
                for name in few
                if name not in chosen
            ]
            pairs += random.choice([[], [], bad[:1]]) + [(name, "2") for name in few if name not in chosen]
            words = tuple(word for pair in pairs for word in pair)
            return Trial("options", ("predict", "--run", "good.npz", "--seed", "sun", *words), (DONE, USAGE))
        if kind == 1:
            name = random.choice(["--epochs", "--max-time", "--random-seed"])
            value = random.choice([*NUMBERS, "0s", "5m", "1h1h", "1 s", "99999999999999d", "é"])
            words = ("train", "made/config.yaml", name, value, "--dry-run")
            return Trial("options", words, (DONE, CONFIG))
        if kind == 2:
            value = random.choice(["0", "-1", "x", "", "1.5", "9" * 30])
            return Trial("options", ("train", "made/config.yaml", "--threads", value), (USAGE,))
        commands = [*COMMANDS, "nowhere", "--nowhere", "-h", "--version", "", "trian", "\udcff"]
        command = random.choice([each for each in commands if each not in ("gradcheck", "selftest", "init")])
        words = random.choice(
            [(), ("--help",), ("--nowhere",), ("--run",), ("--json", "--json"), ("a", "b", "c"), ("--", "--x")]
        )
        return Trial("options", (command, *words), (DONE, USAGE, CONFIG, TEXT, RUN))

    # Run folders

    def run_folder(self, random):
        run = self.folder / "made" / "run"
        shutil.rmtree(run)
        checkpoints = run / "checkpoints"
        checkpoints.mkdir(parents=True)
        (run / "metrics.jsonl").write_text('{"step": 1}\n')
        shutil.copy("good.npz", "linked.npz")  # a write through a link would change it
        if random.random() < 0.7:
            shutil.copy("good.npz", checkpoints / self.good.path.name)
        for _ in range(random.choice([1, 1, 2, 4])):
            self.odd(random, run, checkpoints)
        words = random.choice(
            [
                ("train", "made/config.yaml", "--resume", "--quiet"),
                ("train", "made/config.yaml", "--quiet"),
                ("train", "made/config.yaml", "--fresh", "--quiet"),
                ("inspect", "made/run"),
                ("inspect", "--run", "made/run", "--json"),
                ("inspect", "made/run", "--verify"),
                ("inspect", "made/run", "--strip", "made/run/checkpoints/out.npz"),
                ("runs", "made"),
                ("runs", "made/run", "--json"),
                ("predict", "--run", "made/run", "--seed", "sun", "--words", "2"),
                ("evaluate", "--run", "made/run", "text.txt"),
            ]
        )
        for aside in (self.folder / "made").glob("run.*"):
            shutil.rmtree(aside)
        codes = (DONE, USAGE, RUN, WRITING) if words[0] == "train" or "--strip" in words else (DONE, RUN)
        return Trial("run folder", words, codes)

    def odd(self, random, run, checkpoints):
        """Put an unexpected file, folder or link into a run folder."""
        names = ["step-00000001.npz", "step-00000009.npz", "step-99999999999999999999.npz", "step-.npz", "step-1.npz"]
        names += [
            self.good.path.name,
            ".step-00000009.npz.123.tmp",
            "step-00000009.npz.tmp",
            "step-٣٣٣٣٣٣٣٣.npz",
            "x" * 255,
        ]
        names += ["step-00000009.npz\n", "\udcff.npz", "\x1b[31m.npz", "step--0000001.npz", f"step-{'0' * 200}9.npz"]
        where = random.choice([checkpoints / random.choice(names)] * 3 + [run / name for name in self.parts_of_a_run()])
        if where.is_dir() and not where.is_symlink():
            shutil.rmtree(where)
        elif os.path.lexists(where):
            where.unlink()
        if not where.parent.is_dir():
            return
        kind = random.randrange(8)
        if kind == 0:
            where.mkdir()
        elif kind == 1:
            where.symlink_to("nowhere")
        elif kind == 2:
            where.symlink_to(where.name)
        elif kind == 3:
            shutil.copy("good.npz", where)
        elif kind == 4:
            where.write_bytes(
                random.choice([b"", b"\n", b"{}\n", b"null\n", b"[1]\n", b'{"step": "x"}\n', b'{"step": 1}'])
            )
        elif kind == 5:
            where.write_bytes(random.randbytes(random.randrange(300)))
        elif kind == 6:
            where.symlink_to(random.choice(["/dev/null", "..", self.folder / "linked.npz"]))
        elif random.random() < 0.5:
            where.mkdir()
            (where / "something").write_text("x")

    def parts_of_a_run(self):
        return ["metrics.jsonl", "config.yaml", "vocabulary.txt", ".lock", "checkpoints", "more", "guard.npz", "guard"]


# Configs


def mutated(random):
    """The bytes of a config with random changes."""
    content = bytearray(random.choice(CONFIGS).encode())
    for _ in range(random.choice([1, 1, 2, 5, 30])):
        at = random.randrange(len(content) + 1)
        kind = random.randrange(4)
        if kind == 0:
            content[at:at] = random.choice(BYTES)
        elif kind == 1:
            del content[at : at + random.choice([1, 2, 10])]
        elif kind == 2 and at < len(content):
            content[at] = random.choice([random.randrange(256), random.randrange(32, 127)])
        else:
            content[at:at] = random.choice(SCALARS + FLOWS).encode(errors="surrogatepass")
    return bytes(content).replace(b"/", b"_").replace(b"~", b"_")


def lines_of(random):
    """The lines of a config, some repeated, removed, indented or with another value."""
    lines = random.choice(CONFIGS).splitlines()
    for _ in range(random.choice([1, 2, 5])):
        at, kind = random.randrange(len(lines)), random.randrange(5)
        if kind == 0:
            lines.insert(random.randrange(len(lines)), lines[at])
        elif kind == 1 and len(lines) > 1:
            del lines[at]
        elif kind == 2:
            lines[at] = random.choice([" ", "    ", "\t", "- ", "? "]) + lines[at]
        elif kind == 3:
            lines[at] = lines[at].strip()
        else:
            key, _, _ = lines[at].partition(":")
            lines[at] = f"{key}: {random.choice(SCALARS + FLOWS)}"
    text = random.choice(["\n", "\n", "\r\n", "\r"]).join(lines)
    return text.replace("/", "_").replace("~", "_").encode(errors="surrogatepass")


def built(random):
    """A config of existing keys with values of any kind."""
    lines = ["data:", f"  train: {random.choice(['text.txt'] * 200 + SCALARS)}"]
    for section in random.sample(sorted(KEYS), random.randrange(len(KEYS) + 1)):
        keys = random.sample(KEYS[section], random.randrange(len(KEYS[section]) + 1))
        lines += [] if section == "data" else [f"{section}:"]
        for key in keys:
            value = json.dumps(DEFAULTS[section][key]) if random.random() < 0.8 else random.choice(SCALARS + FLOWS)
            lines += [] if (section, key) == ("data", "train") else [f"  {key}: {value}"]
    return "\n".join(lines).encode(errors="surrogatepass")


def wrong(random):
    """One key with a value that is most likely invalid for it."""
    section = random.choice(sorted(KEYS))
    key = random.choice(KEYS[section] + [f"{each[:-1]}x" for each in KEYS[section]])
    value = random.choice(SCALARS + FLOWS)
    start = "data: {train: text.txt}\n" if section != "data" else ""
    more = "  train: text.txt\n" if section == "data" and key != "train" else ""
    return f"{start}{section}:\n{more}  {key}: {value}\n".encode(errors="surrogatepass")


def large(random):
    """A config of up to 2 MiB, or nested a few levels too deep."""
    size = random.choice([1000, 20_000, 1 << 20, (1 << 20) + 1, 1 << 21])
    piece = random.choice(
        ["[", "{", "{a: ", "- ", "a: 1\n", "a", "x: &a [*a]\n", "#\n", "\n", "'", "é", "? ", "!", "&a ", "- - "]
    )
    start = random.choice(["", "data: {train: text.txt}\n", "model:\n  cell: "])
    if random.random() < 0.8:  # a MiB of YAML takes a second
        size = random.randrange(1, 3000)
    return (start + piece * (size // len(piece))).encode()


def junk(random):
    kind = random.randrange(4)
    if kind == 0:
        return random.randbytes(random.randrange(200))
    if kind == 1:
        return "".join(chr(random.randrange(0xD800)) for _ in range(random.randrange(50))).replace("/", "_").encode()
    if kind == 2:
        return b"".join(random.choice(BYTES) for _ in range(random.randrange(40)))
    return "\n".join(random.choice(SCALARS) for _ in range(random.randrange(6))).encode(errors="surrogatepass")


def override(random):
    """An argument of --set."""
    key = random.choice(
        [*DOTTED, *DOTTED, random.choice(DOTTED) + ".x", "x", "model", "", "model.", ".", "model.cell.x", "é"]
    )
    value = random.choice(SCALARS + FLOWS)
    kind = random.randrange(8)
    if kind == 0:
        return random.choice([key, value, f"{value}={value}", f"={value}", f"{key}==", f"{key}=\n{value}", " = "])
    if kind == 1:
        return any_text(random).replace("/", "_").replace("~", "_")
    return f"{key}={value}"


# Metadata


def altered(random, meta):
    """Change one value somewhere in nested dicts and lists."""
    place = meta
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = random.choice(keys)
        below = place[key]
        if isinstance(below, dict | list) and below and random.random() < 0.85:
            place = below
            continue
        break
    kind = random.randrange(6)
    if kind == 0:
        del place[key]
    elif kind == 1 and isinstance(place, dict):
        place[random.choice(["more", "", "name", "é", "0"])] = a_value(random)
    elif kind == 2 and isinstance(below, int | float) and not isinstance(below, bool):
        place[key] = random.choice([below + 1, -below, below * 10**6, below / 2, below - 1, int(below), float(below)])
    else:
        place[key] = a_value(random)


def a_value(random):
    values = [None, True, False, 0, 1, -1, 2, 7, 0.5, -0.5, 1e-300, 1e300, 10**9, 2**31, 2**63, 2**64, 10**30, 10**400]
    values += ["", "x", "lstm", "full", "sun", "<end>", "\0", "\ud800", "é", "x" * 1000, "1 epoch", "0.5", "text.txt"]
    values += [
        [],
        {},
        [1],
        ["x"],
        [[]],
        [None],
        {"a": 1},
        {"name": "full"},
        {"name": "adaptive", "cutoffs": [2]},
        [0] * 1000,
    ]
    return random.choice(values)


def altered_array(random, array):
    kind = random.randrange(7)
    if kind == 0:
        return array.astype(random.choice(["<f8", ">f4", "<c8", "<i4", "?", "<f2", "|S3", "<U2", "<M8[s]"]))
    if kind == 1:
        return array.reshape(-1)[: random.randrange(array.size + 1)]
    if kind == 2:
        return np.full_like(array, random.choice([np.nan, np.inf, 0, 1e38, -1e38, 1e-45]))
    if kind == 3:
        changed = array.copy()
        changed.reshape(-1)[random.randrange(array.size)] = random.choice([np.nan, -np.inf, 1e38, 0])
        return changed
    if kind == 4:
        return array[None]
    return array.T


# Texts


def any_text(random):
    kind = random.randrange(8)
    if kind == 0:
        return ""
    if kind == 1:
        return "".join(
            chr(random.choice([random.randrange(0x110000), random.randrange(256)])) for _ in range(random.randrange(20))
        )
    if kind == 2:
        return random.choice(["sun " * 3000, "x" * 5000, " " * 5000, "\u0301" * 3000, "a" * 20 + "\0"])
    if kind == 3:
        return random.choice(["12", " 7 ", "٣", "--json", "-h", "--seed", "<end>", "<unk> <unk>", "²", "\n", "\ufeff"])
    return random.choice(["", " ", "\t"]).join(random.choice(WORDS * 3 + CONTROLS) for _ in range(random.randrange(12)))


def text_bytes(random):
    kind = random.randrange(5)
    if kind == 0:
        return random.randbytes(random.randrange(200))
    text = "\n".join(any_text(random) for _ in range(random.randrange(6))).encode(errors="replace")
    if kind == 1:
        at = random.randrange(len(text) + 1)
        return text[:at] + random.choice(BYTES) + text[at:]
    return text + random.choice([b"", b"\n", b"\r\n", b"\n\n"])


# Running the trials


def fault_of(trial, exit_code, stdout, stderr, seconds):
    """Fault in how a command ended, or None."""
    message = stderr.strip() or (stdout.strip() if trial.words[0] == "data" else "")  # its result lists the errors
    if "Traceback" in message:
        return message[-600:]
    if exit_code not in trial.codes:
        return f"exit code {exit_code}, not one of {trial.codes}: {message[-300:]!r}"
    if exit_code and not message:
        return f"exit code {exit_code} without a message"
    if len(message) > LONGEST_MESSAGE:
        return f"a message of {len(message)} characters: {message[:100]!r}"
    return f"took {seconds:.1f} s" if seconds > LONGEST else None


def in_process(trial):
    """Run it in this process; the exit code and the fault, if any."""
    started = time.monotonic()
    try:
        with at_most(LONGEST):
            result = CliRunner().invoke(main, list(map(str, trial.words)), input=trial.stdin)
    except TimeoutError:
        return None, "no end within 5 s"
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return 1, "".join(traceback.format_exception(result.exception)[-4:])
    return result.exit_code, fault_of(trial, result.exit_code, result.stdout, result.stderr, time.monotonic() - started)


def as_a_process(trial):
    """Run it as a process; None if the system cannot pass these arguments."""
    try:
        words = [os.fsencode(str(word)) for word in trial.words]
    except UnicodeEncodeError:
        return None
    if any(b"\0" in word or len(word) > 100_000 for word in words):
        return None
    started = time.monotonic()
    command = [sys.executable, "-m", "rnncli", *words]
    try:
        done = subprocess.run(command, input=trial.stdin, capture_output=True, timeout=LONGEST, check=False)
    except subprocess.TimeoutExpired:
        return None, "no end within 5 s"
    stdout, stderr = (written.decode(errors="backslashreplace") for written in (done.stdout, done.stderr))
    return done.returncode, fault_of(trial, done.returncode, stdout, stderr, time.monotonic() - started)


@pytest.fixture
def fuzzer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Fuzzer(tmp_path)


def check(soak, fuzzer, number, how, what):
    """Run this many trials, each drawn from one number; a failure prints that number."""
    faults, codes, finished = [], Counter(), 0
    while finished < number:
        one = soak.random.getrandbits(64)
        trial = fuzzer.trial(module_of_random.Random(one))
        ended = how(trial)
        if ended is None:
            continue
        finished += 1
        exit_code, fault = ended
        codes[exit_code] += 1
        if fault:
            faults.append(f"{one}: {trial}\n  {fault}")
    unlike = list({fault.strip().rsplit("\n", 1)[-1][:60]: fault for fault in faults}.values())
    assert not faults, f"{len(faults)} of {number} trials, such as:\n" + "\n".join(unlike[:40])
    by_code = ", ".join(f"{count:,} with {code}" for code, count in sorted(codes.items()))
    soak.report(f"{what}: {number:,} commands ended as documented, {by_code}")


@pytest.mark.alone
def test_any_input_in_this_process(fuzzer, soak):
    check(soak, fuzzer, soak.times(150, 10_000), in_process, "in-process")


@pytest.mark.alone
def test_any_input_as_a_process(fuzzer, soak):
    check(soak, fuzzer, soak.times(4, 500), as_a_process, "as processes")
