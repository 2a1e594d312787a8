"""Check all texts of a config: survey them, and list the findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rnncli.config.config import Config
from rnncli.config.corpora import duplicate_file_error, rules, small_stream_error, text_files, text_format
from rnncli.corpus_check.block_survey import SAMPLE
from rnncli.corpus_check.characters import in_characters
from rnncli.corpus_check.facts import FileSize, Place, Survey
from rnncli.corpus_check.finding import Finding, ranked, refusal
from rnncli.corpus_check.lines import in_lines, repeated, shared
from rnncli.corpus_check.lookup import count_lines, lines_at
from rnncli.corpus_check.markup import in_markup
from rnncli.corpus_check.segments import CHARACTERS, in_segments
from rnncli.corpus_check.spellings import in_spellings
from rnncli.corpus_check.survey import survey
from rnncli.corpus_check.words import in_words
from rnncli.errors import TextError
from rnncli.text.corpus import empty_split_error, held_out, wordless_part_error
from rnncli.text.encode import LINE_END, TextFormat, no_word_error
from rnncli.text.files import READING, ByteCounter, Watch, passing, size_of
from rnncli.text.lines import endless_word_error
from rnncli.text.tokenize import END
from rnncli.text.vocabulary import Vocabulary, build, literal_end_error

LONGEST_LINE = 100_000  # characters of a line to search for the subject of a finding
BEFORE = 60  # at most this many characters of a long line are shown before the subject
CUT = "… "  # replaces the beginning of a line in an excerpt

LOOKING_UP = "looking up lines"  # the name of the last activity, a second reading of the files, for a `Watch`


@dataclass(frozen=True, eq=False)
class Report:
    """The result of a check.

    splits: the surveys of train, valid and test, as far as the config has them. vocabulary: None if the training text
    cannot have one. findings: ranked. texts: the line of each finding that has one, or an excerpt of a long line.
    """

    splits: dict[str, Survey]
    vocabulary: Vocabulary | None
    findings: list[Finding]
    texts: dict[Finding, str]
    text_format: TextFormat

    @property
    def trainable(self) -> bool:
        return not any(each.severity == "error" for each in self.findings)


def check(config: Config, watch: Watch | None = None) -> Report:
    """Check the texts of a config. Bad and missing texts become findings, not exceptions."""
    found = list[Finding]()
    splits, whole, vocabulary = _surveys_(config, found, watch)
    for number, file in enumerate(whole):
        found += _file("train", file.name, [file, *_part(splits["train"], number)])
    for name, text in splits.items():
        if name != "train" and text.files is not whole:
            found += [each for file in text.files for each in _file(name, file.name, [file])]
        found += _refused(name, text)
        found += (of_characters := list(in_characters(name, text, config)))
        found += in_markup(name, text, config)
        unsegmented = list[Finding]()
        if not any(each.kind == "mojibake" and each.share == 1 for each in of_characters):
            found += in_spellings(name, text, config)
            found += (unsegmented := list(in_segments(name, text, config)))
        found += in_lines(name, text, config)
        found += repeated(name, text, config)
        if vocabulary is not None:
            found += in_words(name, text, vocabulary, splits["train"], CHARACTERS if unsegmented else None)
    found += shared(splits, config)
    found += _columns(splits["train"], config)
    order = ranked(found)
    return Report(splits, vocabulary, order, _texts(order, watch), text_format(config.data))


def _surveys_(
    config: Config, found: list[Finding], watch: Watch | None
) -> tuple[dict[str, Survey], list[FileSize], Vocabulary | None]:
    """The surveys; the files of data.train, held-out lines included; and the vocabulary. Appends to `found`."""
    data, format_ = config.data, text_format(config.data)
    files = {"train": _files_(config, data.train, "train", found)}
    if (error := duplicate_file_error(files["train"])) is not None:
        found.append(refusal(error, "twice", "train"))
    for split, path in (("valid", data.valid), ("test", data.test)):
        if isinstance(path, str):
            files[split] = _files_(config, [path], split, found)
    counter = ByteCounter(watch, READING, _to_read(files, data.valid))
    cut = _cut_(files["train"], data.valid, found, counter) if isinstance(data.valid, float | int) else None
    train = survey(files["train"], format_, stop=cut, counter=counter)
    splits, whole = {"train": train}, train.files
    vocabulary = None
    if not any(file.error for file in train.files) and train.words:
        vocabulary = _vocabulary_(train, config, found)
    known = None if vocabulary is None else frozenset(vocabulary.words)
    if cut is not None:
        splits["valid"] = survey(files["train"], format_, known, start=cut, counter=counter)
        whole = splits["valid"].files
        found += _empty_part(splits, config)
    for split, paths in list(files.items())[1:]:
        splits[split] = survey(paths, format_, known, counter=counter)
    return splits, whole, vocabulary


def _to_read(files: Mapping[str, Sequence[str]], valid: str | float | None) -> int | None:
    """Number of bytes that the surveys will read; None if unknown."""
    sizes = {split: size_of(paths) for split, paths in files.items()}
    total = 0.0
    for split, size in sizes.items():
        if size is None:
            return None
        # To hold out lines, the file is read once to count them, then up to the held-out lines, then to its end.
        total += size * (3 - valid if split == "train" and isinstance(valid, float | int) else 1)
    return round(total)


def _files_(config: Config, paths: Sequence[str], split: str, found: list[Finding]) -> list[str]:
    """The files of the paths of a text. Appends to `found`."""
    files = list[str]()
    for path in paths:
        try:
            files += text_files(config, path)
        except TextError as error:
            found.append(refusal(error, "unreadable", split))
    return files


def _cut_(files: Sequence[str], fraction: float, found: list[Finding], counter: ByteCounter) -> int | None:
    """Number of lines to train on; None if no line is left for training or for validation. Appends to `found`."""
    if pipes := list(filter(passing, files)):
        what = "a pipe or a device, which can be read only once: the lines that data.valid holds out are not checked"
        found.append(Finding("warning", "pipe", "train", pipes[0], what, "write it to a file first"))
        return None
    lines = count_lines(files, counter)
    if not lines:
        return None
    if (error := empty_split_error(files[0], lines, fraction)) is not None:
        found.append(refusal(error, "split", "valid"))
        return None
    return lines - held_out(lines, fraction)


def _vocabulary_(train: Survey, config: Config, found: list[Finding]) -> Vocabulary | None:
    words = {word: n for word, n in train.words.items() if word != END}
    ends = train.lines if text_format(config.data).after_line == LINE_END else 0
    try:
        return build(words, ends, rules(config), text_format(config.data).tokenizer, train.files[0].name)
    except TextError as error:
        found.append(refusal(error, "vocabulary", "train"))
        return None


def _part(head: Survey, number: int) -> list[FileSize]:
    """The part of the file with this number in the survey of the first lines, if that reached the file."""
    return head.files[number : number + 1]


def _file(split: str, name: str, parts: Sequence[FileSize]) -> Iterator[Finding]:
    """A file that cannot be read, or has no word."""
    error = next((part.error for part in parts if part.error is not None), None)
    if error is not None:
        yield refusal(error, "unreadable", split)
    elif not any(part.words for part in parts):
        yield refusal(no_word_error(name), "no_word", split)


def _empty_part(splits: dict[str, Survey], config: Config) -> Iterator[Finding]:
    """A part of the training text without a word, although the other part has one."""
    if text_format(config.data).after_line not in (None, LINE_END):
        return  # each line end is read as a space, and is a token
    if not any(part.tokens for part in splits.values()):
        return  # the finding about the file says that the whole text has no word
    assert isinstance(config.data.valid, float | int)
    for name in ("train", "valid"):
        if not splits[name].tokens:
            place = splits[name].place(0) if splits[name].lines else None
            error = wordless_part_error(splits[name].files[0].name, name, config.data.valid)
            yield refusal(error, "no_word", name, place)


def _refused(split: str, found: Survey) -> Iterator[Finding]:
    """Text that no tokenizer accepts."""
    if (endless := found.defects.get("endless")) is not None:
        error = endless_word_error(endless.first.file, endless.first.line, endless.detail)
        yield refusal(error, "endless", split, endless.first, endless.count)
    if (end := found.defects.get("end")) is not None:
        more = f" ({end.count:,} in all)"
        yield refusal(literal_end_error(), "literal_end", split, end.first, end.count, about=END, more=more)


def _columns(train: Survey, config: Config) -> Iterator[Finding]:
    """A stream that is too short for a batch."""
    size = config.training.batch_size
    if config.data.mode == "stream" and 0 < train.predicted < size:
        error = small_stream_error(train.files[0].name, train.predicted, size)
        yield refusal(error, "columns", "train", count=train.predicted)


def _texts(findings: Sequence[Finding], watch: Watch | None) -> dict[Finding, str]:
    """The line, or an excerpt of it, for each finding that has a place."""
    wanted: dict[str, set[int]] = {}
    for finding in findings:
        if isinstance(finding.where, Place):
            wanted.setdefault(finding.where.file, set()).add(finding.where.line)
    counter = ByteCounter(watch, LOOKING_UP, size_of(list(wanted)))
    texts = {file: lines_at(file, lines, LONGEST_LINE, counter) for file, lines in wanted.items()}
    return {
        finding: _excerpt(text, finding.about)
        for finding in findings
        if isinstance(finding.where, Place) and (text := texts[finding.where.file].get(finding.where.line)) is not None
    }


def _excerpt(line: str, about: str) -> str:
    """At most `SAMPLE` characters of a line, with those that the finding is about."""
    at = line.find(about) if about else 0
    if at <= BEFORE:
        return line[:SAMPLE]
    start = line.find(" ", at - BEFORE, at) + 1 or at - BEFORE // 2
    return CUT + line[start : start + SAMPLE]
