"""From what was written to dataclasses of settings, with every fault told: where it is, which key, what would do.

What was written is a tree of `Node`, each with the `Source` it came from: a line of a file, a `--set`, or nothing.
Nothing here knows YAML, or which settings there are.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rnncli.errors import ConfigError
from rnncli.settings import KINDS, LARGEST_WHOLE_NUMBER, Choice, Setting, options_of, read_scalar, settings_of

MOST_FAULTS = 100  # shown of one config: a corpus given by mistake has one a line
LONGEST = 60  # characters of a value or key that a message shows

Path = tuple[str, ...]
"""A key: ("model", "cell") is `model.cell`."""


@dataclass(frozen=True)
class Source:
    """Where a value was written: `label` as messages show it ("ptb.yaml:7"), `folder` that its paths are relative to.

    Faults are told by rising `order`. Without a folder, paths stay as they are.
    """

    label: str = ""
    folder: str | None = None
    order: int = 0


@dataclass(frozen=True)
class Node:
    """A written value: a dict or list of nodes, or a scalar with its `text` as written, None where there is none."""

    value: Any
    source: Source = Source()
    text: str | None = None

    @classmethod
    def of(cls, value: object) -> Node:
        """Return nodes for a plain value that was written nowhere."""
        if isinstance(value, Mapping):
            return cls({str(key): cls.of(item) for key, item in value.items()})
        return cls([cls.of(item) for item in value] if isinstance(value, list | tuple) else value)

    def at(self, path: Path) -> Node:
        """Return the node at `path`, or the last one on the way to it."""
        below = self.value.get(path[0]) if path and isinstance(self.value, dict) else None
        return below.at(path[1:]) if below else self


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, told as `label: key message`; the key may be empty."""

    source: Source
    key: str
    message: str

    def __str__(self) -> str:
        where = f"{self.source.label}: " if self.source.label else ""
        return f"{where}{self.key} {self.message}" if self.key else where + self.message


def raise_faults(faults: Collection[Fault]) -> None:
    """Raise ConfigError with all faults, one a line in the order of their sources, if there are any."""
    lines = [str(fault) for fault in sorted(faults, key=lambda fault: fault.source.order)]
    if len(lines) > MOST_FAULTS:
        lines[MOST_FAULTS:] = [f"… and {len(lines) - MOST_FAULTS} more"]
    if lines:
        raise ConfigError("\n".join(lines))


class Builder:
    """Makes the dataclass of settings `root` from nodes; what cannot be made is None, and told in `faults`."""

    def __init__(self, root: type, faults: list[Fault]) -> None:
        self.root = root
        self.faults = faults

    def build(self, node: Node) -> Any:
        return self._section(self.root, node, ())

    def _fault(self, node: Node, path: Path, message: str) -> Any:
        """Note a fault; None, to stand for the value."""
        self.faults.append(Fault(node.source, dotted(path), message))

    def _section(self, cls: type, node: Node, path: Path) -> Any:
        """A dataclass of settings; an empty section (null) has its defaults."""
        known, entries = settings_of(cls), node.value if isinstance(node.value, dict) else {}
        if entries is not node.value and node.value is not None:
            self._fault(node, path, f"is {shown(node.value)}; it is a section: write its keys below it")
        for name, entry in entries.items():
            if name not in known:
                self._fault(entry, (*path, name), unknown_key(self.root, path, name, known))
        return cls(**self._values(known, entries, node, path))

    def _values(
        self, known: Mapping[str, Setting], entries: Mapping[str, Node], node: Node, path: Path
    ) -> dict[str, Any]:
        """The values of the settings that are given, and a fault for each that is missing."""
        values = {}
        for name, setting in known.items():
            if name in entries:
                values[name] = self._value(setting, entries[name], (*path, name))
            elif setting.kind == "section":
                values[name] = self._section(setting.type, Node(None, node.source), (*path, name))
            elif setting.required:
                values[name] = self._fault(node, (*path, name), f"is missing; {wanted(setting)}")
        return values

    def _value(self, setting: Setting, node: Node, path: Path) -> Any:
        if setting.kind == "section":
            return self._section(setting.type, node, path)
        if setting.kind == "choice":
            return self._choice(setting, node, path)
        if not setting.many or (node.value is None and setting.optional):
            return self._scalar(setting, node, path)
        items = node.value if isinstance(node.value, list) else [node]  # one path stands for a list of one
        if setting.required and not items:
            self._fault(node, path, f"is an empty list; {wanted(setting)}")
        one, faults = replace(setting, optional=False), len(self.faults)
        values = tuple(self._scalar(one, item, path) for item in items)
        if setting.rule.rising and len(self.faults) == faults and sorted(set(values)) != list(values):
            self._fault(node, path, "is a list that does not rise; put the smaller numbers first, each once")
        return values

    def _scalar(self, setting: Setting, node: Node, path: Path) -> Any:
        as_text = setting.holds_text and node.text is not None and node.value is not None
        value = node.text if as_text else node.value
        try:
            return read_scalar(setting, value, node.source.folder)
        except (ValueError, OverflowError):
            written = shown(value) if node.text is None or isinstance(value, str) else node.text or "empty"
            return self._fault(node, path, f"is {written}; {wanted(setting, value)}")

    def _choice(self, setting: Setting, node: Node, path: Path) -> Any:
        """A bare name, or a mapping of `name` and the settings of that choice."""
        table = setting.rule.choices
        assert isinstance(table, Mapping)
        if not isinstance(node.value, dict):
            name, entries = self._scalar(setting, node, path), {}
        elif "name" not in node.value:
            return self._fault(node, (*path, "name"), f"is missing; {wanted(setting)}")
        else:
            entries = dict(node.value)
            name = self._scalar(setting, entries.pop("name"), (*path, "name"))
        if name is None:
            return None
        known = settings_of(options_of(table, name))
        for key, entry in entries.items():
            if key not in known:
                self._fault(entry, (*path, key), _unknown_option(table, name, key))
        return Choice(name, options_of(table, name)(**self._values(known, entries, node, path)))


def unknown_key(root: type, path: Path, name: str, known: Collection[str]) -> str:
    """Return what to say of the key `name`, which the section of `root` at `path` does not have."""
    sections = {key: settings_of(each.type) for key, each in settings_of(root).items() if each.kind == "section"}
    places = {inner: f"{key}.{inner}" for key, settings in sections.items() for inner in settings}
    if not path and name in places.values():
        return "has a dot in it; write `{}:` and below it, indented, `{}:`".format(*name.split("."))
    if name in places:
        guess: str | None = places[name]  # right, but in another section
    elif near := nearest(name, known):
        guess = dotted((*path, near))
    else:
        guess = places.get(nearest(name, places) or "")
    return f"is not a known key; {'section ' + dotted(path) if path else 'a config'} has {listed(known, 'and')}" + (
        f" (did you mean {guess}?)" if guess else ""
    )


def _unknown_option(table: Mapping[str, Any], name: str, key: str) -> str:
    """What to say of a key that the choice `name` does not take."""
    known = settings_of(options_of(table, name))
    others = [other for other in table if key in settings_of(options_of(table, other))]
    near = nearest(key, known)
    takes = f"its keys are {listed(['name', *known], 'and')}" if known else "it has none of its own"
    guess = f" (did you mean name: {listed(others)}?)" if others else f" (did you mean {near}?)" if near else ""
    return f"is not a key of {name}; {takes}{guess}"


def wanted(setting: Setting, value: object = None) -> str:
    """Return what would do in place of `value`: "choose rnn, lstm or gru (did you mean lstm?)", "give a path"."""
    rule = setting.rule
    if rule.choices is not None:
        text = f"choose {listed(rule.choices)}"
    elif rule.minimum is not None and rule.minimum == rule.maximum:
        text = f"give {rule.minimum}"
    else:
        text = f"give {KINDS[setting.kind][1]}"
        for words, bound, _ in rule.bounds():
            # that a size is below 2**31 is said to those alone who break it
            if bound != LARGEST_WHOLE_NUMBER or (isinstance(value, int) and value > bound):
                text += f", {words} {bound}"
    text += " or a list of such" if setting.many else ""
    text += ", or null" if setting.optional else ""
    text += f": {rule.note}" if rule.note else ""
    near = nearest(value, rule.choices) if rule.choices is not None and isinstance(value, str) else None
    return text + (f" (did you mean {near}?)" if near else "")


def nearest(word: str, known: Collection[str]) -> str | None:
    """Return the name in `known` that `word` most likely stands for, or None."""
    plain = word[:LONGEST].strip().lower().replace("-", "_").replace(" ", "_")
    close = [plain] if plain in known else difflib.get_close_matches(plain, known, n=1)
    part = [name for name in known if len(plain) > 2 and plain in name]
    initials = [name for name in known if "_" in name and plain == "".join(word[:1] for word in name.split("_"))]
    return next(iter(close + part + initials), None)


def listed(names: Collection[str], last: str = "or") -> str:
    """Return `a, b or c`."""
    *most, end = names
    return f"{', '.join(most)} {last} {end}" if most else end


def dotted(path: Path) -> str:
    """Return a key as messages show it; odd characters are escaped, a long one is shortened."""
    return ".".join(part if part and part.isprintable() and len(part) <= LONGEST else shown(part) for part in path)


def shown(value: object) -> str:
    """Return a value as a message shows it: short, quoted if it is text, in YAML's words otherwise."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if isinstance(value, int) and abs(value) >= 10**LONGEST:
        return "a huge number"  # str() refuses an int of more than 4300 digits
    text = repr(value[: LONGEST + 1] if isinstance(value, str) else value)
    return text if len(text) <= LONGEST + 2 else text[:LONGEST] + "…" + text[-1]
