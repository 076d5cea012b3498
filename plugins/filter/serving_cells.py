# SPDX-License-Identifier: Apache-2.0
"""The filter `serving_cells`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils.reader_groups import serving_cells

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = r"""
name: serving_cells
short_description: Which group of readers serves each of a fleet's cells
description:
  - Returns the cells, each with the group of readers that serves it and the one that does not. A cell has both for a
    while when an update of the strategy V(blue_green) brings in a second one.
author:
  - Chroma Fleet developers (@chromafleet)
positional: groups
options:
  _input:
    description: The cells, each with C(name).
    type: list
    elements: dict
    required: true
  groups:
    description: The auto-scaling groups by name, as M(chromafleet.aws.fleet_info) tells them.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show which group serves
  ansible.builtin.debug:
    msg: "{{ [{'name': 'main'}] | chromafleet.aws.serving_cells(fleet_found.fleet.groups) }}"
"""

RETURN = r"""
_value:
  description: The cells, each with C(readers), which is V(reader) or V(green), and C(second), which is the other one.
  type: list
  elements: dict
"""


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, Any]]]]:
        """The filters of this file."""
        return {"serving_cells": serving_cells}
