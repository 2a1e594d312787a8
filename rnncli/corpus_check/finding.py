"""Findings about a corpus, and their order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rnncli.corpus_check.facts import Place
from rnncli.errors import TextError

SEVERITIES = ("error", "warning", "note")
"""`error`: `rnncli train` refuses the text. `warning`: the model would be worse. `note`: good to know."""


@dataclass(frozen=True)
class Finding:
    """Something about a text that its user should know before training.

    kind: a short name, the same for all findings of this kind. split: train, valid or test. where: the first such line,
    or the file. what: the problem; advice: the remedy. count: number of occurrences. share: of the lines, words or
    characters, 0 to 1. about: the part of the line to look at; empty for the whole line.
    """

    severity: str
    kind: str
    split: str
    where: Place | str
    what: str
    advice: str
    count: int = 1
    share: float = 1.0
    about: str = ""


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first; within a severity, the largest share of the text first."""
    return sorted(findings, key=lambda each: (SEVERITIES.index(each.severity), -each.share))


def refusal(
    error: TextError,
    kind: str,
    split: str,
    where: Place | None = None,
    count: int = 1,
    share: float = 1.0,
    about: str = "",
    more: str = "",
) -> Finding:
    """The finding for an error that `rnncli train` would raise. more: a text to append to the problem."""
    place = error.location if where is None else where
    return Finding("error", kind, split, place, error.problem + more, error.remedy, count, share, about)


def percent(share: float) -> str:
    """A share in words: `12 %`, `0.4 %`, `under 0.01 %`."""
    if share < 0.0001:
        return "under 0.01 %"
    digits = 0 if share >= 0.1 else 1 if share >= 0.01 else 2
    return f"{100 * share:.{digits}f} %"


def share_of(count: int, total: int) -> float:
    """The share of a count that may exceed the total: several in a word."""
    return min(1.0, count / max(total, 1))
