"""From a config to objects: the only place where a name in a config meets a class."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rnncli.config.config import Config, DataConfig
from rnncli.errors import TextError
from rnncli.system import process
from rnncli.text import cache
from rnncli.text.corpus import Corpus, Reading, Texts, encode, prepare
from rnncli.text.files import Source, Watch, files_of, size_of
from rnncli.text.tokenize import Tokenizer
from rnncli.text.vocabulary import Rules, Vocabulary

SMALL = 1_000_000  # bytes; smaller texts are read in less time than they are looked up


def reading(data: DataConfig) -> Reading:
    return Reading(Tokenizer(data.tokenizer, data.lowercase), data.mode, data.line_end)


def texts(config: Config, watch: Watch | None = None) -> Texts:
    """The texts that the config names, encoded; from the cache, if they are there.

    Small texts are read anew each time, unless `data.cache` names a folder; if there is no such folder, it is made.
    Raises TextError for what is wrong in a text, and WriteError where `data.cache` cannot be written.
    """
    found = files(config)
    folder = Path(config.data.cache) if config.data.cache else _default_cache(size_of(found.paths) or 0)
    asked = found.train, reading(config.data), rules(config), found.valid, found.test
    made = prepare(*asked, watch=watch) if folder is None else cache.prepared(folder, *asked, watch)
    process.give_memory_back()  # of blocks that were read; else it counts as taken until the process ends
    return made


@dataclass(frozen=True)
class Files:
    """The files of the texts of a run; `valid` may be the share of the training lines that is held out."""

    train: list[str]
    valid: list[str] | float | None
    test: list[str] | None

    @property
    def paths(self) -> list[str]:
        """All of them."""
        return [*self.train, *(self.valid if isinstance(self.valid, list) else []), *(self.test or [])]


def files(config: Config) -> Files:
    """The files that the config's paths, patterns and folders stand for.

    Raises TextError where there is none, and where one stands twice in the training text.
    """
    data = config.data
    valid = text_files(config, data.valid) if isinstance(data.valid, str) else data.valid
    train = [file for path in data.train for file in text_files(config, path)]
    if (error := standing_twice(train)) is not None:
        raise error
    return Files(train, valid, None if data.test is None else text_files(config, data.test))


def standing_twice(train: Sequence[str]) -> TextError | None:
    """The error to raise for a training text of these files, where one stands twice in it."""
    seen = set[str]()
    for file in train:
        if (real := os.path.realpath(file)) in seen and os.path.isfile(real):
            told = "stands twice in data.train, by itself, in a folder or by a pattern; name it once"
            return TextError(f"{file}: {told}")
        seen.add(real)
    return None


def text_files(config: Config, path: str) -> list[str]:
    """The files of one path of a config; what the run itself writes is no text. Raises TextError."""
    run = config.run.dir or "runs"
    moved_aside = glob.glob(f"{glob.escape(run)}.[0-9]*")
    return files_of(path, [os.fspath(config.data.cache or cache.default_folder() or ""), run, *moved_aside])


def rules(config: Config) -> Rules:
    v = config.vocabulary
    return Rules(v.min_count, v.max_size, v.unknown, v.file)


def _default_cache(size: int) -> Path | None:
    """The user's cache folder, where it can be written and texts of this size are worth it."""
    if size < SMALL:
        return None
    folder = cache.default_folder()
    if folder is not None:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            return folder if os.access(folder, os.W_OK) else None
    return None


def corpus(config: Config, files: Sequence[Source], vocabulary: Vocabulary, watch: Watch | None = None) -> Corpus:
    """Read and encode another text as the model of this config reads it; a path may be a pattern or a folder, too.

    Raises TextError.
    """
    found: list[Source] = []
    for source in files:
        found += files_of(source) if isinstance(source, str | os.PathLike) else [source]
    return encode(found, reading(config.data), vocabulary, watch=watch)
