"""Findings about the bytes and characters of a text."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping

from rnncli.config.config import Config
from rnncli.corpus_check.facts import Occurrences, Place, Survey
from rnncli.corpus_check.finding import Finding, percent, refusal, share_of
from rnncli.corpus_check.joiners import for_perl, removing
from rnncli.corpus_check.mojibake import RUNS_MENDED, Mending, is_control, mended, undoing
from rnncli.schema.suggestions import counted
from rnncli.text.encodings import CLEAN, filtering
from rnncli.text.lines import not_utf8_error, nul_error

BULK = 0.99  # of the letters: if one script has this share, letters of others are reported
# Scripts that are used together, by the first word of the names of their letters.
TOGETHER = dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO"), "East Asian")
NO_SCRIPT = ("MICRO", "FEMININE", "MASCULINE", "MODIFIER")  # µ, ª, º and others that Unicode calls letters of no script
SHOWN = 4  # characters of a kind to name
EXAMPLE = 16  # characters of an example

NO_MARKS = r"perl -pe 's/\xef\xbb\xbf//g'"
CONTROLS_MENDED = r"""perl -CSD -MEncode -pe 's/([\x{80}-\x{9f}])/decode("cp1252", chr(ord($1)))/ge'"""
TO_LINES = r"tr '\r' '\n'"

CharacterOccurrences = Mapping[str, Occurrences]


def in_characters(split: str, found: Survey, config: Config) -> Iterator[Finding]:
    """Invalid and unusual characters of a text."""
    bad, nul = found.defects.get("not_utf8"), found.defects.get("nul")
    if bad is not None and bad.block is not None:
        error, more = not_utf8_error(bad.first.file, bad.block), counted(bad.count, "such byte")
        yield refusal(error, "not_utf8", split, bad.first, bad.count, about="\ufffd", more=f" ({more} in all)")
    if nul is not None and nul.block is not None:
        more = f" ({counted(nul.count, 'NUL')} in all)"
        yield refusal(nul_error(nul.first.file, nul.block), "nul", split, nul.first, nul.count, about="\0", more=more)
    mending = _mending(found)
    yield from _line_ends(split, found)
    yield from _mojibake(split, found, mending)
    if mending is not None and mending[2]:
        return  # its characters are none of the text
    yield from _marks(split, found)
    yield from _controls(split, found, config)
    if bad is None:
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
        command = filtering(cr.first.file, TO_LINES, new="lines.txt", before_file="<")
        advice = f"it does not end a line; if it should, convert it: {command}"
        what = f"{counted(cr.count, 'carriage return')} without a line feed"
        yield Finding("warning", "cr", split, cr.first, what, advice, cr.count, share_of(cr.count, found.lines), "\r")


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
            f"remove it: {filtering(inside.first.file, NO_MARKS, new=CLEAN)}",
            inside.count,
            share_of(inside.count, found.tokens),
            "\ufeff",
        )
    if (glued := found.defects.get("glued")) is not None:
        which = {c: Occurrences(n, glued.first) for c, n in glued.parts.items()}
        yield Finding(
            "warning",
            "glued",
            split,
            glued.first,
            f"{counted(glued.count, 'invisible character')} where none belongs: {_named(which)}",
            "each makes a word a different word, or is one itself; remove them: "
            f"{filtering(glued.first.file, removing(which, found.characters), new=CLEAN)}",
            glued.count,
            share_of(glued.count, found.tokens),
            glued.detail,
        )


def _controls(split: str, found: Survey, config: Config) -> Iterator[Finding]:
    """Control characters and unusual white space."""
    controls = {c: s for c, s in found.characters.items() if unicodedata.category(c) == "Cc" and c not in "\0\t\n\r"}
    spaces = {c: s for c, s in found.characters.items() if unicodedata.category(c) in ("Zs", "Zl", "Zp") and c != " "}
    western = {c: s for c, s in controls.items() if is_control(c)}
    controls = {c: s for c, s in controls.items() if c not in western}
    as_space = config.data.tokenizer != "characters"
    if as_space:
        spaces |= {c: s for c, s in controls.items() if c.isspace()}
    if western and "mojibake" not in found.defects:
        command = filtering(next(iter(western.values())).first.file, CONTROLS_MENDED, new=CLEAN)
        advice = f"text of Windows-1252 that was read as Latin-1 has them; this reads them as Windows-1252: {command}"
        yield _group("warning", "control", split, western, "control character", advice, found.tokens)
    if odd := {c: s for c, s in controls.items() if c not in spaces}:
        one = f"[{for_perl(''.join(sorted(odd)))}]"
        command = rf"perl -CSD -pe 's/\e\[[0-9;]*[A-Za-z]|{one}//g'" if "\x1b" in odd else f"perl -CSD -pe 's/{one}//g'"
        advice = "they are read as part of words; remove them: "
        advice += filtering(next(iter(odd.values())).first.file, command, new=CLEAN)
        yield _group("warning", "control", split, odd, "control character", advice, found.tokens)
    if spaces:
        advice = "nothing needs doing: they are read as white space, but do not end a line"
        if not as_space:
            advice = "to the tokenizer characters each is a different character; replace them by plain spaces"
        yield _group("note", "spaces", split, spaces, "other white space character", advice, found.tokens)


def _mending(found: Survey) -> tuple[Mending, Place, bool] | None:
    """How to undo the mojibake of a text, a line that has it, and whether all of the text has it."""
    if found.defects.keys() & {"not_utf8", "nul"}:
        return None
    lines, third = found.foreign, -(-len(found.foreign) // 3)
    whole = mended([line for _, line in lines])
    if whole is not None:
        return whole, lines[0][0], True
    for part in (lines[i : i + third] for i in range(0, len(lines), third or 1)):
        if (mending := mended([line for _, line in part])) is not None:
            return mending, part[0][0], False
    return None


def _mojibake(split: str, found: Survey, mending: tuple[Mending, Place, bool] | None) -> Iterator[Finding]:
    signs = found.defects.get("mojibake")
    if mending is not None:
        undo, place, whole = mending
        before = next(line for at, line in found.foreign if at == place)
        wrong, right = _difference(before, undo.text)
        what = f"{'the text' if whole else 'a part of the text'} is mojibake, {undo}: {right!r} became {wrong!r}"
        advice = undoing(place.file, undo, found.characters, whole)
        letters = sum(seen.count for c, seen in found.characters.items() if c > "\x7f")
        yield Finding("warning", "mojibake", split, place, what, advice, letters, 1.0 if whole else 0.5)
    elif signs is not None:
        yield Finding(
            "warning",
            "mojibake",
            split,
            signs.first,
            f"{counted(signs.count, 'sign')} of text that was encoded twice, the first {signs.detail!r}",
            f"undo it where it stands: {filtering(signs.first.file, RUNS_MENDED, new=CLEAN)}",
            signs.count,
            share_of(signs.count, found.tokens),
            signs.detail,
        )


def _difference(one: str, other: str) -> tuple[str, str]:
    """The words of two texts in which they first differ, or the beginning of these."""
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    begin = max(one.rfind(" ", 0, at) + 1, at - EXAMPLE // 2)
    return one[begin : begin + EXAMPLE], other[begin : begin + EXAMPLE].partition("\n")[0]


def _strange(split: str, found: Survey) -> Iterator[Finding]:
    """Characters without a meaning, or for a lost one."""
    if (lost := found.characters.get("\ufffd")) is not None:
        what = f"{counted(lost.count, 'replacement character')} (U+FFFD): letters lost in an earlier conversion"
        advice, share = (
            "get the text again from its source, in its original encoding",
            share_of(lost.count, found.tokens),
        )
        yield Finding("warning", "replacement", split, lost.first, what, advice, lost.count, share, "\ufffd")
    private = {c: s for c, s in found.characters.items() if unicodedata.category(c) in ("Co", "Cn")}
    if private:
        advice = "they come from special fonts, or from damage; replace them"
        one, many = (f"{word} without a meaning in Unicode" for word in ("character", "characters"))
        yield _group("warning", "unassigned", split, private, one, advice, found.tokens, many)


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
    return Finding(severity, kind, split, which[most].first, problem, advice, count, share_of(count, total), most)


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
