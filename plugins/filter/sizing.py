# SPDX-License-Identifier: Apache-2.0
"""The filter `sizing`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils import instance_types

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = r"""
name: sizing
short_description: Whether a number of vectors fits in an instance type
description:
  - Compares a number of vectors with the memory of an instance type, by Chroma's own table of instances.
  - Knows the memory of the families t, c, m and r since their fifth generation.
  - Calls no API.
author:
  - Chroma Fleet developers (@chromafleet)
positional: vectors, dimensions
options:
  _input:
    description: The instance type.
    type: str
    required: true
  vectors:
    description: How many vectors there will be.
    type: int
    required: true
  dimensions:
    description: How many numbers one vector has.
    type: int
    required: true
"""

EXAMPLES = r"""
- name: Say which type would do
  ansible.builtin.debug:
    msg: "{{ ('t3.medium' | chromafleet.aws.sizing(5000000, 1536)).smallest }}"
"""

RETURN = r"""
_value:
  description: The verdict.
  type: dict
  contains:
    fits:
      description: Whether the vectors fit. False when the type's memory is not known.
      type: bool
    memory:
      description: The type's memory (GiB), 0 when it is not known.
      type: float
    holds:
      description: How many vectors the type holds.
      type: int
    smallest:
      description: The smallest type of the same architecture that holds them, empty when there is none.
      type: str
    disk:
      description: How much disk the vectors need (GiB).
      type: int
"""


def sizing(instance_type: str, vectors: int, dimensions: int) -> dict[str, Any]:
    """The verdict on one instance type."""
    vectors, dimensions = int(vectors), int(dimensions)  # a number from the command line is a text
    _vcpus, memory = instance_types.capacity(instance_type) or (0, 0)
    holds = instance_types.vectors_that_fit(memory, dimensions)
    processor = instance_types.architecture(instance_type)
    return {
        "fits": holds >= vectors,
        "memory": memory,
        "holds": holds,
        "smallest": instance_types.smallest(vectors, dimensions, processor) or "",
        "disk": instance_types.disk(vectors, dimensions),
    }


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        """The filters of this file."""
        return {"sizing": sizing}
