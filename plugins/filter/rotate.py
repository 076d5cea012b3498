# SPDX-License-Identifier: Apache-2.0
"""The filter `rotate`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ansible.errors import AnsibleFilterError
from ansible_collections.chromafleet.aws.plugins.module_utils import secret_documents

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = r"""
name: rotate
short_description: The text of a secret after half a step of its rotation
description:
  - A rotation has two steps, between which the old and the new value both work. Each step is written down first
    (C(start)), then made known to everybody who checks the value, and then written down as done (C(complete)).
  - Returns the very same text where there is nothing to start or to complete.
author:
  - Chroma Fleet developers (@chromafleet)
positional: half
options:
  _input:
    description: The secret's text, as the role aws_secrets makes it for the API tokens or for the cache.
    type: str
    required: true
  half:
    description:
      - V(start) makes the next value where no rotation is under way, and ends an overlap whose time is over.
      - V(complete) lets the next value take the place of the current one, and forgets the old one at the end.
    type: str
    choices: [start, complete]
    required: true
  names:
    description: The names of the tokens that shall be started, all of them without one.
    type: list
    elements: str
    default: []
  finish:
    description: Whether to end the overlap before its time, and to begin no new rotation.
    type: bool
    default: false
  overlap_hours:
    description: How long old and new both work.
    type: float
    default: 24
"""

EXAMPLES = r"""
- name: Make the next token beside the current one
  community.aws.secretsmanager_secret:
    name: tokens
    secret: "{{ current_text | chromafleet.aws.rotate('start', names=['admin']) }}"
  no_log: true
"""

RETURN = r"""
_value:
  description: The secret's new text.
  type: str
"""


def rotate(
    text: str, half: str, names: list[str] | None = None, finish: bool = False, overlap_hours: float = 24
) -> str:
    """The secret's new text."""
    at = secret_documents.now()
    if half == "start":
        return secret_documents.changed_text(
            text, lambda document: secret_documents.start(document, names=names or [], finish=finish, at=at)
        )
    if half == "complete":
        overlap = timedelta(hours=float(overlap_hours))
        return secret_documents.changed_text(
            text, lambda document: secret_documents.complete(document, overlap=overlap, at=at)
        )
    raise AnsibleFilterError(f"rotate knows the halves start and complete, not {half}.")


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """The filters of this file."""
        return {"rotate": rotate}
