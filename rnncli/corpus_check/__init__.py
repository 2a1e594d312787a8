"""A check of a corpus before training: the facts of its texts, and what they mean for a training run."""

from __future__ import annotations

from rnncli.corpus_check.check import Report, check
from rnncli.corpus_check.finding import SEVERITIES, Finding, ranked

__all__ = ["SEVERITIES", "Finding", "Report", "check", "ranked"]
