"""A cache of encoded texts on disk, keyed by everything they depend on, and used only if every byte is intact.

The cache folder has one entry, a folder, for each corpus; its name is a hash of the texts, the tokenizer and the
rules of the vocabulary. One process writes an entry under a temporary name while it holds a lock, and renames it when
all of it is on disk.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import sys
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from rnncli.errors import TextError, WriteError, reason
from rnncli.system import disk, threads
from rnncli.text.corpus import Corpus, Texts, prepare
from rnncli.text.count_file import StoredCounts, write_counts
from rnncli.text.encode import TextFormat
from rnncli.text.files import READING, Content, Watch, content_of, size_of
from rnncli.text.spool import mapped
from rnncli.text.vocabulary import Rules, Vocabulary

FORMAT = 1  # increase it with every change to the encoding of a text or to the files of an entry
META = "meta.json"
# Anything else in the folder belongs to someone else, and is never removed.
ENTRY = re.compile(r"[0-9a-f]{32}")
UNFINISHED = re.compile(r"building-[0-9]+-[0-9a-f]{8}")
LOCKED_WITHIN = 60.0  # seconds: a folder exists for a moment before its lock is taken
KEPT_SECONDS = 30 * 86400.0  # an entry unused for longer is removed when another is written


def default_folder() -> Path | None:
    """The user's cache folder by the XDG Base Directory Specification; None if the user has no home folder."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(named) if os.path.isabs(named) else Path.home() / ".cache") / "rnncli"
    except RuntimeError:
        return None


def make_private(folder: Path) -> bool:
    """Make a cache folder that only this user can change; False if that is not possible."""
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        if os.name != "nt":
            found = folder.stat()
            if found.st_uid != os.geteuid():
                return False
            if found.st_mode & 0o022:
                folder.chmod(0o700)
        return os.access(folder, os.W_OK)
    except OSError:
        return False


def prepared(
    folder: Path,
    train: Sequence[str],
    text_format: TextFormat,
    rules: Rules,
    valid: Sequence[str] | float | None = None,
    test: Sequence[str] | None = None,
    watch: Watch | None = None,
) -> Texts:
    """The result of `prepare` for these files, read from the cache folder, or added to it first.

    A text from a pipe is not cached. Raises TextError like `prepare`, and if a file changes during the call;
    WriteError if the folder cannot be written.
    """
    named = {"train": train, "valid": None if isinstance(valid, float | int) else valid, "test": test}
    files = {name: list(paths) for name, paths in named.items() if paths is not None}
    listed = [] if rules.file is None else [rules.file]
    if size_of([*chain(*files.values()), *listed]) is None:  # a pipe, which can be read only once
        return prepare(train, text_format, rules, valid, test, watch=watch)
    contents = {name: content_of(paths, watch) for name, paths in files.items()}
    fraction = valid if isinstance(valid, float | int) else None
    key = _key(contents, text_format, rules, fraction)
    entry = folder / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    if (texts := _stored(entry, key, files)) is not None:
        return texts
    with _building(folder, entry, sum(content.size for content in contents.values())) as (place, estimate):
        texts = prepare(train, text_format, rules, valid, test, place, estimate.watching(watch))
        for name, content in contents.items():
            if content_of(files[name], watch) != content:
                raise _changed_error(files[name][0], "a text")
        if _key(contents, text_format, rules, fraction) != key:  # it reads the word list again
            raise _changed_error(str(rules.file), "the word list")
        _write(place, key, texts)
    return texts


def _changed_error(location: str, what: str) -> TextError:
    return TextError(f"{what} changed while it was read", location=location, remedy="start again")


def _key(
    contents: Mapping[str, Content], text_format: TextFormat, rules: Rules, fraction: float | None
) -> dict[str, Any]:
    """Everything that the files of an entry depend on, as JSON values."""
    listed = None if rules.file is None else asdict(content_of([os.fspath(rules.file)]))
    key = {
        "format": FORMAT,
        "unicode": unicodedata.unidata_version,  # it defines white space and letters
        "byte order": sys.byteorder,
        "texts": {name: asdict(content) for name, content in contents.items()},
        "fraction": fraction,
        "tokenizer": asdict(text_format.tokenizer),
        "after line": text_format.after_line,
        "rules": asdict(rules) | {"file": listed},
    }
    plain = json.loads(json.dumps(key))
    assert isinstance(plain, dict)
    return plain


def _stored(entry: Path, key: Mapping[str, Any], files: Mapping[str, Sequence[str]]) -> Texts | None:
    """The texts of an entry; None if it does not exist or is damaged, in which case it is removed."""
    if not os.path.exists(entry):  # unlike Path.exists, it raises nothing
        return None
    try:
        digest, _, content = (entry / META).read_bytes().partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() == digest:
            meta = json.loads(content)
            if meta["material"] == key and _intact(entry, meta["members"]):
                with contextlib.suppress(OSError):
                    os.utime(entry)  # the time of the last use
                return _read(entry, meta, files)
    except (OSError, LookupError, TypeError, ValueError):
        pass
    shutil.rmtree(entry, ignore_errors=True)
    return None


def _intact(entry: Path, members: Mapping[str, tuple[int, str]]) -> bool:
    """Whether each file has the recorded size and hash."""
    good: dict[str, bool] = {}

    def verify(name: str) -> None:
        size, digest = members[name]
        good[name] = (entry / name).stat().st_size == size and _sha256(entry / name) == digest

    threads.each(verify, sorted(members))
    return all(good.values())


def _read(entry: Path, meta: Mapping[str, Any], files: Mapping[str, Sequence[str]]) -> Texts:
    words = (entry / "words").read_bytes().decode().split("\n")[:-1]
    vocabulary = Vocabulary(tuple(words), np.fromfile(entry / "counts", np.int64))
    corpora = {}
    for name, text in meta["texts"].items():
        ids, starts, oov = (mapped(entry / f"{name}.{array}", dtype) for array, dtype in text["arrays"].items())
        paths = files.get(name, files["train"])  # held-out lines are in the files of the training text
        first_lines = tuple((paths[i], first) for i, first in enumerate(text["first_lines"]))
        outside = StoredCounts(entry / f"{name}.outside")
        corpora[name] = Corpus(ids, starts, oov, outside, text["characters"], text["sha256"], first_lines)
    return Texts(vocabulary, **corpora)


def _write(place: Path, key: Mapping[str, Any], texts: Texts) -> None:
    """Write the remaining files of an entry, make all of them read-only, and flush them to disk."""
    assert texts.vocabulary.counts is not None
    (place / "words").write_bytes("".join(f"{word}\n" for word in texts.vocabulary.words).encode())
    # Not with `tofile`, which does not report a full disk.
    (place / "counts").write_bytes(texts.vocabulary.counts.tobytes())
    described = {}
    for name, text in texts.named().items():
        write_counts(place / f"{name}.outside", text.outside)
        arrays = {array: getattr(text, array) for array in ("ids", "line_starts", "oov_positions")}
        described[name] = {
            "arrays": {array: values.dtype.str for array, values in arrays.items()},
            "characters": text.characters,
            "sha256": text.sha256,
            "first_lines": [first for _, first in text.files],
        }
    names = sorted(path.name for path in place.iterdir())
    members = {name: ((place / name).stat().st_size, _sha256(place / name)) for name in names}
    content = json.dumps({"material": key, "texts": described, "members": members}).encode()
    (place / META).write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    for name in [*names, META]:
        if os.name != "nt":  # there, a read-only file cannot be deleted
            with contextlib.suppress(OSError):  # a file system without modes
                (place / name).chmod((place / name).stat().st_mode & ~0o222)
        disk.sync(place / name)
    disk.sync(place)


class _SizeEstimate:
    """Estimates the size of an unfinished entry from the part already written and the part of the texts already read.

    size: of the texts, in bytes.
    """

    def __init__(self, place: Path, size: int) -> None:
        self._place, self._size, self._read = place, size, 0

    def watching(self, watch: Watch | None) -> Watch:
        """A `Watch` that records how much of the texts is read, and passes all calls on."""

        def record(activity: str, done: int, total: int | None) -> None:
            if activity == READING:
                self._read = done
            if watch is not None:
                watch(activity, done, total)

        return record

    def bytes(self) -> float:
        """Approximate size of the finished entry, in bytes."""
        # The final ids take about half as much as the provisional ones, which are deleted after them: 1.5 times.
        with contextlib.suppress(OSError):
            written = sum(path.stat().st_size for path in self._place.iterdir())
            if self._read and written:
                return 1.5 * written * max(1.0, self._size / self._read)
        return 2.0 * self._size


@contextlib.contextmanager
def _building(folder: Path, entry: Path, size: int) -> Iterator[tuple[Path, _SizeEstimate]]:
    """A temporary folder for a new entry, renamed to `entry` at the end; removed if the body or the renaming fails.

    size: of the texts, in bytes.
    """
    place = folder / f"building-{os.getpid()}-{secrets.token_hex(4)}"
    estimate, descriptor = _SizeEstimate(place, size), -1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place.mkdir()
        descriptor = os.open(place, os.O_RDONLY) if os.name != "nt" else -1
        with contextlib.suppress(OSError):  # on a file system without locks, a recent folder counts as in use
            disk.lock(descriptor)
        _remove_old(folder)
        yield place, estimate
        with contextlib.suppress(FileExistsError):  # another process has written the same entry first
            _rename(place, entry)
        disk.sync(folder)
    except OSError as error:
        raise WriteError(
            f"cannot write: {reason(error)}",
            location=str(folder),
            remedy=f"the encoded texts need about {estimate.bytes() / 1e6:,.1f} MB: make room there, or set data.cache "
            "to another folder",
        ) from None
    finally:
        if descriptor >= 0:
            os.close(descriptor)
        shutil.rmtree(place, ignore_errors=True)


def _rename(place: Path, entry: Path) -> None:
    try:
        place.rename(entry)
    except OSError as error:
        if entry.exists():
            raise FileExistsError from error
        raise


def _remove_old(folder: Path) -> None:
    """Remove the unfinished entries of processes that have ended, and entries unused for `KEPT_SECONDS`."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            age = time.time() - path.stat().st_mtime
            if UNFINISHED.fullmatch(path.name):
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    old = age > LOCKED_WITHIN and disk.lock(descriptor)
                finally:
                    os.close(descriptor)
            else:
                old = age > KEPT_SECONDS and ENTRY.fullmatch(path.name) is not None
            if old:
                shutil.rmtree(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
