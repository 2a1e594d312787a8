"""The engines: each runs the same model, forward and backward.

`fused` is the fast one. `stepwise`, its test oracle, multiplies real one-hot tensors through `rnncli.reference`, one
time step at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rnncli.model.architecture import Architecture
from rnncli.model.cells import Cell
from rnncli.model.engines.base import Input, Stack
from rnncli.model.engines.fused import FusedInput, FusedStack
from rnncli.model.engines.stepwise import COURSE_CELLS, StepwiseInput, StepwiseStack
from rnncli.model.engines.stepwise_outputs import STEPWISE_OUTPUTS
from rnncli.model.outputs.base import Output, OutputLayer
from rnncli.system.arrays import Array


@dataclass(frozen=True)
class Engine:
    """The parts that run a model.

    cells, outputs: the counterparts of cells and output layers in this engine; None if it runs them themselves.
    """

    input: type[Input]
    stack: type[Stack]
    cells: Mapping[type[Cell], object] | None = None
    outputs: Mapping[type[OutputLayer], Callable[[Any, Array | None], Output]] | None = None

    def supports(self, architecture: Architecture) -> bool:
        """Whether it has a counterpart of the cell and of the output layer."""
        has_cell = self.cells is None or type(architecture.cell) in self.cells
        return has_cell and (self.outputs is None or architecture.output in self.outputs)

    def parts(self, architecture: Architecture, counts: Array | None = None) -> tuple[Input, Stack, Output]:
        """Input, stack and output layer of a model. counts: of the words in the training text, (V,), if known."""
        output = architecture.output if self.outputs is None else self.outputs[architecture.output]
        return self.input(architecture), self.stack(architecture), output(architecture.output_options, counts)


ENGINES: dict[str, Engine] = {
    "fused": Engine(FusedInput, FusedStack),
    "stepwise": Engine(StepwiseInput, StepwiseStack, COURSE_CELLS, STEPWISE_OUTPUTS),
}

__all__ = ["COURSE_CELLS", "ENGINES", "STEPWISE_OUTPUTS", "Engine", "Input", "Stack"]
