"""The texts of a config: their files, their format, the rules of the vocabulary, and the cache."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rnncli.config.config import Config, DataConfig
from rnncli.errors import TextError, WriteError
from rnncli.system import process
from rnncli.text import cache
from rnncli.text.corpus import Corpus, TextFormat, Texts, encode, prepare
from rnncli.text.files import Source, Watch, files_of, size_of
from rnncli.text.tokenize import Tokenizer
from rnncli.text.vocabulary import Rules, Vocabulary

SMALL = 1_000_000  # bytes; a smaller text takes less time to read than to find in the cache


def text_format(data: DataConfig) -> TextFormat:
    tokenizer = Tokenizer(data.tokenizer, data.lowercase, data.language, data.normalize, data.tokenizer_version)
    return TextFormat(tokenizer, data.mode, data.line_end)


def texts(config: Config, watch: Watch | None = None) -> Texts:
    """Read and encode the texts of the config, or take them from the cache.

    Small texts are cached only if `data.cache` names a folder, which is created if necessary. The user's cache folder
    is used if it can be written.
    Raises TextError for a text that cannot be read or trained on, WriteError if `data.cache`, or a temporary file of a
    text that is not cached, cannot be written.
    """
    encoded = _encoded(config, watch)
    process.give_memory_back()  # else the freed blocks count as memory of this process until it ends
    return encoded


def _encoded(config: Config, watch: Watch | None) -> Texts:
    found = files(config)
    arguments = found.train, text_format(config.data), rules(config), found.valid, found.test
    if config.data.cache:
        return cache.prepared(Path(config.data.cache), *arguments, watch)
    if (folder := _default_cache(size_of(found.paths) or 0)) is not None:
        with suppress(WriteError):  # nobody asked for a cache: a full disk is no reason to stop
            return cache.prepared(folder, *arguments, watch)
    return prepare(*arguments, watch=watch)


@dataclass(frozen=True)
class Files:
    """The files of the texts of a run; `valid` may be the fraction of the training lines to hold out."""

    train: list[str]
    valid: list[str] | float | None
    test: list[str] | None

    @property
    def paths(self) -> list[str]:
        """The files of all texts."""
        return [*self.train, *(self.valid if isinstance(self.valid, list) else []), *(self.test or [])]


def files(config: Config) -> Files:
    """Expand the paths, patterns and folders of the config to files.

    Raises TextError if one has no file, and for a file that appears twice in the training text.
    """
    data = config.data
    valid = text_files(config, data.valid) if isinstance(data.valid, str) else data.valid
    train = [file for path in data.train for file in text_files(config, path)]
    if (error := duplicate_file_error(train)) is not None:
        raise error
    return Files(train, valid, None if data.test is None else text_files(config, data.test))


def duplicate_file_error(train: Sequence[str]) -> TextError | None:
    """The error if one of the files of the training text appears twice, under the same or another name."""
    seen = set[str]()
    for file in train:
        if (real := os.path.realpath(file)) in seen and os.path.isfile(real):
            return TextError(
                "appears twice in data.train, by its name, in a folder or in a pattern",
                location=file,
                remedy="name it once",
            )
        seen.add(real)
    return None


def small_stream_error(file: str, tokens: int, batch_size: int) -> TextError:
    """The error for a training text in stream mode that has fewer tokens than a batch has columns."""
    return TextError(
        f"{tokens:,} word{'' if tokens == 1 else 's'} (ends of lines counted), "
        f"fewer than the {batch_size} that one batch needs",
        location=file,
        remedy=f"set training.batch_size to {tokens} or less, or give more text",
    )


def text_files(config: Config, path: str) -> list[str]:
    """The files of one path of a config, without those that a run writes. Raises TextError."""
    run = config.run.dir or "runs"
    moved_aside = glob.glob(f"{glob.escape(run)}.[0-9]*")
    return files_of(path, [os.fspath(config.data.cache or cache.default_folder() or ""), run, *moved_aside])


def rules(config: Config) -> Rules:
    v = config.vocabulary
    return Rules(v.min_count, v.max_size, v.unknown, v.file)


def _default_cache(size: int) -> Path | None:
    """The user's cache folder; None for a small text, and if only this user's processes cannot write the folder."""
    folder = cache.default_folder() if size >= SMALL else None
    return folder if folder is not None and cache.make_private(folder) else None


def corpus(config: Config, files: Sequence[Source], vocabulary: Vocabulary, watch: Watch | None = None) -> Corpus:
    """Read and encode another text for the model of this config; a path may be a pattern or a folder.

    Raises TextError.
    """
    found: list[Source] = []
    for source in files:
        found += files_of(source) if isinstance(source, str | os.PathLike) else [source]
    return encode(found, text_format(config.data), vocabulary, watch=watch)
