"""Findings about words that a text writes in two ways, so that they are two words of the vocabulary."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator

from rnncli.config.config import Config
from rnncli.corpus_check.facts import Occurrences, Survey
from rnncli.corpus_check.finding import Finding, percent, share_of
from rnncli.corpus_check.joiners import for_perl
from rnncli.schema.suggestions import counted
from rnncli.text.encodings import CLEAN, filtering
from rnncli.text.lookalikes import told_apart

APOSTROPHES = "\u2019\u2018\u02bc\u2032\uff07"  # beside the straight one
DOUBLE_QUOTES = "\u201c\u201d\u201e\u201f"
FULL_WIDTH = "\uff10-\uff19\uff21-\uff3a\uff41-\uff5a"
LIGATURES = {
    "\ufb00": "ff",
    "\ufb01": "fi",
    "\ufb02": "fl",
    "\ufb03": "ffi",
    "\ufb04": "ffl",
    "\ufb05": "st",
    "\ufb06": "st",
}
SHOWN = 40  # characters of a word
FEW = 0.005  # of the letters: dotless i in Turkish and Azerbaijani is more
TURKIC, LITHUANIAN, ACCENTED = "ıİ", "ėųįĖŲĮ", "ÌÍĨ"


def in_spellings(split: str, found: Survey, config: Config) -> Iterator[Finding]:
    """Words and signs that are written in two ways, and letters that lowercasing spoils."""
    yield from _decomposed(split, found)
    yield from _apostrophes(split, found)
    yield from _quotes(split, found)
    yield from _wide(split, found)
    yield from _ligatures(split, found)
    if config.data.lowercase and config.data.language is None:
        yield from _lowercased(split, found)


def _decomposed(split: str, found: Survey) -> Iterator[Finding]:
    """Letters written as a letter and a combining mark, that have a character of their own."""
    if (seen := found.defects.get("decomposed")) is None:
        return
    pairs = _pairs(found.words, _composed)
    word = seen.detail[:SHOWN]
    example, _ = told_apart([word, _composed(word)])
    what = f"{counted(seen.count, 'word is', 'words are')} not in the normal form NFC, such as '{example}'"
    if pairs:
        one, other = told_apart(pairs[0])
        both = counted(len(pairs), "word is", "words are")
        what += f"; {both} written in both ways: '{other}' and '{one}' look alike, and are two words"
    yield Finding(
        "warning" if pairs else "note",
        "decomposed",
        split,
        seen.first,
        what,
        "data.normalize: nfc reads both as one, in every seed too",
        seen.count,
        share_of(seen.count, found.tokens),
        seen.detail,
    )


def _apostrophes(split: str, found: Survey) -> Iterator[Finding]:
    """Words with a straight apostrophe, and the same with a curly one."""
    straight = str.maketrans(dict.fromkeys(APOSTROPHES, "'"))
    pairs = [pair for pair in _pairs(found.words, lambda word: word.translate(straight)) if pair[1].strip("'")]
    used = [c for c in APOSTROPHES if any(c in one for one, _ in pairs)]
    if not pairs:
        return
    one, other = pairs[0]
    count = sum(min(found.words[a], found.words[b]) for a, b in pairs)
    first = found.characters[used[0]].first
    twice = counted(len(pairs), "word is", "words are")
    what = f"{twice} written with two apostrophes: {other} ({found.words[other]:,})"
    what += f" and {one} ({found.words[one]:,}), which are two words"
    advice = "write one for both: " + _sed(first.file, dict.fromkeys(used, "'"))
    yield Finding("warning", "apostrophes", split, first, what, advice, count, share_of(count, found.tokens), used[0])


def _quotes(split: str, found: Survey) -> Iterator[Finding]:
    curly = {c: found.characters[c] for c in DOUBLE_QUOTES if c in found.characters}
    straight = found.characters.get('"')
    if straight is None or not curly:
        return
    count = sum(seen.count for seen in curly.values())
    fewer, first = min(
        (straight.count, straight.first), (count, next(iter(curly.values())).first), key=lambda each: each[0]
    )
    shown = f"{' '.join(curly)} ({count:,})"
    what = f"both kinds of quotation marks: straight ones ({straight.count:,}) and curly ones, {shown}"
    advice = "write one for both: " + _sed(first.file, dict.fromkeys(curly, '"'))
    yield Finding("note", "quotes", split, first, what, advice, fewer, share_of(fewer, found.tokens))


def _wide(split: str, found: Survey) -> Iterator[Finding]:
    """Full-width letters and digits, beside those of ASCII."""
    wide = {c: seen for c, seen in found.characters.items() if "\uff10" <= c <= "\uff5a" and c.isalnum()}
    if not wide or not any(c.isalnum() and c.isascii() for c in found.characters):
        return
    yield _characters(
        "full_width", split, found, wide, "full-width letter or digit", "full-width letters and digits",
        f"perl -CSD -pe 'tr/{for_perl(FULL_WIDTH)}/0-9A-Za-z/'",
    )  # fmt: skip


def _ligatures(split: str, found: Survey) -> Iterator[Finding]:
    used = {c: found.characters[c] for c in LIGATURES if c in found.characters}
    if used:
        command = "sed " + " ".join(f"-e s/{c}/{LIGATURES[c]}/g" for c in used)
        yield _characters(
            "ligatures", split, found, used, "letter that is two", "letters that are two or three", command
        )


def _characters(
    kind: str, split: str, found: Survey, used: dict[str, Occurrences], one: str, many: str, command: str
) -> Finding:
    count = sum(seen.count for seen in used.values())
    first = next(iter(used.values())).first
    what = f"{counted(count, one, many)}, such as {' '.join(list(used)[:4])}: words with them are other words"
    share = share_of(count, found.tokens)
    return Finding(
        "warning",
        kind,
        split,
        first,
        what,
        f"write them plainly: {filtering(first.file, command, new=CLEAN)}",
        count,
        share,
    )


def _lowercased(split: str, found: Survey) -> Iterator[Finding]:
    """Letters i in a language with rules of its own for them."""
    counts = Counter({c: seen.count for c, seen in found.characters.items() if c.isalpha()})
    total = max(counts.total(), 1)
    turkic = sum(counts[c] for c in TURKIC)
    if turkic >= FEW * total or counts["İ"]:
        language = "az" if counts["ə"] + counts["Ə"] >= FEW * total else "tr"
        letters, share = [c for c in TURKIC if counts[c]], turkic / total
        effect = "data.lowercase makes i of İ, and of I, which is the capital of ı"
    elif sum(counts[c] for c in LITHUANIAN) >= FEW * total and any(counts[c] for c in ACCENTED):
        language, letters = "lt", [c for c in ACCENTED if counts[c]]
        effect, share = "data.lowercase loses the dot of i that Lithuanian keeps below an accent", FEW
    else:
        return
    count = sum(counts[c] for c in letters)
    what = f"{counted(count, 'letter')} {' and '.join(letters)} ({percent(count / total)} of the letters): {effect}"
    name = {"tr": "Turkish", "az": "Azerbaijani", "lt": "Lithuanian"}[language]
    advice = f"if it is {name}, set data.language: {language}"
    yield Finding(
        "warning", "language", split, found.characters[letters[0]].first, what, advice, count, share, letters[0]
    )


def _pairs(words: Collection[str], plain: Callable[[str], str]) -> list[tuple[str, str]]:
    """Words that have another plain form, and that form, if both are in the text."""
    others = ((word, plain(word)) for word in words if not word.isascii())
    return [(word, other) for word, other in others if other != word and other in words]


def _composed(word: str) -> str:
    return unicodedata.normalize("NFC", word)


def _sed(name: str, replacements: dict[str, str]) -> str:
    """The command that replaces characters, in any locale."""
    quote = '"' if "'" in replacements.values() else "'"
    expressions = " ".join(f"-e {quote}s/{c}/{by}/g{quote}" for c, by in replacements.items())
    return filtering(name, f"sed {expressions}", new=CLEAN)
