"""Output layers: hidden states to the negative log-likelihood of the next word, and its gradients.

To add one: a file with a class that has what `Output` says, a line in `OUTPUTS`, and its plain counterpart in
`engines/by_word.py`.
"""

from __future__ import annotations

from rnncli.model.outputs.adaptive import AdaptiveSoftmax
from rnncli.model.outputs.base import Output
from rnncli.model.outputs.full import FullSoftmax
from rnncli.model.outputs.sampled import SampledSoftmax

OUTPUTS: dict[str, type[FullSoftmax] | type[AdaptiveSoftmax] | type[SampledSoftmax]] = {
    "full": FullSoftmax,
    "adaptive": AdaptiveSoftmax,
    "sampled": SampledSoftmax,
}

__all__ = ["OUTPUTS", "AdaptiveSoftmax", "FullSoftmax", "Output", "SampledSoftmax"]
