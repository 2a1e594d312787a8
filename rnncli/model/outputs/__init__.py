"""Output layers: hidden states to the negative log-likelihood of the next word, and its gradients.

To add one, write a class that implements `OutputLayer`, and add it to `OUTPUTS`. With a counterpart in
`engines/stepwise_outputs.py` it is also tested one position at a time.
"""

from __future__ import annotations

from rnncli.model.outputs.adaptive import AdaptiveSoftmax
from rnncli.model.outputs.base import Output, OutputLayer
from rnncli.model.outputs.full import FullSoftmax
from rnncli.model.outputs.sampled import SampledSoftmax

OUTPUTS: dict[str, type[OutputLayer]] = {
    "full": FullSoftmax,
    "adaptive": AdaptiveSoftmax,
    "sampled": SampledSoftmax,
}

__all__ = ["OUTPUTS", "AdaptiveSoftmax", "FullSoftmax", "Output", "OutputLayer", "SampledSoftmax"]
