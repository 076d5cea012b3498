# SPDX-License-Identifier: Apache-2.0
"""The filter `cache_passwords`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ansible_collections.chromafleet.aws.plugins.module_utils import secret_documents

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = r"""
name: cache_passwords
short_description: The passwords of the cache that a host may need
description:
  - During a rotation there are two, of which the cache takes one or both.
author:
  - Chroma Fleet developers (@chromafleet)
options:
  _input:
    description: The text of the secret that holds the authentication of the cache.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Give nginx the passwords of the cache
  ansible.builtin.include_role:
    name: chromafleet.aws.nginx
    tasks_from: cache
  vars:
    nginx_cache_auth_tokens: "{{ secret_text | chromafleet.aws.cache_passwords }}"
"""

RETURN = r"""
_value:
  description: The passwords, sorted.
  type: list
  elements: str
"""


def cache_passwords(text: str) -> list[str]:
    """The passwords that may work now."""
    return secret_documents.cache_passwords(json.loads(text))


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """The filters of this file."""
        return {"cache_passwords": cache_passwords}
