"""Reads the tables of a Markdown report back, so that tests compare figures and not how they are written."""

from __future__ import annotations

import re


class ReportTables:
    """All tables of a text; a cell is found by words in its row's first cell and the exact name of its column."""

    def __init__(self, text: str) -> None:
        lines = [[cell.strip(" ↑↓") for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
                 for line in text.splitlines()]  # fmt: skip
        self.heads: list[list[str]] = []
        self._rows: list[tuple[list[str], list[str]]] = []
        head: list[str] = []
        for number, cells in enumerate(lines):
            if not cells:
                head = []
            elif not head:
                head = cells
                self.heads.append(head)
            elif number and set("".join(cells)) - set("-:"):
                self._rows.append((head, cells))

    def cell(self, row: str, column: str) -> str:
        """The text of the one cell in such a row and column; a row of just this name goes before longer names.

        An arrow behind a column's name, which says what is better, is no part of it.
        """
        rows = [(head, cells) for head, cells in self._rows if column in head and row in cells[0]]
        exact = [(head, cells) for head, cells in rows if cells[0] == row]
        found = [cells[head.index(column)] for head, cells in exact or rows]
        assert len(found) == 1, f"{len(found)} cells for {row!r}, {column!r}"
        return found[0]

    def value(self, row: str, column: str) -> float:
        """The first number of that cell; per cent as a fraction."""
        text = self.cell(row, column)
        number = re.match(r"\(?(-?\d[\d,]*\.?\d*(?:e-?\d+)?)", text)
        assert number is not None, f"{text!r} is no number"
        return float(number[1].replace(",", "")) * (0.01 if "%" in text else 1.0)
