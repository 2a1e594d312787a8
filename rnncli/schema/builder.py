"""Build dataclasses of settings from a tree of written values, and report every fault with its source, key and remedy.

Each `Node` of the tree has a `Source`: a line of a file, a `--set` option, or none. This module depends neither on YAML
nor on particular settings.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rnncli.errors import ConfigError
from rnncli.schema.fields import Choice, Setting, options_of, read_scalar, settings_of
from rnncli.schema.suggestions import Path, dotted, shown, unknown_key, unknown_option, wanted

MOST_FAULTS = 100  # shown for one config: a corpus given by mistake has one on every line


@dataclass(frozen=True)
class Source:
    """Where a value was written: `label` as messages show it ("ptb.yaml:7"), `folder` that its paths are relative to.

    Faults are reported by rising `order`. Without a folder, paths are not changed. `is_key`: the label stands for the
    key, as "--max-time" does.
    """

    label: str = ""
    folder: str | None = None
    order: int = 0
    is_key: bool = False


@dataclass(frozen=True)
class Node:
    """A written value: a dict or list of nodes, or a scalar with its `text` as written (None: not from text)."""

    value: Any
    source: Source = Source()
    text: str | None = None

    @classmethod
    def of(cls, value: object) -> Node:
        """Return nodes for a plain value that has no source."""
        if isinstance(value, Mapping):
            return cls({str(key): cls.of(item) for key, item in value.items()})
        return cls([cls.of(item) for item in value] if isinstance(value, list | tuple) else value)

    def at(self, path: Path) -> Node:
        """Return the node at `path`, or the last one on the way to it."""
        below = self.value.get(path[0]) if path and isinstance(self.value, dict) else None
        return below.at(path[1:]) if below else self


@dataclass(frozen=True)
class Fault:
    """One fault, shown as `label: key message`, or `label message` if the label stands for the key, or without key."""

    source: Source
    key: str
    message: str

    def __str__(self) -> str:
        if self.source.is_key:
            return f"{self.source.label} {self.message}"
        where = f"{self.source.label}: " if self.source.label else ""
        return f"{where}{self.key} {self.message}" if self.key else where + self.message


def raise_faults(faults: Collection[Fault]) -> None:
    """Raise ConfigError with all faults, if any, one per line in the order of their sources."""
    lines = [str(fault) for fault in sorted(faults, key=lambda fault: fault.source.order)]
    if len(lines) > MOST_FAULTS:
        lines[MOST_FAULTS:] = [f"… and {len(lines) - MOST_FAULTS} more"]
    if lines:
        raise ConfigError("\n".join(lines))


class Builder:
    """Builds the dataclass of settings `root` from nodes; records faults in `faults` and uses None for those values."""

    def __init__(self, root: type, faults: list[Fault]) -> None:
        self.root = root
        self.faults = faults

    def build(self, node: Node) -> Any:
        return self._section(self.root, node, ())

    def _fault(self, node: Node, path: Path, message: str) -> Any:
        """Add a fault; returns None in place of the value."""
        self.faults.append(Fault(node.source, dotted(path), message))

    def _section(self, cls: type, node: Node, path: Path) -> Any:
        """A dataclass of settings; an empty section (null) takes its defaults."""
        known, entries = settings_of(cls), node.value if isinstance(node.value, dict) else {}
        if entries is not node.value and node.value is not None:
            named = any(each.kind == "options" for each in known.values())
            remedy = f"write {dotted(path)}: {{name: ...}}" if named else "write its keys below it"
            self._fault(node, path, f"is {shown(node.value)}; it is a section: {remedy}")
        flat = next((each for each in known.values() if each.kind == "options"), None)
        if flat is not None:
            return self._section_with_options(cls, flat, entries, node, path)
        for name, entry in entries.items():
            if name not in known:
                self._fault(entry, (*path, name), unknown_key(self.root, path, name, known))
        return cls(**self._values(known, entries, node, path))

    def _section_with_options(
        self, cls: type, flat: Setting, entries: Mapping[str, Node], node: Node, path: Path
    ) -> Any:
        """A dataclass with a setting that names a choice; the options of that choice are keys of the same section."""
        known = {name: each for name, each in settings_of(cls).items() if each is not flat}
        values = self._values(known, entries, node, path)
        choice = known[flat.rule.options_of]
        table = choice.rule.choices
        assert isinstance(table, Mapping)
        name = values.get(choice.name, choice.default)
        if name is None:  # a fault: the options of the choice are not known
            return cls(**values)
        options = settings_of(options_of(table, name))
        for key, entry in entries.items():
            if key in known or key in options:
                continue
            of_another = any(key in settings_of(options_of(table, other)) for other in table)
            message = unknown_option(table, name, key) if of_another else None
            message = message or unknown_key(self.root, path, key, [*known, *options])
            self._fault(entry, (*path, key), message)
        of_choice = options_of(table, name)(**self._values(options, entries, node, path))
        return cls(**values, **{flat.name: of_choice})

    def _values(
        self, known: Mapping[str, Setting], entries: Mapping[str, Node], node: Node, path: Path
    ) -> dict[str, Any]:
        """The values of the settings that are given; adds a fault for each required one that is missing."""
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
        items = node.value if isinstance(node.value, list) else [node]  # a single path is a list of one
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
                self._fault(entry, (*path, key), unknown_option(table, name, key))
        return Choice(name, options_of(table, name)(**self._values(known, entries, node, path)))
