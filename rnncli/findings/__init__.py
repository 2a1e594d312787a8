"""A check of a corpus: the facts of its texts, and what they mean for a training run."""

from __future__ import annotations

from rnncli.findings.examine import Report, examine
from rnncli.findings.finding import SEVERITIES, Finding, ranked

__all__ = ["SEVERITIES", "Finding", "Report", "examine", "ranked"]
