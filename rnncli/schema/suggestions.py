"""Messages about settings: unknown keys, accepted values and "did you mean" suggestions."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Collection, Mapping
from typing import Any

from rnncli.schema.fields import KINDS, LARGEST_WHOLE_NUMBER, Setting, options_of, read_scalar, settings_of

LONGEST = 60  # characters of a value or key that a message shows
UNITS_MEANT = {"duration": "s", "interval": " steps"}  # by a number without unit
UTF8_LOCALE = "set PYTHONUTF8=1, or LC_ALL to a UTF-8 locale"

Path = tuple[str, ...]
"""A key: ("model", "cell") is `model.cell`."""


def unknown_key(root: type, path: Path, name: str, known: Collection[str]) -> str:
    """Return the message for the key `name`, which the section of `root` at `path` does not have."""
    sections = {key: settings_of(each.type) for key, each in settings_of(root).items() if each.kind == "section"}
    places = {
        inner: f"{key}.{inner}"
        for key, settings in sections.items()
        for inner in _keys(settings)
        if (key,) != path or inner in known  # an option of another choice is no key here
    }
    if not path and name in places.values():
        return "has a dot in it; write `{}:` and below it, indented, `{}:`".format(*name.split("."))
    if name in places:
        guess: str | None = places[name]  # the right name, but it belongs to another section
    elif near := nearest(name, known):
        guess = dotted((*path, near))
    else:
        guess = places.get(nearest(name, places) or "")
    return f"is not a known key; {'section ' + dotted(path) if path else 'a config'} has {listed(known, 'and')}" + (
        f" (did you mean {guess}?)" if guess else ""
    )


def _keys(settings: Mapping[str, Setting]) -> list[str]:
    """The keys of a section, including the options of its choices."""
    keys = []
    for name, each in settings.items():
        if each.kind != "options":
            keys.append(name)
            continue
        table = settings[each.rule.options_of].rule.choices
        assert isinstance(table, Mapping)
        keys += dict.fromkeys(key for choice in table for key in settings_of(options_of(table, choice)))
    return keys


def unknown_option(table: Mapping[str, Any], name: str, key: str) -> str:
    """Return the message for a key that the choice `name` does not take."""
    known = settings_of(options_of(table, name))
    others = [other for other in table if key in settings_of(options_of(table, other))]
    near = nearest(key, known)
    takes = f"its keys are {listed(['name', *known], 'and')}" if known else "it takes no options"
    guess = f" (did you mean name: {listed(others)}?)" if others else f" (did you mean {near}?)" if near else ""
    return f"is not a key of {name}; {takes}{guess}"


def wanted(setting: Setting, value: object = None) -> str:
    """Return the remedy for `value`: "choose rnn, lstm or gru (did you mean lstm?)", "give a path".

    value: as YAML reads it: 1000.0 for 1e3, which is no whole number, and a text if it was quoted.
    """
    rule = setting.rule
    if setting.kind.startswith("path") and isinstance(value, str) and (encoding := _too_narrow(value)):
        return f"file names in this locale are {encoding}; {UTF8_LOCALE}"
    if rule.choices is not None:
        text = f"choose {listed(rule.choices)}"
    elif rule.minimum is not None and rule.minimum == rule.maximum:
        text = f"give {rule.minimum}"
    else:
        text = f"give {KINDS[setting.kind][1]}"
        for words, bound, _ in rule.bounds():
            # mention the limit of 2**31 - 1 only if the value exceeds it
            if bound != LARGEST_WHOLE_NUMBER or (isinstance(value, int) and value > bound):
                text += f", {words} {bound}"
    text += " or a list of such" if setting.many else ""
    text += ", or null" if setting.optional else ""
    text += f": {rule.note}" if rule.note else ""
    if rule.choices is None:
        near = _meant(setting, value)
    else:
        near = nearest(value, rule.choices) if isinstance(value, str) else None
    return text + (f" (did you mean {near}?)" if near else "")


def _too_narrow(path: str) -> str | None:
    """The encoding of file names, if it lacks a character of the path."""
    encoding = sys.getfilesystemencoding()
    try:
        path.encode(encoding, sys.getfilesystemencodeerrors())
    except UnicodeEncodeError:
        return None if encoding == "utf-8" else encoding
    return None


def _meant(setting: Setting, value: object) -> str | None:
    """The value that a number or a quoted value probably means: `1000`, `0.001, without quotes`, `3600s`."""
    text = str(value)[:LONGEST].strip().lower()
    guess: object = {"true": True, "false": False}.get(text)
    try:
        if setting.kind in UNITS_MEANT:
            guess = f"{float(text):.10g}{UNITS_MEANT[setting.kind]}"
        elif guess is None:
            number = float(text)
            guess = int(number) if number.is_integer() else number
        read_scalar(setting, guess)
    except (ValueError, OverflowError):
        return None
    if isinstance(guess, str):
        return guess
    return shown(guess) + (", without quotes" if isinstance(value, str) else "")


def nearest(word: str, known: Collection[str]) -> str | None:
    """Return the name in `known` that `word` most likely means, or None."""
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
    """Return a key as messages show it, unprintable characters escaped and long keys shortened."""
    return ".".join(part if part and part.isprintable() and len(part) <= LONGEST else shown(part) for part in path)


def shown(value: object) -> str:
    """Return a value as messages show it: short, quoted if it is text, otherwise in YAML notation."""
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


def shortened(text: str) -> str:
    """Return the first characters of a text, with `…` in place of the rest."""
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun: `1 line`, `2,000 lines`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
