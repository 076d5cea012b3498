# SPDX-License-Identifier: Apache-2.0
"""The filter `rotation_phases`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ansible_collections.chromafleet.aws.plugins.module_utils.secret_documents import phases

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = r"""
name: rotation_phases
short_description: Where the values of a secret stand in their rotation
description:
  - Tells no value.
author:
  - Chroma Fleet developers (@chromafleet)
options:
  _input:
    description: The secret's text, as the role aws_secrets makes it for the API tokens or for the cache.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show where the tokens stand
  ansible.builtin.debug:
    msg: "{{ lookup('amazon.aws.secretsmanager_secret', 'tokens') | chromafleet.aws.rotation_phases }}"
"""

RETURN = r"""
_value:
  description:
    - For each value its C(name), its C(phase) (C(steady), C(spreading), C(overlap), C(withdrawing)) and what
      that means (C(says)), until when the old value works (C(until)), and when a step that is under way began
      (C(since)).
  type: list
  elements: dict
"""


def rotation_phases(text: str) -> list[dict[str, str]]:
    """Where each value stands."""
    return phases(json.loads(text))


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, str]]]]:
        """The filters of this file."""
        return {"rotation_phases": rotation_phases}
