"""Words that look alike though their characters differ: composed or decomposed, with characters that nobody can see."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from rnncli.text.invisible import escaped, shown

# Printable to Python, but blank: joiners and fillers, variation selectors.
BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def look(word: str) -> str:
    """The same text for words that look alike."""
    if word.isascii() and word.isprintable():
        return word
    seen = BLANK.sub("", unicodedata.normalize("NFKC", word))
    return "".join(filter(str.isprintable, seen))


def told_apart(words: Iterable[str]) -> list[str]:
    r"""The words as a message shows them, see `shown`; all that is not ASCII is escaped (`cafe\u0301`) if another of
    the words looks the same, or if the word looks like nothing.
    """
    words = list(words)
    looks = Counter(map(look, dict.fromkeys(words)))
    return [escaped(word) if looks[look(word)] > 1 or not look(word).strip() else shown(word) for word in words]
