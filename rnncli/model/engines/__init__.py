"""The engines: each runs the same stack of cells over a batch, forward and backward.

`fused` is the fast one; `stepwise` multiplies real one-hot tensors through `rnncli.reference`, one time step at a
time, and is what the fast one is held against.
"""

from __future__ import annotations

from rnncli.model.architecture import Architecture
from rnncli.model.engines.base import Engine
from rnncli.model.engines.fused import Fused
from rnncli.model.engines.stepwise import Stepwise

ENGINES: dict[str, type[Fused] | type[Stepwise]] = {"fused": Fused, "stepwise": Stepwise}

__all__ = ["ENGINES", "Architecture", "Engine", "Fused", "Stepwise"]
