"""Findings about the bytes and characters of a text."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping

from rnncli.config.config import Config
from rnncli.corpus_check.block_survey import INVISIBLE
from rnncli.corpus_check.facts import Occurrences, Survey
from rnncli.corpus_check.finding import Finding, percent, refusal
from rnncli.schema.suggestions import counted
from rnncli.text.lines import not_utf8_error, nul_error

BULK = 0.99  # of the letters: if one script has this share, letters of others are reported
# Scripts that are used together, by the first word of the names of their letters.
TOGETHER = dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO"), "East Asian")
NO_SCRIPT = ("MICRO", "FEMININE", "MASCULINE", "MODIFIER")  # µ, ª, º and others that Unicode calls letters of no script
SHOWN = 4  # characters of a kind to name

CharacterOccurrences = Mapping[str, Occurrences]


def in_characters(split: str, found: Survey, config: Config) -> Iterator[Finding]:
    """Invalid and unusual characters of a text."""
    if (bad := found.defects.get("not_utf8")) is not None:
        error, more = not_utf8_error(bad.first.file, bad.first.line, bad.detail), counted(bad.count, "such byte")
        yield refusal(error, "not_utf8", split, bad.first, bad.count, about="\ufffd", more=f" ({more} in all)")
    if (nul := found.characters.get("\0")) is not None:
        error = nul_error(nul.first.file, nul.first.line, found.defects["nul"].detail)
        more = f" ({counted(nul.count, 'NUL')} in all)"
        yield refusal(error, "nul", split, nul.first, nul.count, about="\0", more=more)
    yield from _line_ends(split, found)
    yield from _marks(split, found)
    yield from _controls(split, found, config)
    yield from _strange(split, found)
    yield from _scripts(split, found)


def _line_ends(split: str, found: Survey) -> Iterator[Finding]:
    if (crlf := found.defects.get("crlf")) is not None:
        mixed = crlf.count < found.characters["\n"].count
        what = f"CRLF ends {crlf.count:,} of {found.lines:,} lines" if mixed else "every line ends in CRLF"
        advice = "both kinds of line end are read alike, but the text may be a mixture of two; look where they change"
        if not mixed:
            advice = "nothing needs doing: it is read like a plain line end"
        yield Finding("note", "crlf", split, crlf.first, what, advice, crlf.count, crlf.count / max(found.lines, 1))
    if (cr := found.defects.get("cr")) is not None:
        advice = f"it does not end a line; if it should, convert it: tr '\\r' '\\n' < {cr.first.file} > lines.txt"
        what = f"{counted(cr.count, 'carriage return')} without a line feed"
        yield Finding("warning", "cr", split, cr.first, what, advice, cr.count, _of(cr.count, found.lines), "\r")


def _marks(split: str, found: Survey) -> Iterator[Finding]:
    if (mark := found.defects.get("bom")) is not None:
        what, advice = "the file begins with a byte-order mark", "nothing needs doing: it is not read as text"
        yield Finding("note", "bom", split, mark.first, what, advice, mark.count, 0.0)
    if (inside := found.characters.get("\ufeff")) is not None:
        yield Finding(
            "warning",
            "bom_inside",
            split,
            inside.first,
            f"{counted(inside.count, 'byte-order mark')} (U+FEFF) in the middle of the text",
            "it makes the word beside it a different word; it often comes from files joined with cat; "
            "remove it: sed -i 's/\\xef\\xbb\\xbf//g' FILE",
            inside.count,
            _of(inside.count, found.tokens),
            "\ufeff",
        )
    if (glued := found.defects.get("glued")) is not None:
        which = {c: seen for c, seen in found.characters.items() if c in INVISIBLE}
        yield Finding(
            "warning",
            "glued",
            split,
            glued.first,
            f"{counted(glued.count, 'invisible character')} glued to words: {_named(which)}",
            "each makes its word a different word; remove them",
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
        advice = "they are read as part of words; remove them: tr -d '\\001-\\010\\016-\\033\\177' < FILE > clean.txt"
        yield _group("warning", "control", split, odd, "control character", advice, found.tokens)
    if spaces:
        advice = "nothing needs doing: they are read as white space, but do not end a line"
        if not as_space:
            advice = "to the tokenizer characters each is a different character; replace them by plain spaces"
        yield _group("note", "spaces", split, spaces, "other white space character", advice, found.tokens)


def _strange(split: str, found: Survey) -> Iterator[Finding]:
    if (twice := found.defects.get("mojibake")) is not None:
        yield Finding(
            "warning",
            "mojibake",
            split,
            twice.first,
            f"{counted(twice.count, 'sign')} of text that was encoded twice, the first {twice.detail!r}",
            f"if this is true of the whole text, undo it: iconv -f utf-8 -t cp1252 {twice.first.file} > once.txt",
            twice.count,
            _of(twice.count, found.tokens),
            twice.detail,
        )
    if (lost := found.characters.get("\ufffd")) is not None:
        what = f"{counted(lost.count, 'replacement character')} (U+FFFD): letters lost in an earlier conversion"
        advice, share = "get the text again from its source, in its original encoding", _of(lost.count, found.tokens)
        yield Finding("warning", "replacement", split, lost.first, what, advice, lost.count, share, "\ufffd")
    private = {c: s for c, s in found.characters.items() if unicodedata.category(c) in ("Co", "Cn")}
    if private:
        advice = "they come from special fonts, or from damage; replace them"
        yield _group(
            "warning", "unassigned", split, private, "character without a meaning in Unicode", advice, found.tokens
        )


def _scripts(split: str, found: Survey) -> Iterator[Finding]:
    """Letters of other scripts, in a text that has nearly all letters of one script."""
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
        advice = f"the text is {percent(most / total)} {name}; check whether these belong there"
        what = "letter of another script"
        yield _group("note", "scripts", split, others, what, advice, total, "letters of other scripts")


def _script(letter: str) -> str | None:
    """The script of a letter (LATIN, GREEK, …) by the first word of its name; None if the name has no script."""
    first = unicodedata.name(letter, "").partition(" ")[0]
    return None if not first or first in NO_SCRIPT else TOGETHER.get(first, first)


def _group(
    severity: str,
    kind: str,
    split: str,
    which: CharacterOccurrences,
    what: str,
    advice: str,
    total: int,
    many: str | None = None,
) -> Finding:
    """One finding for all characters of a kind, at the first place of the most frequent one."""
    count = sum(seen.count for seen in which.values())
    most = max(which, key=lambda c: which[c].count)
    problem = f"{counted(count, what, many)}: {_named(which)}"
    return Finding(severity, kind, split, which[most].first, problem, advice, count, _of(count, total), most)


def _named(which: CharacterOccurrences) -> str:
    """`U+200B zero width space (12), …`, the most frequent first."""
    by_count = sorted(which, key=lambda c: (-which[c].count, c))
    names = [f"{_name(c)} ({which[c].count:,})" for c in by_count[:SHOWN]]
    rest = len(by_count) - SHOWN
    return ", ".join(names) + (f" and {rest:,} more" if rest > 0 else "")


def _name(character: str) -> str:
    shown = f" {character}" if character.isprintable() and not character.isspace() else ""
    name = unicodedata.name(character, "").lower()
    return f"U+{ord(character):04X}{shown}{' ' + name if name else ''}"


def _of(count: int, total: int) -> float:
    return min(1.0, count / max(total, 1))
