"""Settings in the name of a run folder: `run.dir: runs/h{model.hidden_size}`."""

from __future__ import annotations

import dataclasses
import re

from rnncli.config.config import Config, dotted, portable_dict
from rnncli.schema.suggestions import nearest, shown

SETTING = re.compile(r"\{([^{}/]*)\}")


def expanded(config: Config) -> Config:
    """The config with each `{section.key}` in `run.dir` replaced by the value of that setting.

    Raises ValueError for an unknown key, and for a value that cannot be part of the name of a folder.
    """
    if config.run.dir is None or not SETTING.search(config.run.dir):
        return config
    known, usable = _values(config), names(config)

    def value_of(found: re.Match[str]) -> str:
        key = found[1]
        if key not in known:
            near = nearest(key, known)
            raise ValueError(
                f"names {found[0]}, which is not a setting" + (f"; did you mean {{{near}}}?" if near else "")
            )
        if key not in usable:
            raise ValueError(f"names {found[0]}, which is {shown(known[key])}, and cannot name a folder")
        return usable[key]

    return dataclasses.replace(config, run=dataclasses.replace(config.run, dir=SETTING.sub(value_of, config.run.dir)))


def names(config: Config) -> dict[str, str]:
    """The settings whose values can be part of the name of a folder, as text by dotted key."""
    texts = {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in _values(config).items()
        if isinstance(value, bool | int | float | str)
    }
    return {key: text for key, text in texts.items() if text.isprintable() and "/" not in text}


def _values(config: Config) -> dict[str, object]:
    """The settings by dotted key; a choice such as `model.output` stands for its name too."""
    found = dotted(portable_dict(config))
    return found | {key.removesuffix(".name"): value for key, value in found.items() if key.count(".") == 2}
