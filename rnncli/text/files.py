"""Text files as bytes: found by path, pattern or folder, decompressed, and watched for change while they are read."""

from __future__ import annotations

import difflib
import glob
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rnncli.errors import TextError
from rnncli.text.compression import MEMBERS, DamagedError, Decompressed

Source = str | os.PathLike[str] | BinaryIO
"""A path, or an open binary file such as `sys.stdin.buffer`, which is left open."""

Watch = Callable[[str, int, int | None], object]
"""Told while files are read and written: what is done, how many of their bytes are, and how many there are if that is
known; while a text is measured, its words in place of bytes."""
CHECKING, READING, WRITING, MEASURING = "checking", "reading", "writing", "measuring"


def name_of(source: Source) -> str:
    """How messages call this text."""
    if isinstance(source, str | os.PathLike):
        return str(source)
    return str(getattr(source, "name", "<stream>"))


def files_of(path: str | os.PathLike[str], leaving_out: Sequence[str] = ()) -> list[str]:
    """The files that a path stands for: itself; those in a folder, at any depth; those that match a pattern (`*`, `?`,
    `[...]`, `**`). In the order of their names, each once, whatever links lead there; hidden ones, what is no file, and
    what lies in one of the folders `leaving_out`, are left out.

    Raises TextError for a folder without a file, and for a pattern that matches none. Any other path stands for itself,
    whether there is such a file or not.
    """
    name = os.fspath(path)
    if os.path.isdir(name):
        found, lacking = list(_walk(name)), "a folder without a text; put one into it, or give the path of a file"
    elif glob.has_magic(name) and not os.path.lexists(name):
        found, lacking = _matches(name), f"no file matches this pattern; {_nearby(Path(name))}"
    else:
        return [name]
    outside = [os.path.join(os.path.realpath(folder), "") for folder in leaving_out if folder]
    files = {
        real: file
        for file in sorted(found, reverse=True)  # the first name of a file is put in last, and stays
        if not (real := os.path.realpath(file)).startswith(tuple(outside)) and os.path.isfile(real)
    }
    if not files:
        raise TextError(f"{name}: {lacking}")
    return sorted(files.values())


def _walk(folder: str) -> Iterator[str]:
    def unreadable(error: OSError) -> None:
        raise TextError(f"{error.filename}: cannot be read ({error.strerror}); give a folder that can") from None

    seen = set[str]()
    for inner, folders, files in os.walk(folder, onerror=unreadable, followlinks=True):
        seen.add(os.path.realpath(inner))
        folders[:] = [
            each
            for each in folders
            if not each.startswith(".") and os.path.realpath(os.path.join(inner, each)) not in seen
        ]
        yield from (os.path.join(inner, file) for file in files if not file.startswith("."))


def _matches(pattern: str) -> list[str]:
    """What matches; folders that are there are taken by their names, whatever characters are in them."""
    folder, rest = "", Path(pattern).parts
    while rest and os.path.isdir(os.path.join(folder, rest[0])):
        folder, rest = os.path.join(folder, rest[0]), rest[1:]
    try:
        return glob.glob(os.path.join(glob.escape(folder), *rest), recursive=True)
    except (OSError, ValueError):  # the system cannot look for it
        return []


def size_of(sources: Sequence[Source]) -> int | None:
    """How many bytes these files have, as they lie there; None if one is no file, or not there."""
    total = 0
    for source in sources:
        try:
            if not isinstance(source, str | os.PathLike) or not stat.S_ISREG((found := os.stat(source)).st_mode):
                return None
        except (OSError, ValueError):
            return None
        total += found.st_size
    return total


def passing(source: Source) -> bool:
    """Whether this is no file that can be read again, but a pipe or a device."""
    return isinstance(source, str | os.PathLike) and os.path.exists(source) and not os.path.isfile(source)


@dataclass(frozen=True)
class Content:
    """What is in some files, as they lie there.

    sha256: of their bytes, one file after the other. files: for each the suffix that says how it is compressed, or an
    empty one, and how many bytes it has.
    """

    sha256: str
    files: tuple[tuple[str, int], ...]

    @property
    def size(self) -> int:
        """Bytes, in all."""
        return sum(size for _, size in self.files)


def content_of(paths: Sequence[str], watch: Watch | None = None) -> Content:
    """Read files, but nothing in them. Raises TextError."""
    digest, files, done, total = hashlib.sha256(), [], 0, size_of(paths)
    for path in paths:
        suffix = Path(path).suffix.lower()
        size = 0
        with Reader(path, as_it_lies=True) as reader:
            while data := reader.read(1 << 20, 1, size):
                digest.update(data)
                size += len(data)
                if watch is not None:
                    watch(CHECKING, done + size, total)
        done += size
        files.append((suffix if suffix in MEMBERS else "", size))
    return Content(digest.hexdigest(), tuple(files))


class Reader:
    """One text, opened: `.gz`, `.bz2` and `.xz` are decompressed, unless it is to be read as it lies there.

    `name`: as messages call it. `position`: how many bytes of the file, as it lies there, were read.
    Raises TextError for what cannot be opened; use it as a context.
    """

    def __init__(self, source: Source, as_it_lies: bool = False) -> None:
        self.name = name_of(source)
        self._path = Path(source) if isinstance(source, str | os.PathLike) else None
        self._raw: _Raw
        self._file: Any
        self._before: tuple[int, int, int, int] | None = None
        if self._path is None:
            self._raw = self._file = _Raw(source)
            return
        self._raw = self._file = _Raw(_open(self._path))
        found = os.fstat(self._raw.file.fileno())
        if stat.S_ISREG(found.st_mode):
            self._before = _identity(found)
        suffix = self._path.suffix.lower()
        if suffix in MEMBERS and not as_it_lies:
            self._file = Decompressed(self._raw, suffix)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._path is not None:
            self._raw.file.close()

    @property
    def position(self) -> int:
        return self._raw.position

    def read(self, size: int, line: int, offset: int) -> bytes:
        """At most so many bytes, decompressed; none at the end. `line` and `offset` say in messages how far one is."""
        try:
            data: bytes = self._file.read(size)
        except (OSError, EOFError, DamagedError) as error:  # a stream may be decompressed by whoever opened it
            self.check_unchanged()
            if not isinstance(error, OSError):
                what = f"damaged or cut off after {offset} bytes of text ({_reason(error)})"
                advice = "copy or compress the file again; if it is plain text, take the suffix from its name"
            else:
                what, advice = f"cannot be read ({_reason(error)})", "copy the file to a place where it can"
            raise TextError(f"{self.name}:{line}: {what}; {advice}") from None
        if not data or (self._before and 0 < self._before[2] < self.position):  # it may grow faster than it is read
            self.check_unchanged()
        return data

    def check_unchanged(self) -> None:
        """Raise TextError if the file is not the one that was opened, or has changed since."""
        if self._path is None or self._before is None:
            return
        try:
            now = _identity(os.stat(self._path))
        except OSError as error:
            raise TextError(f"{self.name}: vanished while it was read ({_reason(error)}); put it back") from None
        if now != self._before:
            raise TextError(
                f"{self.name}: changed while it was read ({self._before[2]} bytes before, {now[2]} now); "
                "let the one who writes it finish, and start again"
            )


class _Raw:
    """A file as it lies there, its bytes counted; whoever opened it closes it."""

    def __init__(self, file: Any) -> None:
        self.file, self.position = file, 0

    def read(self, size: int) -> bytes:
        data: bytes = self.file.read(size)
        self.position += len(data)
        return data


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        raise TextError(f"{path}: no such file; {_nearby(path)}") from None
    except IsADirectoryError:
        raise TextError(f"{path}: a folder, not a file; give one text file, or a list of them") from None
    except PermissionError:
        raise TextError(f"{path}: permission to read it is denied; try chmod u+r {path}") from None
    except (OSError, ValueError) as error:
        raise TextError(f"{path}: cannot be opened ({_reason(error)}); give the path of a text file") from None


def _identity(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _nearby(path: Path) -> str:
    """What may have been meant by a path that does not exist."""
    try:
        names = os.listdir(path.parent)
    except (OSError, ValueError):
        return f"there is no folder {path.parent} either"
    close = difflib.get_close_matches(path.name, names, n=3)
    if close:
        return "did you mean " + " or ".join(str(path.parent / name) for name in close) + "?"
    return f"the folder {path.parent} holds nothing of a similar name"


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
