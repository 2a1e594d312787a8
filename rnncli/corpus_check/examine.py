"""Look at all texts of a config, and say what is to be known before training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rnncli.config.config import Config
from rnncli.config.corpora import reading, rules, standing_twice, text_files
from rnncli.corpus_check.block_survey import SAMPLE
from rnncli.corpus_check.characters import in_characters
from rnncli.corpus_check.facts import FileSize, Place, Survey
from rnncli.corpus_check.finding import Finding, counted, of_message, ranked
from rnncli.corpus_check.lines import in_lines, repeated, shared
from rnncli.corpus_check.lookup import count_lines, lines_at
from rnncli.corpus_check.survey import Progress, survey
from rnncli.corpus_check.words import in_words
from rnncli.errors import TextError
from rnncli.text.corpus import held_out
from rnncli.text.encode import LINE_END, Reading
from rnncli.text.files import READING, Watch, passing, size_of
from rnncli.text.tokenize import END
from rnncli.text.vocabulary import Vocabulary, build

LONGEST_LINE = 100_000  # characters of a line in which is looked for what a finding is about
BEFORE = 60  # at most so many characters of a long line are shown before that
CUT = "… "  # stands for what comes before an excerpt

LOOKING_UP = "looking up lines"  # what is done last, while the corpus is read once more


@dataclass(frozen=True, eq=False)
class Report:
    """splits: what was found in train, valid and test, as far as the config has them. vocabulary: None where train
    makes none. findings: ranked. texts: of each finding with a place, the line that stands there; of a long one, what
    is around that which the finding is about.
    """

    splits: dict[str, Survey]
    vocabulary: Vocabulary | None
    findings: list[Finding]
    texts: dict[Finding, str]
    reading: Reading

    @property
    def trainable(self) -> bool:
        return not any(each.severity == "error" for each in self.findings)


def examine(config: Config, watch: Watch | None = None) -> Report:
    """Look at the texts of a config. Raises nothing for what is in them, or for those that are not there."""
    found = list[Finding]()
    splits, whole, vocabulary = _surveys(config, found, watch)
    for number, file in enumerate(whole):
        found += _file("train", file.name, [file, *_part(splits["train"], number)])
    for name, text in splits.items():
        if name != "train" and text.files is not whole:
            found += [each for file in text.files for each in _file(name, file.name, [file])]
        found += _refused(name, text)
        found += in_characters(name, text, config)
        found += in_lines(name, text, config)
        found += repeated(name, text, config)
        if vocabulary is not None:
            found += in_words(name, text, vocabulary, splits["train"])
    found += shared(splits, config)
    found += _columns(splits["train"], config)
    order = ranked(found)
    return Report(splits, vocabulary, order, _texts(order, watch), reading(config.data))


def _surveys(
    config: Config, found: list[Finding], watch: Watch | None
) -> tuple[dict[str, Survey], list[FileSize], Vocabulary | None]:
    """The surveys; the files of data.train, those that are held out included; and the vocabulary."""
    data, how = config.data, reading(config.data)
    files = {"train": _files(config, data.train, "train", found)}
    if (error := standing_twice(files["train"])) is not None:
        found.append(of_message("twice", "train", error, *files["train"]))
    for split, path in (("valid", data.valid), ("test", data.test)):
        if isinstance(path, str):
            files[split] = _files(config, [path], split, found)
    progress = _progress(watch, READING, _to_read(files, data.valid))
    cut = _cut(files["train"], data.valid, found, progress) if isinstance(data.valid, float | int) else None
    train = survey(files["train"], how, stop=cut, progress=progress)
    splits, whole = {"train": train}, train.files
    vocabulary = None
    if not any(file.problem for file in train.files) and train.words:
        vocabulary = _vocabulary(train, config, found)
    known = None if vocabulary is None else frozenset(vocabulary.words)
    if cut is not None:
        splits["valid"] = survey(files["train"], how, known, start=cut, progress=progress)
        whole = splits["valid"].files
        found += _empty_part(splits, config)
    for split, paths in list(files.items())[1:]:
        splits[split] = survey(paths, how, known, progress=progress)
    return splits, whole, vocabulary


def _to_read(files: Mapping[str, Sequence[str]], valid: str | float | None) -> int | None:
    """How many bytes the surveys will read, if that is known."""
    sizes = {split: size_of(paths) for split, paths in files.items()}
    total = 0.0
    for split, size in sizes.items():
        if size is None:
            return None
        # To cut off a part the lines are counted first; then one part is looked at, and all is read for the other.
        total += size * (3 - valid if split == "train" and isinstance(valid, float | int) else 1)
    return round(total)


def _progress(watch: Watch | None, what: str, total: int | None) -> Progress:
    """What adds up the bytes that are read."""
    done = 0

    def progress(size: int) -> None:
        nonlocal done
        done += size
        if watch is not None:
            watch(what, done, total)

    return progress


def _files(config: Config, paths: Sequence[str], split: str, found: list[Finding]) -> list[str]:
    """The files that the paths of a text stand for."""
    files = list[str]()
    for path in paths:
        try:
            files += text_files(config, path)
        except TextError as error:
            found.append(of_message("unreadable", split, error, path))
    return files


def _cut(files: Sequence[str], fraction: float, found: list[Finding], progress: Progress) -> int | None:
    """How many lines are left to train on; None, and a finding, where nothing is left on one side."""
    if pipes := list(filter(passing, files)):
        what = "no file but a pipe or a device, which is read but once: what data.valid sets apart is not known here"
        found.append(Finding("warning", "pipe", "train", pipes[0], what, "write it to a file first"))
        return None
    lines = count_lines(files, progress)
    apart = held_out(lines, fraction)
    if 0 < apart < lines:
        return lines - apart
    if lines:
        side = "no line to validate on" if apart <= 0 else "no line to train on"
        what = f"data.valid: {fraction} of {counted(lines, 'line')} leaves {side}"
        found.append(Finding("error", "split", "valid", files[0], what, "give another fraction, a file, or more text"))
    return None


def _vocabulary(train: Survey, config: Config, found: list[Finding]) -> Vocabulary | None:
    words = {word: n for word, n in train.words.items() if word != END}
    ends = train.lines if reading(config.data).after_line == LINE_END else 0
    try:
        return build(words, ends, rules(config), reading(config.data).tokenizer, train.files[0].name)
    except TextError as error:
        names = [train.files[0].name, *([config.vocabulary.file] if config.vocabulary.file else [])]
        found.append(of_message("vocabulary", "train", error, *names))
        return None


def _part(head: Survey, number: int) -> list[FileSize]:
    """The file with this number, where a survey of the first lines came so far."""
    return head.files[number : number + 1]


def _file(split: str, name: str, parts: Sequence[FileSize]) -> Iterator[Finding]:
    """A file that cannot be read, or has no word."""
    problem = next((part.problem for part in parts if part.problem), "")
    if problem:
        yield of_message("unreadable", split, problem, name)
    elif not any(part.words for part in parts):
        yield Finding("error", "no_word", split, name, "no word in the text", "give a text with at least one")


def _empty_part(splits: dict[str, Survey], config: Config) -> Iterator[Finding]:
    """A side of a text that is cut in two which has no word, though the other has."""
    if reading(config.data).after_line not in (None, LINE_END):
        return  # each line end is read as a space, and so a token
    if not any(part.tokens for part in splits.values()):
        return  # the whole text has none, which is told of its files
    for name, purpose in (("train", "train"), ("valid", "validate")):
        if not splits[name].tokens:
            what = f"no word to {purpose} on from here, with data.valid: {config.data.valid}"
            where = splits[name].place(0) if splits[name].lines else splits[name].files[0].name
            yield Finding("error", "no_word", name, where, what, "give another fraction, or a file")


def _refused(split: str, found: Survey) -> Iterator[Finding]:
    """What no tokenizer can be given."""
    if (endless := found.signs.get("endless")) is not None:
        what = f"no space, tab or line end {endless.detail}"
        yield Finding("error", "endless", split, endless.first, what, "break the text into lines", endless.count)
    if (end := found.signs.get("end")) is not None:
        yield Finding(
            "error",
            "literal_end",
            split,
            end.first,
            f"a literal {END} in the text ({end.count:,} in all)",
            "the end of a line stands for it, so take it out, or write it in another way",
            end.count,
            about=END,
        )


def _columns(train: Survey, config: Config) -> Iterator[Finding]:
    size = config.training.batch_size
    if config.data.mode == "stream" and 0 < train.predicted < size:
        what = f"{counted(train.predicted, 'word')} (ends of lines counted), fewer than the {size} that one batch needs"
        advice = f"set training.batch_size to {train.predicted} or less, or give more text"
        yield Finding("error", "columns", "train", train.files[0].name, what, advice, train.predicted)


def _texts(findings: Sequence[Finding], watch: Watch | None) -> dict[Finding, str]:
    """The lines to look at."""
    wanted: dict[str, set[int]] = {}
    for finding in findings:
        if isinstance(finding.where, Place):
            wanted.setdefault(finding.where.file, set()).add(finding.where.line)
    progress = _progress(watch, LOOKING_UP, size_of(list(wanted)))
    there = {file: lines_at(file, lines, LONGEST_LINE, progress) for file, lines in wanted.items()}
    return {
        finding: _excerpt(text, finding.about)
        for finding in findings
        if isinstance(finding.where, Place) and (text := there[finding.where.file].get(finding.where.line)) is not None
    }


def _excerpt(line: str, about: str) -> str:
    at = line.find(about) if about else 0
    if at <= BEFORE:
        return line[:SAMPLE]
    start = line.find(" ", at - BEFORE, at) + 1 or at - BEFORE // 2
    return CUT + line[start : start + SAMPLE]
