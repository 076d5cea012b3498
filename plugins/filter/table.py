# SPDX-License-Identifier: Apache-2.0
"""The filter `table`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.chromafleet.aws.plugins.module_utils.tables import markdown_table, text_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DOCUMENTATION = r"""
name: table
short_description: Rows in columns, for people
description:
  - Returns a header and rows as lines of text with columns, figures to the right.
author:
  - Chroma Fleet developers (@chromafleet)
positional: header
options:
  _input:
    description: The rows, each a list of as many cells as the header has.
    type: list
    elements: list
    required: true
  header:
    description: The names of the columns.
    type: list
    elements: str
    required: true
  markdown:
    description: Whether the table is Markdown.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show what is left
  ansible.builtin.debug:
    msg: "{{ [['instance', 'i-0a1'], ['volume', 'vol-0b2']] | chromafleet.aws.table(['Kind', 'Name']) }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: str
"""


def table(rows: Sequence[Sequence[object]], header: Sequence[str], markdown: bool = False) -> str:
    """The rows as text or as Markdown."""
    cells = [[str(cell) for cell in row] for row in rows]
    return (markdown_table if markdown else text_table)(list(header), cells)


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """The filters of this file."""
        return {"table": table}
