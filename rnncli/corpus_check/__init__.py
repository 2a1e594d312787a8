"""A check of a corpus: the facts of its texts, and what they mean for a training run."""

from __future__ import annotations

from rnncli.corpus_check.examine import Report, examine
from rnncli.corpus_check.finding import SEVERITIES, Finding, ranked

__all__ = ["SEVERITIES", "Finding", "Report", "examine", "ranked"]
