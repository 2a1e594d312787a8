"""What a finding is, and which comes first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rnncli.corpus_check.facts import Place

SEVERITIES = ("error", "warning", "note")
"""`error`: `rnncli train` would refuse the text. `warning`: the model would be worse. `note`: good to know."""


@dataclass(frozen=True)
class Finding:
    """Something about a text that its user should know before training.

    kind: one word, the same for all findings of this sort. split: train, valid or test. where: the line to look at,
    or the file. count: how often it is there. share: of the lines, words or characters. about: what to look at in the
    line, as it stands there; empty where it is the whole line.
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
    """Errors first; within a severity what touches the larger share of its text."""
    return sorted(findings, key=lambda each: (SEVERITIES.index(each.severity), -each.share))


def of_message(kind: str, split: str, message: object, *names: str) -> Finding:
    """An error, from the message that training would end with: `where: what; advice`.

    names: of files that it may begin with; there is no telling which `: ` is part of a name.
    """
    told = str(message)
    name = max((name for name in names if told.startswith(name)), key=len, default="")
    place, _, rest = told[len(name) :].partition(": ")
    what, _, advice = rest.partition("; ")
    return Finding("error", kind, split, name + place, what, advice)


def percent(share: float) -> str:
    """A share as it is told: `12 %`, `0.4 %`, `under 0.01 %`."""
    if share < 0.0001:
        return "under 0.01 %"
    digits = 0 if share >= 0.1 else 1 if share >= 0.01 else 2
    return f"{100 * share:.{digits}f} %"


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 line`, `2,000 lines`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
