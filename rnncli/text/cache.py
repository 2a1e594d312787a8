"""Encoded texts on disk: found again by what they were made from, and believed only when every byte is as it was.

A folder holds one folder for each corpus, named by a hash of the texts, the tokenizer and the rules of the vocabulary.
It is made under another name, by one process that holds its lock, and gets its own when all of it is on the disk.
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
from collections.abc import ItemsView, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from rnncli.errors import TextError, WriteError
from rnncli.system import disk, threads
from rnncli.text.corpus import Corpus, Reading, Texts, prepare
from rnncli.text.files import READING, Content, Watch, content_of, size_of
from rnncli.text.spool import PIECE, mapped
from rnncli.text.vocabulary import Rules, Vocabulary

FORMAT = 1  # goes up with every change of what a text means, or of what is written here
META = "meta.json"
# What else is in the folder is not ours.
ENTRY = re.compile(r"[0-9a-f]{32}")
UNFINISHED = re.compile(r"building-[0-9]+-[0-9a-f]{8}")
LOCKED_WITHIN = 60.0  # seconds: a folder is made before its lock is held
KEPT_SECONDS = 30 * 86400.0  # a corpus that was not used for so long is removed when another is written


def default_folder() -> Path | None:
    """The user's cache folder, as the XDG Base Directory Specification has it; None where nobody's home is known."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    try:
        return (Path(named) if os.path.isabs(named) else Path.home() / ".cache") / "rnncli"
    except RuntimeError:
        return None


def prepared(
    folder: Path,
    train: Sequence[str],
    reading: Reading,
    rules: Rules,
    valid: Sequence[str] | float | None = None,
    test: Sequence[str] | None = None,
    watch: Watch | None = None,
) -> Texts:
    """What `prepare` makes of these files, taken from the folder if it is there, else written into it first.

    A text from a pipe is read as `prepare` reads it. Raises TextError as that, and where a file changes meanwhile;
    WriteError where the folder cannot be written.
    """
    named = {"train": train, "valid": None if isinstance(valid, float | int) else valid, "test": test}
    files = {name: list(paths) for name, paths in named.items() if paths is not None}
    listed = [] if rules.file is None else [rules.file]
    if size_of([*chain(*files.values()), *listed]) is None:  # a pipe, which can be read but once
        return prepare(train, reading, rules, valid, test, watch=watch)
    contents = {name: content_of(paths, watch) for name, paths in files.items()}
    fraction = valid if isinstance(valid, float | int) else None
    material = _material(contents, reading, rules, fraction)
    entry = folder / hashlib.sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()[:32]
    if (texts := _stored(entry, material, files)) is not None:
        return texts
    with _building(folder, entry, sum(content.size for content in contents.values())) as (place, room):
        texts = prepare(train, reading, rules, valid, test, place, room.watching(watch))
        for name, content in contents.items():
            if content_of(files[name], watch) != content:
                raise TextError(f"{files[name][0]}: a text changed while it was read; start again")
        if _material(contents, reading, rules, fraction) != material:  # which looks at the word list again
            raise TextError(f"{rules.file}: the word list changed while it was read; start again")
        _write(place, material, texts)
    return texts


def _material(
    contents: Mapping[str, Content], reading: Reading, rules: Rules, fraction: float | None
) -> dict[str, Any]:
    """All that decides what is written, as JSON has it."""
    listed = None if rules.file is None else asdict(content_of([os.fspath(rules.file)]))
    material = {
        "format": FORMAT,
        "unicode": unicodedata.unidata_version,  # which says what white space and letters are
        "byte order": sys.byteorder,
        "texts": {name: asdict(content) for name, content in contents.items()},
        "fraction": fraction,
        "tokenizer": asdict(reading.tokenizer),
        "after line": reading.after_line,
        "rules": asdict(rules) | {"file": listed},
    }
    plain = json.loads(json.dumps(material))
    assert isinstance(plain, dict)
    return plain


def _stored(entry: Path, material: Mapping[str, Any], files: Mapping[str, Sequence[str]]) -> Texts | None:
    """The texts of an entry, if it is there and whole; a damaged one is removed."""
    if not os.path.exists(entry):  # Path.exists raises what it does not expect
        return None
    try:
        digest, _, content = (entry / META).read_bytes().partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() == digest:
            meta = json.loads(content)
            if meta["material"] == material and _whole(entry, meta["members"]):
                with contextlib.suppress(OSError):
                    os.utime(entry)  # used just now
                return _read(entry, meta, files)
    except (OSError, LookupError, TypeError, ValueError):
        pass
    shutil.rmtree(entry, ignore_errors=True)
    return None


def _whole(entry: Path, members: Mapping[str, tuple[int, str]]) -> bool:
    """Whether each file has its size and its hash."""
    good: dict[str, bool] = {}

    def look(name: str) -> None:
        size, digest = members[name]
        good[name] = (entry / name).stat().st_size == size and _sha256(entry / name) == digest

    threads.each(look, sorted(members))
    return all(good.values())


def _read(entry: Path, meta: Mapping[str, Any], files: Mapping[str, Sequence[str]]) -> Texts:
    words = (entry / "words").read_bytes().decode().split("\n")[:-1]
    vocabulary = Vocabulary(tuple(words), np.fromfile(entry / "counts", np.int64))
    corpora = {}
    for name, text in meta["texts"].items():
        ids, starts, oov = (mapped(entry / f"{name}.{array}", dtype) for array, dtype in text["arrays"].items())
        paths = files.get(name, files["train"])  # a part of the training text is in its files
        places = tuple((paths[i], first) for i, first in enumerate(text["first_lines"]))
        outside = _Counts(entry / f"{name}.outside")
        corpora[name] = Corpus(ids, starts, oov, outside, text["characters"], text["sha256"], places)
    return Texts(vocabulary, **corpora)


def _write(place: Path, material: Mapping[str, Any], texts: Texts) -> None:
    """Write what is not there yet, and have all of it on the disk."""
    assert texts.vocabulary.counts is not None
    (place / "words").write_bytes("".join(f"{word}\n" for word in texts.vocabulary.words).encode())
    # Not with `tofile`, which says nothing of a full disk.
    (place / "counts").write_bytes(texts.vocabulary.counts.tobytes())
    described = {}
    for name, text in texts.named().items():
        with (place / f"{name}.outside").open("wb") as file:
            file.writelines(f"{n} {word}\n".encode() for word, n in text.outside.items())
        arrays = {array: getattr(text, array) for array in ("ids", "line_starts", "oov_positions")}
        described[name] = {
            "arrays": {array: values.dtype.str for array, values in arrays.items()},
            "characters": text.characters,
            "sha256": text.sha256,
            "first_lines": [first for _, first in text.files],
        }
    names = sorted(path.name for path in place.iterdir())
    members = {name: ((place / name).stat().st_size, _sha256(place / name)) for name in names}
    content = json.dumps({"material": material, "texts": described, "members": members}).encode()
    (place / META).write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    for name in [*names, META]:
        disk.sync(place / name)
    disk.sync(place)


class _Room:
    """How much room an entry takes, by what is written of it and how much of the texts that was."""

    def __init__(self, place: Path, size: int) -> None:
        self._place, self._size, self._read = place, size, 0

    def watching(self, watch: Watch | None) -> Watch:
        """The same, which hears how far the texts are read."""

        def told(what: str, done: int, total: int | None) -> None:
            if what == READING:
                self._read = done
            if watch is not None:
                watch(what, done, total)

        return told

    def needed(self) -> float:
        """Bytes, roughly; once ids are final, some half of what they were as provisional numbers comes to it."""
        with contextlib.suppress(OSError):
            written = sum(path.stat().st_size for path in self._place.iterdir())
            if self._read and written:
                return 1.5 * written * max(1.0, self._size / self._read)
        return 2.0 * self._size


@contextlib.contextmanager
def _building(folder: Path, entry: Path, size: int) -> Iterator[tuple[Path, _Room]]:
    """A new folder to write an entry into, which gets its name at the end; nothing of it stays where that fails.

    size: of the texts, in bytes.
    """
    place = folder / f"building-{os.getpid()}-{secrets.token_hex(4)}"
    room, descriptor = _Room(place, size), -1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        place.mkdir()
        descriptor = os.open(place, os.O_RDONLY) if os.name != "nt" else -1
        with contextlib.suppress(OSError):  # a system without locks: its age tells that it is in use
            disk.lock(descriptor)
        _clear(folder)
        yield place, room
        with contextlib.suppress(FileExistsError):  # another process was faster, and has written the same
            _rename(place, entry)
        disk.sync(folder)
    except OSError as error:
        raise WriteError(
            f"{folder}: cannot write the encoded texts there ({error.strerror or error}): they take about "
            f"{room.needed() / 1e6:,.1f} MB; make room, or set data.cache to another folder"
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


def _clear(folder: Path) -> None:
    """Remove what processes that are no more left unfinished, and corpora that were not used for a month."""
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


class _Counts(Mapping[str, int]):
    """How often each word stands in a text: read from its file each time, as there may be very many. Walk over it."""

    def __init__(self, path: Path) -> None:
        self._lines = mapped(path, np.uint8)  # which stays, even where the entry does not

    def __iter__(self) -> Iterator[str]:
        return (word for word, _ in self._pairs())

    def __getitem__(self, word: str) -> int:
        for each, n in self._pairs():
            if each == word:
                return n
        raise KeyError(word)

    def __len__(self) -> int:
        return int(np.count_nonzero(self._lines == ord("\n")))

    def items(self) -> ItemsView[str, int]:
        return _Items(self)

    def _pairs(self) -> Iterator[tuple[str, int]]:
        rest = b""
        for at in range(0, len(self._lines), PIECE):
            *lines, rest = (rest + self._lines[at : at + PIECE].tobytes()).split(b"\n")
            for line in lines:
                n, _, word = line.partition(b" ")
                yield word.decode(), int(n)


class _Items(ItemsView[str, int]):
    """The words with their counts, in one walk."""

    _mapping: _Counts

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return self._mapping._pairs()
