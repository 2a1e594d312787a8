"""The recurrent cells: forward and backward pass over a whole sequence.

To add one, write a class that implements `Cell`, and add it to `CELLS`. With a counterpart in `engines/stepwise.py` it
is also tested against the course's equations.
"""

from __future__ import annotations

from rnncli.model.cells.base import Cell
from rnncli.model.cells.gru import Gru
from rnncli.model.cells.lstm import Lstm
from rnncli.model.cells.rnn import Rnn

CELLS: dict[str, Cell] = {"rnn": Rnn(), "lstm": Lstm(), "gru": Gru()}

__all__ = ["CELLS", "Cell", "Gru", "Lstm", "Rnn"]
