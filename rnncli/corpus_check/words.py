"""Findings about words outside the vocabulary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rnncli.corpus_check.facts import Occurrences, Place, Survey
from rnncli.corpus_check.finding import Finding, percent, refusal
from rnncli.schema.suggestions import LONGEST, counted, shown
from rnncli.text.tokenize import UNKNOWN
from rnncli.text.vocabulary import Vocabulary

MANY_UNKNOWN = 0.1  # of the tokens: a warning from this share on
SHOWN = 5  # words of train that are missing


def outside(found: Survey, vocabulary: Vocabulary) -> Counter[str]:
    """The words outside a vocabulary, and how often each occurs in the text."""
    return Counter({word: n for word, n in found.words.items() if word not in vocabulary})


def in_words(split: str, found: Survey, vocabulary: Vocabulary, train: Survey, remedy: str | None) -> Iterator[Finding]:
    """Words outside the vocabulary; an error if it has no `<unk>`. remedy: if they are no words of the language."""
    lacking = outside(found, vocabulary)
    if not lacking:
        return
    share = lacking.total() / max(found.words.total(), 1)
    types = len(lacking) / len(found.words)
    count = f"{counted(lacking.total(), 'word')} of {split} ({percent(share)}; {percent(types)} of the distinct ones)"
    what = f"{count} {'is' if lacking.total() == 1 else 'are'} not in the vocabulary"
    if split == "train":
        if share >= MANY_UNKNOWN:
            advice = f"each is read as {UNKNOWN}; {remedy or 'raise vocabulary.max_size or lower vocabulary.min_count'}"
            yield Finding("warning", "unknown", split, "vocabulary", what, advice, lacking.total(), share)
        return
    # A space that replaces a line end is in no line, so the finding names the first line.
    unknown = found.defects.get("unknown") or Occurrences(0, Place(found.files[0].name, 1), next(iter(lacking)))
    if vocabulary.unknown_id is None:
        word = unknown.detail if len(unknown.detail) <= LONGEST else unknown.detail[:LONGEST] + "…"
        error, more = vocabulary.unknown_word_error(word), f"; in all, {count}" if lacking.total() > 1 else ""
        if remedy is not None:
            error.remedy = remedy
        yield refusal(error, "unknown", split, unknown.first, lacking.total(), share, unknown.detail, more)
        return
    new = Counter({word: n for word, n in lacking.items() if word not in train.words})
    only = ""
    if new:
        listed = ", ".join(shown(word) for word in sorted(new, key=lambda w: (-new[w], w))[:SHOWN])
        more = "" if len(new) <= SHOWN else ", …"
        only = f"; {counted(len(new), 'distinct word')} of {split} in no line of train: {listed}{more}"
    yield Finding(
        "warning" if share >= MANY_UNKNOWN else "note",
        "unknown",
        split,
        unknown.first,
        f"{what}{only}",
        f"each is read as {UNKNOWN}; {remedy or 'add training text or enlarge the vocabulary'}",
        lacking.total(),
        share,
        unknown.detail,
    )
