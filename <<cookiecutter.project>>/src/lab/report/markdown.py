"""Markdown's tables: without padding, so that one changed number changes one line and no other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[object], rows: Iterable[Sequence[object]], texts: Sequence[int]) -> str:
    """A table whose columns hold numbers, but for those at the places `texts`."""
    from tabulate import DataRow, TableFormat, tabulate

    rule = " | ".join("---" if place in texts else "---:" for place in range(len(head)))
    line = DataRow("| ", " | ", " |")
    compact = TableFormat(None, lambda widths, aligns: f"| {rule} |", None, None, line, line, 0, None)
    cells = [[cell(text) for text in row] for row in rows]
    return tabulate(cells, [cell(text) for text in head], compact, stralign=None, numalign=None, disable_numparse=True)


def cell(text: object) -> str:
    """A text that does not end a table's cell."""
    return " ".join(str(text).split()).replace("|", "\\|")
