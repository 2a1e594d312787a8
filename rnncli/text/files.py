"""Text files as bytes: find them by path, pattern or folder, decompress them, and notice changes during reading."""

from __future__ import annotations

import difflib
import glob
import hashlib
import os
import select
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rnncli.errors import TextError, reason
from rnncli.text.compression import MEMBERS, DamagedError, Decompressed

Source = str | os.PathLike[str] | BinaryIO
"""A path, or an open binary file such as `sys.stdin.buffer`, which stays open."""

Watch = Callable[[str, int, int | None], object]
"""Callback for progress: the activity, such as `READING`, the amount done, and the total if it is known.
Amounts are bytes; of `MEASURING`, words."""
CHECKING, READING, WRITING, MEASURING = "checking", "reading", "writing", "measuring"


class ByteCounter:
    """Adds up the bytes read from several files, and reports the sum to a `Watch`."""

    def __init__(self, watch: Watch | None, activity: str, total: int | None) -> None:
        self._watch, self._activity, self._total, self._done = watch, activity, total, 0

    def add(self, size: int) -> None:
        self._done += size
        if self._watch is not None:
            self._watch(self._activity, self._done, self._total)


def name_of(source: Source) -> str:
    """The name of this text in messages."""
    if isinstance(source, str | os.PathLike):
        return str(source)
    return str(getattr(source, "name", "<stream>"))


def files_of(path: str | os.PathLike[str], excluded: Sequence[str] = ()) -> list[str]:
    """Expand a path: a folder to every file below it, a pattern (`*`, `?`, `[...]`, `**`) to the files that match.

    Files are sorted by name. A file that several links lead to appears once. Hidden files, anything that is not a file,
    and the contents of the `excluded` folders are left out.

    Raises TextError for a folder or a pattern without a file. Any other path is returned unchanged, whether the file
    exists or not.
    """
    name = os.fspath(path)
    if os.path.isdir(name):
        found = list(_walk(name))
        problem, remedy = "a folder without a text", "put one into it, or give the path of a file"
    elif glob.has_magic(name) and not os.path.lexists(name):
        found = _matches(name)
        problem, remedy = "no file matches this pattern", _nearby(Path(name))
    else:
        return [name]
    outside = [os.path.join(os.path.realpath(folder), "") for folder in excluded if folder]
    files = {
        real: file
        for file in sorted(found, reverse=True)  # of the names of one file, the first in order overwrites the others
        if not (real := os.path.realpath(file)).startswith(tuple(outside)) and os.path.isfile(real)
    }
    if not files:
        raise TextError(problem, location=name, remedy=remedy)
    return sorted(files.values())


def _walk(folder: str) -> Iterator[str]:
    def unreadable(error: OSError) -> None:
        raise TextError(
            f"cannot be read ({reason(error)})", location=str(error.filename), remedy="give a folder that can"
        ) from None

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
    """The paths that match. Leading folders that exist are taken literally, whatever characters their names have."""
    folder, rest = "", Path(pattern).parts
    while rest and os.path.isdir(os.path.join(folder, rest[0])):
        folder, rest = os.path.join(folder, rest[0]), rest[1:]
    try:
        return glob.glob(os.path.join(glob.escape(folder), *rest), recursive=True)
    except (OSError, ValueError):  # too long, or with a NUL: the system cannot search for it
        return []


def size_of(sources: Sequence[Source]) -> int | None:
    """Total size of these files on disk, in bytes; None if one is not a regular file or does not exist."""
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
    """Whether this is a pipe or a device, which can be read only once."""
    return isinstance(source, str | os.PathLike) and os.path.exists(source) and not os.path.isfile(source)


@dataclass(frozen=True)
class Content:
    """Identity of the contents of some files, without decompressing them.

    sha256: of their bytes, concatenated. files: for each file its compression suffix, or "", and its size in bytes.
    """

    sha256: str
    files: tuple[tuple[str, int], ...]

    @property
    def size(self) -> int:
        """Total size in bytes."""
        return sum(size for _, size in self.files)


def content_of(paths: Sequence[str], watch: Watch | None = None) -> Content:
    """Hash files without interpreting them. Raises TextError."""
    digest, files, counter = hashlib.sha256(), [], ByteCounter(watch, CHECKING, size_of(paths))
    for path in paths:
        suffix = Path(path).suffix.lower()
        size = 0
        with Reader(path, decompress=False) as reader:
            while data := reader.read(1 << 20, 1, size):
                digest.update(data)
                size += len(data)
                counter.add(len(data))
        files.append((suffix if suffix in MEMBERS else "", size))
    return Content(digest.hexdigest(), tuple(files))


class Reader:
    """A context manager that opens one text, and decompresses `.gz`, `.bz2` and `.xz` unless `decompress` is False.

    `name`: its name in messages. `position`: bytes of the file on disk that were read so far.
    Raises TextError for a file that cannot be opened.
    """

    def __init__(self, source: Source, decompress: bool = True) -> None:
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
        if suffix in MEMBERS and decompress:
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
        """The next bytes of the text, at most `size`; empty at the end. `line` and `offset` locate them in messages."""
        try:
            data: bytes = self._file.read(size)
        except (OSError, EOFError, DamagedError) as error:  # EOFError: the caller may have opened a `gzip.GzipFile`
            self.check_unchanged()
            if not isinstance(error, OSError):
                problem = f"damaged or cut off after {offset} bytes of text ({reason(error)})"
                remedy = "copy or compress the file again; if it is plain text, remove the suffix from its name"
            else:
                problem, remedy = f"cannot be read ({reason(error)})", "copy the file to a place where it can"
            raise TextError(problem, location=f"{self.name}:{line}", remedy=remedy) from None
        if not data or (self._before and 0 < self._before[2] < self.position):  # a growing file may have no end
            self.check_unchanged()
        return data

    def check_unchanged(self) -> None:
        """Raise TextError if the file was replaced or has changed since it was opened."""
        if self._path is None or self._before is None:
            return
        try:
            now = _identity(os.stat(self._path))
        except OSError as error:
            raise TextError(
                f"vanished while it was read ({reason(error)})", location=self.name, remedy="put it back"
            ) from None
        if now != self._before:
            raise TextError(
                f"changed while it was read ({self._before[2]} bytes before, {now[2]} now)",
                location=self.name,
                remedy="wait until it is completely written, and start again",
            )


class _Raw:
    """A file on disk, with a count of the bytes read. It does not close the file."""

    def __init__(self, file: Any) -> None:
        self.file, self.position = file, 0

    def read(self, size: int) -> bytes:
        while (data := self.file.read(size)) is None:  # a terminal or pipe that does not block, and has nothing yet
            select.select([self.file], [], [])
        self.position += len(data)
        return bytes(data)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        problem, remedy = "no such file", _nearby(path)
    except IsADirectoryError:
        problem, remedy = "a folder, not a file", "give one text file, or a list of them"
    except PermissionError:
        problem, remedy = "permission to read it is denied", f"try chmod u+r {path}"
    except (OSError, ValueError) as error:
        problem, remedy = f"cannot be opened ({reason(error)})", "give the path of a text file"
    raise TextError(problem, location=str(path), remedy=remedy)


def _identity(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _nearby(path: Path) -> str:
    """A suggestion for a path that does not exist."""
    try:
        names = os.listdir(path.parent)
    except (OSError, ValueError):
        return f"there is no folder {path.parent} either"
    close = difflib.get_close_matches(path.name, names, n=3)
    if close:
        return "did you mean " + " or ".join(str(path.parent / name) for name in close) + "?"
    return f"no file in {path.parent} has a similar name"
