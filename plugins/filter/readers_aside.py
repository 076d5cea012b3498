# SPDX-License-Identifier: Apache-2.0
"""The filter `readers_aside`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils.reader_groups import aside

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = r"""
name: readers_aside
short_description: The groups of readers that serve none of a fleet's cells
description:
  - Returns the second group of readers of each cell that has one, before its turn or after it.
author:
  - Chroma Fleet developers (@chromafleet)
positional: groups, fleet
options:
  _input:
    description: The cells, each with C(name) and, from P(chromafleet.aws.serving_cells#filter), C(second).
    type: list
    elements: dict
    required: true
  groups:
    description: The auto-scaling groups by name, as M(chromafleet.aws.fleet_info) tells them.
    type: dict
    required: true
  fleet:
    description: The fleet's name.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show which readers stand by
  ansible.builtin.debug:
    msg: "{{ fleet_serving_cells | chromafleet.aws.readers_aside(fleet_found.fleet.groups, 'production') }}"
"""

RETURN = r"""
_value:
  description:
    - The groups, each with C(name), C(cell), C(instances), C(release), the digest of what it runs, and C(state).
    - The state is V(candidate) before its turn and V(standby) after it.
  type: list
  elements: dict
"""


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, Any]]]]:
        """The filters of this file."""
        return {"readers_aside": aside}
