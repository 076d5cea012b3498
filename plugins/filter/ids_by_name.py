# SPDX-License-Identifier: Apache-2.0
"""The filter `ids_by_name`."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DOCUMENTATION = r"""
name: ids_by_name
short_description: The ids of what was found and of what was just made
description:
  - Returns, by name, the ids of what M(chromafleet.aws.fleet_info) found and of what a module made in a loop over
    RV(chromafleet.aws.plan#module:apply).
  - In a check run nothing is made, so that what doesn't exist yet is missing.
author:
  - Chroma Fleet developers (@chromafleet)
positional: made, path
options:
  _input:
    description: "What was found of one kind, C({name: properties}) with the property C(id)."
    type: dict
    required: true
  made:
    description: The registered result of the module's loop. May be that of a task that didn't run.
    type: dict
    required: true
  path:
    description: Where the id stands in the module's result, with dots.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the ids of the subnets
  ansible.builtin.debug:
    msg: "{{ aws_network_found.subnets | chromafleet.aws.ids_by_name(made_subnets, 'subnet.id') }}"
"""

RETURN = r"""
_value:
  description: The ids by name.
  type: dict
"""


def ids_by_name(found: Mapping[str, Any], made: Mapping[str, Any], path: str) -> dict[str, str]:
    """What was made last counts."""
    ids = {name: one["id"] for name, one in found.items()}
    for result in made.get("results", []):
        ids[result["item"]["name"]] = reduce(lambda part, key: part[key], path.split("."), result)
    return ids


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., dict[str, str]]]:
        """The filters of this file."""
        return {"ids_by_name": ids_by_name}
