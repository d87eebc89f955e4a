"""Columns of text."""

from collections.abc import Sequence

from reconciler.views.terminal import escape, width

GAP = 3


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The rows under their header, each column as wide as its widest cell; foreign characters
    in cells are shown. Ends with a newline."""
    cells = [list(header), *([escape(cell) for cell in row] for row in rows)]
    return aligned(cells)


def aligned(rows: Sequence[Sequence[str]], gap: int = GAP) -> str:
    """Rows of cells that are fit to print already; the last column is not padded."""
    if not rows:
        return ""
    widths = [
        max(width(row[at]) for row in rows if at < len(row)) for at in range(max(map(len, rows)))
    ]
    return "".join(f"{_line(row, widths, gap)}\n" for row in rows)


def _line(row: Sequence[str], widths: Sequence[int], gap: int) -> str:
    padded = [cell + " " * (widths[at] - width(cell) + gap) for at, cell in enumerate(row)]
    return "".join(padded).rstrip()
