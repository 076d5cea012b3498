# SPDX-License-Identifier: Apache-2.0
"""The filter `api_tokens`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils.secret_documents import changed_text, with_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = r"""
name: api_tokens
short_description: The text of the secret that holds the API tokens, with every wanted token
description:
  - Makes the tokens that are missing and gives the others their wanted scope and tenants. A token that is there keeps
    its value, and a rotation that is under way goes on.
  - Returns the very same text where nothing changes.
author:
  - Chroma Fleet developers (@chromafleet)
positional: wanted, purge
options:
  _input:
    description: The secret's text; empty where there is no secret yet.
    type: str
    required: true
  wanted:
    description: The wanted tokens, each with C(name), C(scope) and C(tenants).
    type: list
    elements: dict
    required: true
  purge:
    description: Whether tokens that are not wanted are taken out, which revokes them.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Make the tokens
  community.aws.secretsmanager_secret:
    name: tokens
    secret: "{{ '' | chromafleet.aws.api_tokens([{'name': 'admin', 'scope': 'admin', 'tenants': ['*']}]) }}"
  no_log: true
"""

RETURN = r"""
_value:
  description: The secret's new text.
  type: str
"""


def api_tokens(text: str | None, wanted: list[dict[str, Any]], purge: bool = False) -> str:
    """The secret's new text."""
    return changed_text(text or "", lambda document: with_tokens(document, wanted, purge=purge))


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """The filters of this file."""
        return {"api_tokens": api_tokens}
