# SPDX-License-Identifier: Apache-2.0
"""Rows of text in columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def is_number(cell: str) -> bool:
    """Whether a cell holds a figure, which stands right in its column."""
    return bool(cell) and cell.lstrip("+-")[:1].isdigit() and cell[-1].isdigit()


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A header, a line and the rows; columns of figures stand right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    right = [
        bool(rows) and all(is_number(row[column]) or not row[column] for row in rows) for column in range(len(header))
    ]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *(line(row) for row in rows)])


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as Markdown."""
    right = [
        bool(rows) and all(is_number(row[column]) or not row[column] for row in rows) for column in range(len(header))
    ]
    lines = [header, ["---:" if to_right else "---" for to_right in right], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
