"""Output layers: hidden states to the negative log-likelihood of the next word, and its gradients.

To add one: a file with a class that has what `Output` says, a line in `OUTPUTS`, and its plain counterpart in
`engines/stepwise.py`.
"""

from __future__ import annotations

from rnncli.outputs.full import FullSoftmax
from rnncli.outputs.output import Output

OUTPUTS: dict[str, type[FullSoftmax]] = {"full": FullSoftmax}

__all__ = ["OUTPUTS", "FullSoftmax", "Output"]
