# SPDX-License-Identifier: Apache-2.0
"""The filter `cell_target_groups`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils.listener_rules import target_groups

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = r"""
name: cell_target_groups
short_description: The target groups of a fleet's cells
description:
  - Returns the name and tags of the two target groups that each cell has, one for its writer and one for its readers.
author:
  - Chroma Fleet developers (@chromafleet)
positional: prefix, tags
options:
  _input:
    description: The cells, each with C(name) and, from P(chromafleet.aws.serving_cells#filter), C(readers).
    type: list
    elements: dict
    required: true
  prefix:
    description: What stands before the cell in the names.
    type: str
    required: true
  tags:
    description: Tags of all of them; the cell's and the role's come to them.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the target groups of a fleet with two cells
  ansible.builtin.debug:
    msg: "{{ [{'name': 'main'}, {'name': 'large'}] | chromafleet.aws.cell_target_groups('production', {}) }}"
"""

RETURN = r"""
_value:
  description: The target groups, each with C(name), C(cell), C(role) and C(tags).
  type: list
  elements: dict
"""


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, Any]]]]:
        """The filters of this file."""
        return {"cell_target_groups": target_groups}
