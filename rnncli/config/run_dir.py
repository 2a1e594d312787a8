"""Settings in the name of a run folder: `run.dir: runs/h{model.hidden_size}`."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from rnncli.config.config import Config, portable_dict
from rnncli.schema.suggestions import nearest, shown

SETTING = re.compile(r"\{(\w+(?:\.\w+)+)\}")


def expanded(config: Config) -> Config:
    """The config with each `{section.key}` in `run.dir` replaced by the value of that setting.

    Raises ValueError for an unknown key, and for a value that cannot be part of the name of a folder.
    """
    if config.run.dir is None or not SETTING.search(config.run.dir):
        return config
    values = _values(config)

    def value_of(found: re.Match[str]) -> str:
        key = found[1]
        if key not in values:
            near = nearest(key, values)
            raise ValueError(
                f"names {found[0]}, which is not a setting" + (f"; did you mean {{{near}}}?" if near else "")
            )
        if not can_name(config, key):
            raise ValueError(f"names {found[0]}, which is {shown(values[key])}, and cannot name a folder")
        return _text(values[key])

    return dataclasses.replace(config, run=dataclasses.replace(config.run, dir=SETTING.sub(value_of, config.run.dir)))


def can_name(config: Config, key: str) -> bool:
    """Whether the value of a setting can be part of the name of a folder."""
    value = _values(config).get(key)
    return isinstance(value, bool | int | float | str) and _text(value).isprintable() and "/" not in _text(value)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _values(config: Config) -> dict[str, Any]:
    """The settings by dotted key; a choice such as `model.output` stands for its name too."""

    def flat(prefix: str, content: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in content.items():
            found |= flat(f"{prefix}{name}.", value) if isinstance(value, dict) else {f"{prefix}{name}": value}
            if isinstance(value, dict) and "name" in value:
                found[f"{prefix}{name}"] = value["name"]
        return found

    return flat("", portable_dict(config))
