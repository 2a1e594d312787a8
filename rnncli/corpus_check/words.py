"""Findings about words: those that a vocabulary does not have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rnncli.corpus_check.facts import Place, Seen, Survey
from rnncli.corpus_check.finding import Finding, counted, of_message, percent
from rnncli.text.tokenize import UNKNOWN
from rnncli.text.vocabulary import Vocabulary

MANY_UNKNOWN = 0.1  # of the tokens: from here on, a warning
SHOWN = 5


def outside(found: Survey, vocabulary: Vocabulary) -> Counter[str]:
    """The words that a vocabulary lacks, and how often each stands in the text."""
    return Counter({word: n for word, n in found.words.items() if word not in vocabulary})


def in_words(split: str, found: Survey, vocabulary: Vocabulary, train: Survey) -> Iterator[Finding]:
    """Words outside the vocabulary; an error where it has no `<unk>` to stand for them."""
    lacking = outside(found, vocabulary)
    if not lacking:
        return
    share = lacking.total() / max(found.words.total(), 1)
    types = len(lacking) / len(found.words)
    count = f"{counted(lacking.total(), 'word')} of {split} ({percent(share)}; {percent(types)} of the distinct ones)"
    told = f"{count} {'is' if lacking.total() == 1 else 'are'} not in the vocabulary"
    if split == "train":
        if share >= MANY_UNKNOWN:
            advice = f"each is read as {UNKNOWN}; raise vocabulary.max_size or lower vocabulary.min_count"
            yield Finding("warning", "unknown", split, "vocabulary", told, advice, lacking.total(), share)
        return
    # A space that stands for a line end is in no line: there is none to point at.
    sign = found.signs.get("unknown") or Seen(0, Place(found.files[0].name, 1), next(iter(lacking)))
    if vocabulary.unknown_id is None:
        error = of_message("unknown", split, vocabulary.outside(sign.detail, str(sign.first)), str(sign.first))
        what = f"{error.what}; in all, {count}" if lacking.total() > 1 else error.what
        yield Finding("error", "unknown", split, sign.first, what, error.advice, lacking.total(), share, sign.detail)
        return
    new = Counter({word: n for word, n in lacking.items() if word not in train.words})
    only = ""
    if new:
        shown = ", ".join(repr(word) for word in sorted(new, key=lambda w: (-new[w], w))[:SHOWN])
        more = "" if len(new) <= SHOWN else ", …"
        only = f"; {counted(len(new), 'distinct word')} of {split} in no line of train: {shown}{more}"
    yield Finding(
        "warning" if share >= MANY_UNKNOWN else "note",
        "unknown",
        split,
        sign.first,
        f"{told}{only}",
        f"each is read as {UNKNOWN}; more training text would know more of them, a larger vocabulary may",
        lacking.total(),
        share,
        sign.detail,
    )
