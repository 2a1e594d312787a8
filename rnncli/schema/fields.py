"""Settings as dataclass fields: types, rules, and the conversion of written values.

A dataclass declares each setting once, as a field: the annotation gives the type, `setting(...)` default and rules.

    @dataclass(frozen=True)
    class Options:
        cutoffs: tuple[int, ...] = setting(minimum=1)        # no default: it must be given
        divisor: float = setting(4.0, above=1)

`Builder` makes such classes from mappings; the `Options` of output layers, optimizers and schedules are such classes.
Annotations: bool, int, float, str, Duration, Interval, Choice, a tuple of one of these, each also `| None`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import os
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass
from typing import Any

LARGEST_WHOLE_NUMBER = 2**31 - 1  # for a setting without a maximum
LONGEST_SECONDS = 1e9  # about 30 years
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}  # seconds in each unit of time
AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?)\s*([smhd]|sec|min|(?:second|minute|hour|day)s?)(?![a-z])\s*")
COUNT = re.compile(r"([0-9]{1,10})\s*(epoch|step)s?")


@dataclass(frozen=True)
class Duration:
    """A time in `seconds`; `text` is the user's spelling, kept for printing. Equality compares only seconds."""

    seconds: float
    text: str = dataclasses.field(default="", compare=False)

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read `90s`, `30m`, `2h`, `1h30m`, `1.5 hours`; raises ValueError for anything else."""
        amounts, rest = [], text.strip().lower()
        while found := AMOUNT.match(rest):
            amounts.append(float(found[1]) * UNITS[found[2][0]])
            rest = rest[found.end() :]
        if rest or not amounts or not math.fsum(amounts) <= LONGEST_SECONDS:
            raise ValueError(f"no time: {text!r}")
        return cls(math.fsum(amounts), text.strip())

    def canonical(self) -> str:
        """Return the same text for the same time, however it was written: `2h`, `90m`, `12.5s`; `parse` reads it."""
        for unit in ("h", "m"):
            if self.seconds and self.seconds % UNITS[unit] == 0:
                return f"{int(self.seconds / UNITS[unit])}{unit}"
        return f"{self.seconds!r}s".replace(".0s", "s")

    def __str__(self) -> str:
        return self.text or self.canonical()


@dataclass(frozen=True)
class Interval:
    """Every `count` epochs or steps, or every `count` seconds; `unit` is "epoch", "step" or "second"."""

    count: float  # a whole number of epochs or steps
    unit: str
    text: str = dataclasses.field(default="", compare=False)

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Read `1 epoch`, `500 steps`, `10m`; raises ValueError for anything else, `0 steps` too."""
        if found := COUNT.fullmatch(text.strip().lower()):
            interval = cls(int(found[1]), found[2], text.strip())
        else:
            interval = cls(Duration.parse(text).seconds, "second", text.strip())
        if not 0 < interval.count <= LARGEST_WHOLE_NUMBER:
            raise ValueError(f"no interval: {text!r}")
        return interval

    def canonical(self) -> str:
        """Return the same text for the same interval, however it was written; `parse` reads it."""
        if self.unit == "second":
            return Duration(self.count).canonical()
        return f"{int(self.count)} {self.unit}{'' if self.count == 1 else 's'}"

    def __str__(self) -> str:
        return self.text or self.canonical()


@dataclass(frozen=True)
class Choice:
    """A named choice with settings: `name` is a key of a table, `options` an instance of `Options` of that entry."""

    name: str
    options: Any

    @classmethod
    def of(cls, table: Mapping[str, Any], name: str) -> Choice:
        """Return the choice `name` of `table` with the defaults of its options; raises KeyError and TypeError."""
        return cls(name, options_of(table, name)())


@dataclass(frozen=True)
class NoOptions:
    """The empty options of a choice without settings."""


def options_of(table: Mapping[str, Any], name: str) -> type:
    """Return the dataclass that holds the settings of the choice `name`; raises KeyError for an unknown name."""
    options: type = getattr(table[name], "Options", NoOptions)
    return options


@dataclass(frozen=True)
class Rule:
    """Limits on a value: `minimum <= value <= maximum`, `above < value < below`, one of `choices`.

    `kind` is "path" (a file or folder; each item, for a tuple), "path or fraction", or "" to follow the annotation.
    `note` is appended to the message that rejects a value. `later`: the setting came after checkpoints existed; they
    store it only if it differs from the default.
    """

    kind: str = ""
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    below: float | None = None
    choices: Collection[str] | None = None  # for a Choice: its table
    rising: bool = False  # for a tuple: each number is above the previous one
    options_of: str = ""  # the setting of the same class that names the choice these options belong to
    note: str = ""
    later: bool = False

    def bounds(self) -> list[tuple[str, float, Callable[[Any, Any], bool]]]:
        """Return each bound that is set: its wording, the number, and the comparison that a value must satisfy."""
        four = [
            ("at least", self.minimum, operator.ge),
            ("above", self.above, operator.gt),
            ("at most", self.maximum, operator.le),
            ("below", self.below, operator.lt),
        ]
        return [(words, bound, holds) for words, bound, holds in four if bound is not None]

    def allows(self, number: float) -> bool:
        return math.isfinite(number) and all(holds(number, bound) for _, bound, holds in self.bounds())


def setting(default: Any = MISSING, **rules: Any) -> Any:
    """Return a dataclass field with `Rule(**rules)`; without `default` the setting must be given.

    Raises TypeError for an unknown rule, so that a typo stops the import.
    """
    return dataclasses.field(default=default, metadata={"rule": Rule(**rules)})


@dataclass(frozen=True)
class Setting:
    """One setting of a class: `type` is its annotation without `None` and without the tuple."""

    name: str
    type: Any
    many: bool
    optional: bool
    required: bool
    rule: Rule
    default: Any = None

    @property
    def kind(self) -> str:
        """A key of `KINDS`, "section" for a dataclass of settings, or "options" for those of a choice in it."""
        return "options" if self.rule.options_of else self.rule.kind or TYPES.get(self.type, "section")

    @property
    def holds_text(self) -> bool:
        """Whether unquoted `on` or `007` in a file is kept as text."""
        return self.kind in ("text", "path", "choice")


@functools.cache
def settings_of(cls: type) -> dict[str, Setting]:
    """Return the settings of the dataclass `cls` by name, in field order."""
    hints = typing.get_type_hints(cls)
    found = {}
    for field in dataclasses.fields(cls):
        hint, optional = hints[field.name], False
        if typing.get_origin(hint) in (types.UnionType, typing.Union):
            arms = typing.get_args(hint)
            optional, hint = type(None) in arms, arms[0]
        many = typing.get_origin(hint) is tuple
        kind = typing.get_args(hint)[0] if many else hint
        required = field.default is MISSING and field.default_factory is MISSING
        rule = field.metadata.get("rule", Rule())
        if kind is int and rule.maximum is None:
            rule = dataclasses.replace(rule, maximum=LARGEST_WHOLE_NUMBER)
        default = None if field.default is MISSING else field.default
        found[field.name] = Setting(field.name, kind, many, optional, required, rule, default)
    return found


def read_scalar(setting: Setting, value: object, folder: str | None = None) -> Any:
    """Return one value (one item, for a tuple) converted to the type of `setting`.

    `~` in a path is expanded, and the path becomes absolute, relative to `folder`; without a folder it is not changed.
    Raises ValueError or OverflowError, without a message, for a value that the setting does not accept.
    """
    if value is None and setting.optional:
        return None
    return KINDS[setting.kind][0](value, setting.rule, folder)


def _bool(value: object, rule: Rule, folder: str | None) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _int(value: object, rule: Rule, folder: str | None) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not rule.allows(value):
        raise ValueError
    return value


def _float(value: object, rule: Rule, folder: str | None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not rule.allows(float(value)):
        raise ValueError
    return float(value)


def _text(value: object, rule: Rule, folder: str | None) -> str:
    if not isinstance(value, str) or "\0" in value or (rule.choices is not None and value not in rule.choices):
        raise ValueError
    value.encode()  # a lone surrogate cannot be encoded: UnicodeEncodeError is a ValueError
    return value


def _path(value: object, rule: Rule, folder: str | None) -> str:
    path = _text(value, rule, folder)
    if not path.strip():
        raise ValueError
    if folder is None:
        return path
    os.fsencode(path)  # raises UnicodeEncodeError, a ValueError, for a character outside the locale's encoding
    return os.path.abspath(os.path.join(folder, os.path.expanduser(path)))


def _path_or_fraction(value: object, rule: Rule, folder: str | None) -> str | float:
    return _path(value, rule, folder) if isinstance(value, str) else _float(value, Rule(above=0, below=1), folder)


def _parsed(parse: Callable[[str], Any]) -> Callable[[object, Rule, str | None], Any]:
    return lambda value, rule, folder: parse(_text(value, rule, folder))


TYPES = {bool: "bool", int: "int", float: "float", str: "text"}
TYPES |= {Duration: "duration", Interval: "interval", Choice: "choice"}
# For each kind: the function that reads a value, and the wording of a message that asks for one.
KINDS: dict[str, tuple[Callable[[object, Rule, str | None], Any], str]] = {
    "bool": (_bool, "true or false"),
    "int": (_int, "a whole number"),
    "float": (_float, "a number"),
    "text": (_text, "a text"),
    "path": (_path, "a path"),
    "path or fraction": (_path_or_fraction, "a path, or a fraction between 0 and 1 such as 0.1"),
    "duration": (_parsed(Duration.parse), "a time with its unit, such as 90s, 30m or 2h"),
    "interval": (_parsed(Interval.parse), "a number of epochs or steps, or a time, such as 1 epoch, 500 steps or 10m"),
    "choice": (_text, "a name"),
}
