"""Tables, aligned by the width of their text on a terminal, with fewer columns on a narrow one."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Sequence

from rnncli.cli.display.characters import cut, padded, width
from rnncli.cli.options import say
from rnncli.text.invisible import shown

GAP = "  "
SHORTEST = 8  # columns to which a cell is cut at most

Row = Sequence[str | None]
"""The cells of a row; a cell extends over those to its right that are None."""


def print_table(rows: Sequence[Row], right: str = "", left_out: Collection[str] = ()) -> None:
    """Print rows, the header first; columns whose index is in `right` are aligned to the right.

    left_out: headers of the columns that a narrow terminal does without, in this order; if that is not enough, the
    cells of the first column are cut.
    """
    table = [[cell if cell is None else shown(cell) for cell in row] for row in rows]
    columns = list(range(len(table[0])))
    if left_out and sys.stdout.isatty():
        _fit_(table, columns, list(left_out), shutil.get_terminal_size().columns)
    widths = _widths(table, columns)
    for row in table:
        cells = []
        for i, over in _extents(row, columns):
            room = sum(widths[each] for each in over) + len(GAP) * (len(over) - 1)
            cells.append(padded(row[i] or "", room, str(i) in right))
        say(GAP.join(cells).rstrip())


def _fit_(table: list[list[str | None]], columns: list[int], left_out: list[str], room: int) -> None:
    """Remove columns, then cut the cells of the first, until a line takes `room` columns of the terminal."""
    while left_out and _total(table, columns) > room:
        header = left_out.pop(0)
        columns[:] = [i for i in columns if table[0][i] != header]
    excess = _total(table, columns) - room
    if excess > 0:
        longest = max(SHORTEST, _widths(table, columns)[0] - excess)
        for row in table:
            row[0] = cut(row[0] or "", longest)


def _extents(row: list[str | None], columns: list[int]) -> list[tuple[int, list[int]]]:
    """The columns of the cells of a row that have text, and the columns that each extends over."""
    extents: list[tuple[int, list[int]]] = []
    for i in columns:
        if row[i] is None and extents:
            extents[-1][1].append(i)
        else:
            extents.append((i, [i]))
    return extents


def _widths(table: list[list[str | None]], columns: list[int]) -> dict[int, int]:
    """The width of each column: that of its widest cell that does not extend over others."""
    widths = dict.fromkeys(columns, 0)
    for row in table:
        for i, over in _extents(row, columns):
            if len(over) == 1:
                widths[i] = max(widths[i], width(row[i] or ""))
    return widths


def _total(table: list[list[str | None]], columns: list[int]) -> int:
    return sum(_widths(table, columns).values()) + len(GAP) * (len(columns) - 1)
