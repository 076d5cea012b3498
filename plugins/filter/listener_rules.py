# SPDX-License-Identifier: Apache-2.0
"""The filter `listener_rules`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils.listener_rules import rules

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = r"""
name: listener_rules
short_description: A load balancer's rules for a fleet's endpoints and tenants
description:
  - Returns the rules that send each endpoint's requests to the first cell, and those for the tenants of another cell to
    that cell.
  - A rule's priority comes from its tenant's name, so that one more tenant leaves the other rules as they are.
author:
  - Chroma Fleet developers (@chromafleet)
positional: prefix, endpoint, reader_endpoint
options:
  _input:
    description:
      - The cells, each with C(name), C(tenants) and, from P(chromafleet.aws.serving_cells#filter), C(readers).
      - The first serves every tenant that no other one lists.
    type: list
    elements: dict
    required: true
  prefix:
    description: What stands before the cell in the names of the target groups.
    type: str
    required: true
  endpoint:
    description: Host name of the endpoint that goes to the writers.
    type: str
    required: true
  reader_endpoint:
    description: Host name of the endpoint that goes to the readers.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the rules of a fleet with two cells
  ansible.builtin.debug:
    msg: >-
      {{ [{'name': 'main'}, {'name': 'large', 'tenants': ['search']}]
      | chromafleet.aws.listener_rules('production', 'chroma.example.com', 'read.chroma.example.com') }}
"""

RETURN = r"""
_value:
  description:
    - The rules in the order of their priorities, in the shape in which M(chromafleet.aws.fleet_info) tells them.
    - C(rule) is the same in the words of M(amazon.aws.elb_application_lb).
  type: list
  elements: dict
"""


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, Any]]]]:
        """The filters of this file."""
        return {"listener_rules": rules}
