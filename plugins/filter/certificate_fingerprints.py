# SPDX-License-Identifier: Apache-2.0
"""The filter `certificate_fingerprints`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.chromafleet.aws.plugins.module_utils.certificates import fingerprints

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = r"""
name: certificate_fingerprints
short_description: SHA-256 of every certificate in texts of PEM
description:
  - Returns the fingerprints of a certificate and its chain, to compare them with those that AWS has.
author:
  - Chroma Fleet developers (@chromafleet)
options:
  _input:
    description: Texts of PEM; each may hold several certificates, or none.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show the fingerprints of a certificate and its chain
  ansible.builtin.debug:
    msg: "{{ query('ansible.builtin.file', 'endpoint.pem', 'ca.pem') | chromafleet.aws.certificate_fingerprints }}"
"""

RETURN = r"""
_value:
  description: The fingerprints in hexadecimal, sorted, each once.
  type: list
  elements: str
"""


def of_all(texts: list[str]) -> list[str]:
    """The fingerprints of a list of texts."""
    return fingerprints(*texts)


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """The filters of this file."""
        return {"certificate_fingerprints": of_all}
