"""The recurrent cells: each runs a whole sequence forward, and backward beside it.

To add one: a file with a class that has what `Cell` says, a line in `CELLS`, and its counterpart in
`engines/stepwise.py`.
"""

from __future__ import annotations

from rnncli.model.cells.base import Cell
from rnncli.model.cells.gru import Gru
from rnncli.model.cells.lstm import Lstm
from rnncli.model.cells.rnn import Rnn

CELLS: dict[str, Cell] = {"rnn": Rnn(), "lstm": Lstm(), "gru": Gru()}

__all__ = ["CELLS", "Cell", "Gru", "Lstm", "Rnn"]
