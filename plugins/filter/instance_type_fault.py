# SPDX-License-Identifier: Apache-2.0
"""The filter `instance_type_fault`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.chromafleet.aws.plugins.module_utils import instance_types
from ansible_collections.chromafleet.aws.plugins.module_utils.spelling import closest

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = r"""
name: instance_type_fault
short_description: Why an instance type can't run an image
description:
  - Returns the rest of a sentence that begins with the variable and the type, or an empty string when the type exists
    and has the image's architecture.
  - Calls no API; a type younger than the installed botocore is not known.
author:
  - Chroma Fleet developers (@chromafleet)
positional: image
options:
  _input:
    description: The instance type.
    type: str
    required: true
  image:
    description: The image's name, in which amd64, x86_64, arm64 or aarch64 tells the architecture.
    type: str
    default: ''
"""

EXAMPLES = r"""
- name: Refuse a type that can't run the image
  ansible.builtin.assert:
    that: not fault
    fail_msg: 'The instance type is "t4g.medium", {{ fault }}'
  vars:
    fault: "{{ 't4g.medium' | chromafleet.aws.instance_type_fault('debian-13-amd64-*') }}"
"""

RETURN = r"""
_value:
  description: What is wrong, or an empty string.
  type: str
"""

WORDS = {instance_types.X86: ("amd64", "x86_64"), instance_types.ARM: ("arm64", "aarch64")}


def instance_type_fault(instance_type: str, image: str = "") -> str:
    """The rest of the sentence."""
    if not instance_types.exists(instance_type):
        guess = closest(instance_type, instance_types.known_types())
        hint = f"did you mean {guess}?" if guess else "use one such as m7i.large."
        return (
            f"which is no instance type of AWS's: {hint} "
            "(For a type younger than the installed botocore run `pip install --upgrade botocore`.)"
        )
    theirs = instance_types.architecture(instance_type)
    ours = next((processor for processor, words in WORDS.items() if any(word in image for word in words)), theirs)
    if theirs != ours:
        return (
            f"whose processor is {theirs}, but the image {image} is for {ours}: "
            "choose a type or an image of the other kind."
        )
    return ""


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """The filters of this file."""
        return {"instance_type_fault": instance_type_fault}
