"""The engines: each runs the same model, forward and backward.

`fused` is the fast one. `stepwise`, its test oracle, multiplies real one-hot tensors through `rnncli.reference`, one
time step at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rnncli.model.engines.base import Input, Stack
from rnncli.model.engines.fused import FusedInput, FusedStack
from rnncli.model.engines.stepwise import COURSE_CELLS, StepwiseInput, StepwiseStack
from rnncli.model.engines.stepwise_outputs import STEPWISE_OUTPUTS
from rnncli.model.outputs.base import Output, OutputLayer
from rnncli.system.arrays import Array


@dataclass(frozen=True)
class Engine:
    """The parts that run a model. `output` makes its version of an output layer from options and word counts."""

    input: type[Input]
    stack: type[Stack]
    output: Callable[[type[OutputLayer], Any, Array | None], Output]


ENGINES: dict[str, Engine] = {
    "fused": Engine(FusedInput, FusedStack, lambda layer, options, counts: layer(options, counts)),
    "stepwise": Engine(
        StepwiseInput, StepwiseStack, lambda layer, options, counts: STEPWISE_OUTPUTS[layer](options, counts)
    ),
}

__all__ = ["COURSE_CELLS", "ENGINES", "STEPWISE_OUTPUTS", "Engine", "Input", "Stack"]
