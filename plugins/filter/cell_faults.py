# SPDX-License-Identifier: Apache-2.0
"""The filter `cell_faults`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.chromafleet.aws.plugins.module_utils.listener_rules import faults

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = r"""
name: cell_faults
short_description: What is wrong with a fleet's list of cells
description:
  - Returns a sentence for each cell that is listed twice, each tenant that is placed twice or can't be told by a load
    balancer's path rule, and for more tenants than a load balancer has rules for.
author:
  - Chroma Fleet developers (@chromafleet)
positional: variable
options:
  _input:
    description: The cells, each with C(name) and C(tenants).
    type: list
    elements: dict
    required: true
  variable:
    description: The variable that the list came from; the sentences name it.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Say what is wrong with the cells
  ansible.builtin.debug:
    msg: "{{ fleet_cells | chromafleet.aws.cell_faults('fleet_cells') }}"
"""

RETURN = r"""
_value:
  description: The sentences; empty when nothing is wrong.
  type: list
  elements: str
"""


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """The filters of this file."""
        return {"cell_faults": faults}
