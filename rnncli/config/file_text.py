"""The text of a config, from a file or from standard input."""

from __future__ import annotations

import os
import sys

from rnncli.errors import ConfigError, reason
from rnncli.schema.suggestions import UTF8_LOCALE, listed, nearest, shown

LARGEST_FILE = 1 << 20  # bytes
STDIN, STDIN_LABEL = "-", "standard input"


def read_text(name: str) -> str:
    """Return the text of a file, or of standard input if the name is `-`.

    Raises ConfigError if it cannot be read, is too large, or is not UTF-8.
    """
    data = _stdin() if name == STDIN else _file(name)
    location = STDIN_LABEL if name == STDIN else name
    if len(data) > LARGEST_FILE:
        raise ConfigError(
            "is larger than 1 MiB, so not a config", location=location, remedy="give a text to train on as data.train"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"not UTF-8: byte 0x{data[error.start]:02x} at byte {error.start}",
            location=f"{location}:{line}",
            remedy="save the file as UTF-8",
        ) from None


def unreadable(argument: str) -> str | None:
    """Return what is wrong with a command-line argument that Python could not read as text; None if nothing is."""
    if not any("\ud800" <= c <= "\udfff" for c in argument):
        return None
    encoding = sys.getfilesystemencoding()
    if encoding == "utf-8":
        return "is not UTF-8; rename the file"
    return f"cannot be read in the {encoding} of this locale; {UTF8_LOCALE}"


def _stdin() -> bytes:
    if sys.stdin is None:
        raise ConfigError("is closed", location=STDIN_LABEL, remedy="name a config file")
    return sys.stdin.buffer.read(LARGEST_FILE + 1)


def _file(name: str) -> bytes:
    try:
        with open(name, "rb") as file:
            return file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        meant, found = _nearby(name)
        raise ConfigError(f"no such file{meant}", location=name, remedy=found) from None
    except IsADirectoryError:
        _, found = _nearby(os.path.join(name, ""))
        remedy = "; ".join(filter(None, ("give the path of a config file", found)))
        raise ConfigError("is a folder", location=name, remedy=remedy) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {reason(error)}", location=name) from None
    except ValueError:
        raise ConfigError("not a valid file name", location=shown(name)) from None


def _nearby(name: str) -> tuple[str, str]:
    """Hints, for a message, at YAML files: the one that the user may have meant; else those found."""
    folder, base = os.path.split(name)
    found = []
    for place in (folder, os.path.join(folder, "configs")):
        try:
            names = sorted(os.listdir(place or os.curdir))
        except (OSError, ValueError):
            continue
        found += [os.path.join(place, each) for each in names if each.endswith((".yaml", ".yml"))]
    stems = {os.path.splitext(os.path.basename(each))[0].lower(): each for each in reversed(found)}
    near = nearest(os.path.splitext(base)[0], stems) if base else None
    if near:
        return f" (did you mean {stems[near]}?)", ""
    return "", f"found {listed(found[:5], 'and')}" if found else ""
