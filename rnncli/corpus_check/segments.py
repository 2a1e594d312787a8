"""Text without spaces between its words, cut at white space: each clause or line becomes one word."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rnncli.config.config import Config
from rnncli.corpus_check.facts import Survey
from rnncli.corpus_check.finding import Finding
from rnncli.corpus_check.joiners import for_perl
from rnncli.text.encodings import filtering
from rnncli.text.invisible import ZWSP

# Letters and marks of scripts that put no spaces between words, and how long words are on average, at most, if cut.
SCRIPTS = {
    "Chinese or Japanese": ("\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff", 4),
    "Thai": ("\u0e00-\u0e7f", 9),
    "Lao": ("\u0e80-\u0eff", 9),
    "Burmese": ("\u1000-\u109f", 9),
    "Khmer": ("\u1780-\u17ff", 9),
    "Tibetan": ("\u0f00-\u0fff", 12),
}
CHARACTERS = "set data.tokenizer: characters"
MOST = 0.5  # of the letters


def in_segments(split: str, found: Survey, config: Config) -> Iterator[Finding]:
    """Text in a script without spaces between words that nobody has cut into words."""
    if config.data.tokenizer == "characters":
        return
    letters = sum(seen.count for c, seen in found.characters.items() if c.isalpha())
    for name, (letter, longest) in SCRIPTS.items():
        script = re.compile(f"[{letter}]")
        of_script = {c: seen for c, seen in found.characters.items() if script.match(c)}
        count = sum(seen.count for seen in of_script.values())
        if not count or count < MOST * letters:
            continue
        tokens = sum(n for word, n in found.words.items() if script.search(word))
        if count <= longest * tokens:
            continue
        first = next(iter(of_script.values())).first
        mean, kinds = count / max(tokens, 1), f"{len(found.words):,} of {found.words.total():,}"
        what = (
            f"{name} without spaces between words: data.tokenizer {config.data.tokenizer} reads all between two spaces "
        )
        what += f"as one word, of {mean:,.0f} characters on average, and {kinds} are different"
        advice = f"{CHARACTERS}, or put spaces between the words first, with a tool for that language"
        if ZWSP in found.characters:
            command = filtering(first.file, f"perl -CSD -pe 's/{for_perl(ZWSP)}/ /g'", new="words.txt")
            advice = f"U+200B, zero width space, stands between the words; make it a space: {command}"
        yield Finding("warning", "unsegmented", split, first, what, advice, tokens)
        return
