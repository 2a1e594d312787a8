"""Marks that other tools put into texts: ends of sentences, unknown words, HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rnncli.config.config import Config
from rnncli.config.corpora import text_format
from rnncli.corpus_check.facts import Occurrences, Survey
from rnncli.corpus_check.finding import Finding, share_of
from rnncli.schema.suggestions import counted
from rnncli.text.encodings import CLEAN, filtering
from rnncli.text.tokenize import END, UNKNOWN

SENTENCE = re.compile(r"</?s>|<(?:[bes]os|eo[lst]|end|start|sep|cls)>|\[(?:[BES]OS|SEP|CLS|EOT)\]|<\|[a-z_]+\|>", re.I)
UNKNOWNS = re.compile(r"<(?:unk/?|unknown|oov|rare)>|\[UNK\]|UNK", re.I)
PADDING = re.compile(r"<(?:pad|mask|blank)>|\[(?:PAD|MASK)\]", re.I)
TAG = re.compile(
    r"</?(?:p|br|div|span|a|b|i|u|em|strong|h[1-6]|ul|ol|li|table|tr|td|ref|doc|text|html|body|head|title|font|img)"
    r"(?:\s[^<>]*)?/?>",
    re.I,
)
KINDS = {"sentence_marks": SENTENCE, "unknown_marks": UNKNOWNS, "padding": PADDING, "tags": TAG}
# What may be a mark, by its first byte, which the search finds fast.
MAYBE = (
    re.compile(rb"<(?!unk>|end>)[A-Za-z/|][^<>\n]{0,200}>"),
    re.compile(rb"\[(?:UNK|PAD|MASK|CLS|SEP|[BES]OS|EOT)\]"),
    re.compile(rb"UNK(?<![\w<\[]UNK)(?![\w>\]])"),
)
ENTITY = re.compile(rb"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,7});")
SHOWN = 4
UNESCAPE = "python3 -c 'import html, sys; sys.stdout.writelines(map(html.unescape, sys.stdin))'"


def marks(data: bytes) -> Iterator[tuple[str, int, str]]:
    """The marks in a text: kind, position and mark of each, by kind in the order of the text."""
    for maybe in MAYBE:
        for found in maybe.finditer(data):
            mark = found.group().decode(errors="replace")
            kind = next((kind for kind, pattern in KINDS.items() if pattern.fullmatch(mark)), None)
            if kind is not None:
                yield kind, found.start(), mark
    for found in ENTITY.finditer(data):
        yield "entities", found.start(), found.group().decode()


def in_markup(split: str, found: Survey, config: Config) -> Iterator[Finding]:
    """Marks of other tools, each kind with the command that removes or replaces it."""
    defects = found.defects
    if (ends := defects.get("sentence_marks")) is not None:
        own = f"each line ends in {END} already, and to the model these are words like others"
        if not text_format(config.data).ends:
            own = f"write a sentence a line and set data.line_end: true, so that {END} is the end of each"
        command = _replaced(ends, "")
        yield _finding(
            "sentence_marks", split, found, "mark of a sentence's beginning or end", f"{own}; remove: {command}"
        )
    unknown = defects.get("unknown_marks")
    if unknown is not None and not (config.data.lowercase and all(mark.lower() == UNKNOWN for mark in unknown.parts)):
        advice = f"to the model these are words like others; its mark of an unknown word is {UNKNOWN}: "
        yield _finding("unknown_marks", split, found, "mark of an unknown word", advice + _replaced(unknown, UNKNOWN))
    if (padding := defects.get("padding")) is not None:
        advice = f"lines need no padding here; remove them: {_replaced(padding, '')}"
        yield _finding("padding", split, found, "mark of padding or of a blank", advice)
    if (tags := defects.get("tags")) is not None:
        advice = (
            f"if they do not belong to the language, make them spaces: {_replaced(tags, ' ', f'(?i:{TAG.pattern})')}"
        )
        yield _finding("tags", split, found, "HTML tag", advice)
    if (entities := defects.get("entities")) is not None:
        command = filtering(entities.first.file, UNESCAPE, new=CLEAN, before_file="<")
        advice = f"each stands for a character; put that: {command}"
        yield _finding("entities", split, found, "HTML character reference", advice)


def _finding(kind: str, split: str, found: Survey, what: str, advice: str) -> Finding:
    marks = found.defects[kind]
    usual = sorted(marks.parts, key=lambda mark: (-marks.parts[mark], mark))[:SHOWN]
    shown = ", ".join(f"{mark} ({marks.parts[mark]:,})" for mark in usual)
    rest = ", …" if len(marks.parts) > SHOWN else ""
    many = what.replace("mark", "marks", 1) if what.startswith("mark") else None
    problem = f"{counted(marks.count, what, many)}: {shown}{rest}"
    share = share_of(marks.count, found.lines)
    return Finding("warning", kind, split, marks.first, problem, advice, marks.count, share, marks.detail)


def _replaced(marks: Occurrences, by: str, expression: str = "") -> str:
    """The command that replaces marks; the one space that this leaves at an end of a line goes, too."""
    bare = r"(?<![\w<\[])UNK(?![\w>\]])"
    any_mark = expression or "|".join(bare if mark == "UNK" else re.escape(mark) for mark in sorted(marks.parts))
    command = (
        f"perl -pe 's{{{any_mark}}}{{{by}}}g'"
        if by
        else f"perl -pe 's{{ ?(?:{any_mark}) ?}}{{ }}g and s{{^ | $}}{{}}g'"
    )
    return filtering(marks.first.file, command, new=CLEAN)
