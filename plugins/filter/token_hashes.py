# SPDX-License-Identifier: Apache-2.0
"""The filter `token_hashes`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError
from ansible_collections.chromafleet.aws.plugins.module_utils import secret_documents

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = r"""
name: token_hashes
short_description: What a host needs to know of the API tokens, which is their SHA-256
description:
  - During a rotation a token has two, so that the old and the new one both work.
  - Refuses a token that could be guessed.
author:
  - Chroma Fleet developers (@chromafleet)
options:
  _input:
    description: The text of the secret that holds the API tokens.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Know the hashes of the tokens
  ansible.builtin.set_fact:
    hashes: "{{ lookup('amazon.aws.secretsmanager_secret', 'tokens') | chromafleet.aws.token_hashes }}"
"""

RETURN = r"""
_value:
  description: For each token its C(name), C(scope), C(tenants) and C(sha256), a list.
  type: list
  elements: dict
"""


def token_hashes(text: str) -> list[dict[str, Any]]:
    """The hashes of the tokens."""
    try:
        return secret_documents.token_hashes(json.loads(text))
    except ValueError as error:
        raise AnsibleFilterError(f"The secret of the API tokens can't be used: {error}") from error


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, Any]]]]:
        """The filters of this file."""
        return {"token_hashes": token_hashes}
