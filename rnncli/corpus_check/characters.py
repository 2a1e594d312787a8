"""Findings about the bytes and characters of a text."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping

from rnncli.config.config import Config
from rnncli.corpus_check.block_survey import INVISIBLE
from rnncli.corpus_check.facts import Seen, Survey
from rnncli.corpus_check.finding import Finding, counted, percent

BULK = 0.99  # of the letters: where one script has so many, letters of others are told
# Scripts that are written together, by the first word of the names of their letters.
TOGETHER = dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO"), "East Asian")
NO_SCRIPT = ("MICRO", "FEMININE", "MASCULINE", "MODIFIER")  # µ, ª, º and the like: letters to Unicode, of any script
SHOWN = 4  # characters of a kind that are named

Characters = Mapping[str, Seen]


def in_characters(split: str, found: Survey, config: Config) -> Iterator[Finding]:
    """What is wrong, or unusual, in the characters of a text."""
    if (bad := found.signs.get("not_utf8")) is not None:
        yield Finding(
            "error",
            "not_utf8",
            split,
            bad.first,
            f"not UTF-8: {bad.detail} ({counted(bad.count, 'such byte')} in all)",
            f"if it is Latin-1, this makes it UTF-8: iconv -f latin1 -t utf-8 {bad.first.file} > utf8.txt",
            bad.count,
            about="\ufffd",
        )
    if (nul := found.characters.get("\0")) is not None:
        detail = f"a NUL byte {found.signs['nul'].detail}, so it is binary ({counted(nul.count, 'NUL')} in all)"
        yield Finding("error", "nul", split, nul.first, detail, "give a plain text file", nul.count, about="\0")
    yield from _line_ends(split, found)
    yield from _marks(split, found)
    yield from _controls(split, found, config)
    yield from _strange(split, found)
    yield from _scripts(split, found)


def _line_ends(split: str, found: Survey) -> Iterator[Finding]:
    if (crlf := found.signs.get("crlf")) is not None:
        mixed = crlf.count < found.characters["\n"].count
        what = f"CRLF ends {crlf.count:,} of {found.lines:,} lines" if mixed else "every line ends in CRLF"
        advice = "both ends are read alike, but the text may be put together of two; look where they change"
        if not mixed:
            advice = "nothing needs doing: it is read like a plain line end"
        yield Finding("note", "crlf", split, crlf.first, what, advice, crlf.count, crlf.count / max(found.lines, 1))
    if (cr := found.signs.get("cr")) is not None:
        advice = f"it ends no line; if it should, this does: tr '\\r' '\\n' < {cr.first.file} > lines.txt"
        what = f"{counted(cr.count, 'carriage return')} without a line feed"
        yield Finding("warning", "cr", split, cr.first, what, advice, cr.count, _of(cr.count, found.lines), "\r")


def _marks(split: str, found: Survey) -> Iterator[Finding]:
    if (mark := found.signs.get("bom")) is not None:
        what, advice = "the file begins with a byte-order mark", "nothing needs doing: it is no part of the text"
        yield Finding("note", "bom", split, mark.first, what, advice, mark.count, 0.0)
    if (inside := found.characters.get("\ufeff")) is not None:
        yield Finding(
            "warning",
            "bom_inside",
            split,
            inside.first,
            f"{counted(inside.count, 'byte-order mark')} (U+FEFF) in the middle of the text",
            "it makes another word of the word that it touches, as where files were put together with cat; "
            "take it out: sed -i 's/\\xef\\xbb\\xbf//g' FILE",
            inside.count,
            _of(inside.count, found.tokens),
            "\ufeff",
        )
    if (glued := found.signs.get("glued")) is not None:
        which = {c: seen for c, seen in found.characters.items() if c in INVISIBLE}
        yield Finding(
            "warning",
            "glued",
            split,
            glued.first,
            f"{counted(glued.count, 'invisible character')} glued to words: {_named(which)}",
            "each makes another word of its word; take them out",
            glued.count,
            _of(glued.count, found.tokens),
            glued.detail,
        )


def _controls(split: str, found: Survey, config: Config) -> Iterator[Finding]:
    controls = {c: s for c, s in found.characters.items() if unicodedata.category(c) == "Cc" and c not in "\0\t\n\r"}
    spaces = {c: s for c, s in found.characters.items() if unicodedata.category(c) in ("Zs", "Zl", "Zp") and c != " "}
    as_space = config.data.tokenizer != "characters"
    if as_space:
        spaces |= {c: s for c, s in controls.items() if c.isspace()}
    if odd := {c: s for c, s in controls.items() if c not in spaces}:
        advice = "they are read as part of words; take them out: tr -d '\\001-\\010\\016-\\033\\177' < FILE > clean.txt"
        yield _group("warning", "control", split, odd, "control character", advice, found.tokens)
    if spaces:
        advice = "nothing needs doing: they are read as white space, but end no line"
        if not as_space:
            advice = "to the tokenizer characters each is a character of its own; make plain spaces of them"
        yield _group("note", "spaces", split, spaces, "other white space character", advice, found.tokens)


def _strange(split: str, found: Survey) -> Iterator[Finding]:
    if (twice := found.signs.get("mojibake")) is not None:
        yield Finding(
            "warning",
            "mojibake",
            split,
            twice.first,
            f"{counted(twice.count, 'sign')} of text that was encoded twice, the first {twice.detail!r}",
            f"if all of it is so, this undoes it: iconv -f utf-8 -t cp1252 {twice.first.file} > once.txt",
            twice.count,
            _of(twice.count, found.tokens),
            twice.detail,
        )
    if (lost := found.characters.get("\ufffd")) is not None:
        what = f"{counted(lost.count, 'replacement character')} (U+FFFD): letters that were lost in an earlier step"
        advice, share = "read the text anew from its source, in its own encoding", _of(lost.count, found.tokens)
        yield Finding("warning", "replacement", split, lost.first, what, advice, lost.count, share, "\ufffd")
    private = {c: s for c, s in found.characters.items() if unicodedata.category(c) in ("Co", "Cn")}
    if private:
        advice = "they come from fonts of their own, or from damage; replace them"
        yield _group(
            "warning", "unassigned", split, private, "character without a meaning in Unicode", advice, found.tokens
        )


def _scripts(split: str, found: Survey) -> Iterator[Finding]:
    """Letters of other scripts, in a text that is nearly all of one."""
    letters = {c: s for c, s in found.characters.items() if unicodedata.category(c)[0] == "L"}
    scripts = {c: script for c in letters if (script := _script(c)) is not None}
    counts: Counter[str] = Counter()
    for c, script in scripts.items():
        counts[script] += letters[c].count
    total = counts.total()
    if not total:
        return
    main, most = counts.most_common(1)[0]
    if BULK * total <= most < total:
        others = {c: letters[c] for c, script in scripts.items() if script != main}
        name = main if main == "East Asian" else main.capitalize()
        advice = f"the text is {percent(most / total)} {name}; look whether these belong there"
        what = "letter of another script"
        yield _group("note", "scripts", split, others, what, advice, total, "letters of other scripts")


def _script(letter: str) -> str | None:
    """Latin, Greek, …, after the first word of the letter's name; None where that says nothing."""
    first = unicodedata.name(letter, "").partition(" ")[0]
    return None if not first or first in NO_SCRIPT else TOGETHER.get(first, first)


def _group(
    severity: str,
    kind: str,
    split: str,
    which: Characters,
    what: str,
    advice: str,
    total: int,
    many: str | None = None,
) -> Finding:
    """One finding for all characters of a kind, at the place of the most frequent."""
    count = sum(seen.count for seen in which.values())
    most = max(which, key=lambda c: which[c].count)
    told = f"{counted(count, what, many)}: {_named(which)}"
    return Finding(severity, kind, split, which[most].first, told, advice, count, _of(count, total), most)


def _named(which: Characters) -> str:
    """`U+200B zero width space (12), …`, the most frequent first."""
    by_count = sorted(which, key=lambda c: (-which[c].count, c))
    told = [f"{_name(c)} ({which[c].count:,})" for c in by_count[:SHOWN]]
    rest = len(by_count) - SHOWN
    return ", ".join(told) + (f" and {rest:,} more" if rest > 0 else "")


def _name(character: str) -> str:
    shown = f" {character}" if character.isprintable() and not character.isspace() else ""
    name = unicodedata.name(character, "").lower()
    return f"U+{ord(character):04X}{shown}{' ' + name if name else ''}"


def _of(count: int, total: int) -> float:
    return min(1.0, count / max(total, 1))
