"""Configs as YAML files: `read` (with --set options), `to_yaml` and `write`.

Only a small, safe subset of YAML is read: mappings, lists and scalars in one document, nested a few levels. The tree is
built from PyYAML's events, not by its constructors: these read `1e-3` as text and `1:30` as 90, keep the last of two
equal keys, and lose the line of a value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from rnncli.config import run_dir
from rnncli.config.config import Config, build, map_paths, to_dict
from rnncli.config.file_text import LARGEST_FILE, STDIN, STDIN_LABEL, read_text, unreadable
from rnncli.errors import ConfigError
from rnncli.schema.builder import Fault, Node, Source, raise_faults
from rnncli.schema.suggestions import dotted, shown
from rnncli.system import disk

MOST_NODES = 20_000  # PyYAML needs about a second for this number
DEEPEST = 16  # levels of nesting; a config has four
AFTER_THE_FILE = 1 << 40  # sorts the faults of --set after those of the file

BOOLS = {**dict.fromkeys(("true", "on", "yes"), True), **dict.fromkeys(("false", "off", "no"), False)}
NULLS = ("", "~", "null")
# Bounded: Python cannot parse an int of more than 4300 digits. Longer numbers stay text, and are refused.
INT = re.compile(r"[-+]?[0-9][0-9_]{0,59}")
FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]{0,59}(?:\.[0-9_]{0,59})?|\.[0-9][0-9_]{0,59})(?:e[-+]?[0-9]{1,9})?")
# Remedies, by a part of PyYAML's message.
HINTS = {
    "'\\t'": "indent with spaces, not with tabs",
    "mapping values are not allowed": "write one `key: value` per line, and quote a value that has a colon in it",
    "quoted scalar": "close the quote",
    "flow sequence": "close the bracket, with commas between the items",
    "flow mapping": "close the brace, with commas between the entries",
    "block mapping": "keys of one section start in the same column",
    "could not find expected ':'": "write `key: value`",
    "start any token": "quote the value",
    "alias": "quote a value that starts with *",
    "anchor": "quote a value that starts with &",
}


def read(
    path: str | os.PathLike[str], overrides: Sequence[str] = (), options: Mapping[str, str] = MappingProxyType({})
) -> Config:
    """Return the config in the file at `path`, changed by `overrides` such as "model.cell=gru", as given to --set.

    The value of an override is YAML. Paths in the file are relative to its folder, those in overrides to the current
    folder. `path` "-" is standard input, in the current folder. options: for overrides that were given by an option of
    their own, that option, which messages name: {"training.epochs=5": "--epochs"}.

    Raises ConfigError: for a file that cannot be read as YAML, or with all faults of the file and of the overrides, one
    per line. Does not check that the texts exist.
    """
    name, faults = os.fspath(path), list[Fault]()
    text = read_text(name)
    try:
        here = os.getcwd()
    except OSError:
        raise ConfigError("the current folder does not exist any more", remedy="change to another") from None
    label = STDIN_LABEL if name == STDIN else name
    root = _Composer(Source(label, os.path.dirname(os.path.join(here, name))), faults).document(text)
    if root.value is None:
        raise ConfigError(
            "the file is empty", location=label, remedy="it needs at least data.train, the text to train on"
        )
    if not isinstance(root.value, dict):
        raise ConfigError(
            f"this is {shown(root.value)}, not a config",
            location=root.source.label,
            remedy="write sections, such as data: and below it train: and a path",
        )
    for number, override in enumerate(overrides):
        label = options.get(override) or f"--set {override if override.isprintable() else shown(override)}"
        source = Source(label, here, AFTER_THE_FILE + number, is_key=override in options)
        _set_(root, override, source, faults)
    config = build(root, faults)
    try:
        return run_dir.expanded(config)
    except ValueError as error:
        raise_faults([Fault(root.at(("run", "dir")).source, "run.dir", str(error))])
        raise


def to_yaml(config: Config, folder: str | os.PathLike[str]) -> str:
    """Return a config as YAML with paths relative to `folder`; `read` of a file there returns the same config."""
    absolute = os.path.abspath(folder)

    def relative(path: str) -> str:
        short = os.path.relpath(path, absolute)
        # ./ before `~x`, which would be expanded, and before a file named `0.1`, which would be read as a fraction
        return os.path.join(os.curdir, short) if short.startswith("~") or _scalar(short) != short else short

    plain = to_dict(map_paths(config, relative))
    text: str = yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=LARGEST_FILE)
    return text


def write(config: Config, path: str | os.PathLike[str]) -> None:
    """Write a config to the file at `path` atomically. Raises WriteError."""
    name = os.fspath(path)
    with disk.writing(Path(name)), disk.replacing(Path(name)) as file:
        file.write(to_yaml(config, os.path.dirname(os.path.abspath(name))).encode())


class _Dumper(yaml.SafeDumper):
    """Quotes strings that PyYAML would write in a form that it cannot read back, such as U+0085."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = None if data.isprintable() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_Dumper.add_representer(str, _Dumper.represent_str)


def _scalar(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar: YAML 1.1 without octal, base 60, dates, infinity and NaN, but with `1e-3`."""
    word = text.lower()
    if word in NULLS:
        return None
    if word in BOOLS:
        return BOOLS[word]
    if INT.fullmatch(word):
        return int(word.replace("_", ""))
    return float(word.replace("_", "")) if FLOAT.fullmatch(word) else text


class _Composer:
    """Builds nodes from the events of one YAML text; adds duplicate keys to `faults`, raises ConfigError otherwise.

    `start` is the source of the text. If `lines`, the source of a node has the line in its label.
    """

    def __init__(self, start: Source, faults: list[Fault], lines: bool = True) -> None:
        self.start, self.faults, self.lines, self.nodes = start, faults, lines, 0

    def source(self, line: int) -> Source:
        """The source of line `line`, counted from 0."""
        return Source(f"{self.start.label}:{line + 1}", self.start.folder, line) if self.lines else self.start

    def refuse(self, line: int, problem: str, remedy: str) -> ConfigError:
        return ConfigError(problem, location=self.source(line).label, remedy=remedy)

    def document(self, text: str, path: tuple[str, ...] = ()) -> Node:
        """Return the root of the only document in a text, a null node if the text is empty. `path`: key of the root."""
        try:
            return self._document(yaml.parse(text, Loader=yaml.SafeLoader), path)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            problem = " ".join(filter(None, (error.context, error.problem)))
            hint = next((hint for piece, hint in HINTS.items() if piece in problem), "write `key: value` lines")
            raise self.refuse(mark.line if mark else 0, f"not valid YAML: {problem}", hint) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position)
            problem = f"the character {error.character:#x} is not allowed in YAML"
            raise self.refuse(line, problem, "remove it") from None
        except (ValueError, OverflowError):  # "\UFFFFFFFF", %YAML 99…9.1
            problem = "not valid YAML: a character or version has too large a number"
            raise ConfigError(problem, location=self.start.label, remedy="remove it") from None

    def _document(self, events: Iterator[Any], path: tuple[str, ...]) -> Node:
        root = Node(None, self.source(0))
        for event in events:
            line = event.start_mark.line
            if isinstance(event, yaml.DocumentStartEvent) and (root.text is not None or root.value is not None):
                raise self.refuse(line, "a second document starts here", "keep one of them")
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event, events, path)
        return root

    def _node(self, event: Any, events: Iterator[Any], path: tuple[str, ...], at: int | None = None) -> Node:
        """Return the node that starts with `event`; `at` is the line of its key, for messages."""
        line = event.start_mark.line
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise self.refuse(line, f"more than {MOST_NODES} keys and values, so not a config", "remove some")
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            problem = "anchors and aliases (& and *) are not supported"
            raise self.refuse(line, problem, "write the value out, or quote it")
        if event.tag is not None:
            tag = shown(event.tag.replace("tag:yaml.org,2002:", "!!"))
            raise self.refuse(line, f"tags such as {tag} are not supported", "remove it, or quote the value")
        source = self.source(line if at is None else at)
        if isinstance(event, yaml.ScalarEvent):
            return Node(_scalar(event.value) if event.implicit[0] else event.value, source, event.value)
        if len(path) >= DEEPEST:
            raise self.refuse(
                line, f"nested more than {DEEPEST} levels deep", "a config has sections with keys and values"
            )
        if isinstance(event, yaml.MappingStartEvent):
            return Node(self._entries(events, path), source)
        items: list[Node] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._node(event, events, (*path, "[]")))
        return Node(items, source)

    def _entries(self, events: Iterator[Any], path: tuple[str, ...]) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            line = event.start_mark.line
            if not isinstance(event, yaml.ScalarEvent):
                problem = "a key must be a word, not a list, a mapping or an alias"
                raise self.refuse(line, problem, "write `key: value`")
            key = self._node(event, events, path).text or ""
            if key in entries:
                message = f"is given twice, first in line {lines[key] + 1}; keep one of them"
                self.faults.append(Fault(self.source(line), dotted((*path, key)), message))
            entries[key] = self._node(next(events), events, (*path, key), line)
            lines[key] = line
        return entries


def _set_(root: Node, override: str, source: Source, faults: list[Fault]) -> None:
    """Put the value of one --set into the tree: a mapping is merged into its section, other values replace."""
    key, equals, text = override.partition("=")
    *path, last = (part.strip() for part in key.split("."))
    if not equals or not all((*path, last)):
        faults.append(Fault(source, "", "write it as key=value, such as --set model.cell=gru"))
        return
    if problem := unreadable(text):
        faults.append(Fault(source, "", problem))
        return
    try:
        value = _Composer(source, faults, lines=False).document(text, (*path, last))
    except ConfigError as error:
        faults.append(Fault(Source(order=source.order), "", str(error)))
        return
    node = root
    for part in path:
        below = node.value.get(part)
        if below is None or below.value is None:
            below = Node({}, below.source if below else source)
        elif not isinstance(below.value, dict):
            below = Node({"name": below}, source)  # `output: adaptive` in the file, then --set model.output.cutoffs=…
        node.value[part] = node = below
    if not path and isinstance(value.value, dict) and last in node.value and isinstance(node.value[last].value, dict):
        value = Node(node.value[last].value | value.value, source)
    node.value[last] = value
