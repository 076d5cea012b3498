# SPDX-License-Identifier: Apache-2.0
"""The filter `hosted_zone`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = r"""
name: hosted_zone
short_description: The hosted zone that a host name belongs to
description:
  - Returns the id of the most specific zone that covers a host name, or an empty string when none does.
author:
  - Chroma Fleet developers (@chromafleet)
positional: zones, chosen
options:
  _input:
    description: The host name.
    type: str
    required: true
  zones:
    description: The zones by id, each with its C(domain), as M(chromafleet.aws.fleet_info) tells them.
    type: dict
    required: true
  chosen:
    description: Id or domain of the only zone that may be taken; empty for any.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show the zone of an endpoint
  ansible.builtin.debug:
    msg: "{{ 'chroma.example.com' | chromafleet.aws.hosted_zone({'Z1': {'domain': 'example.com'}}) }}"
"""

RETURN = r"""
_value:
  description: The zone's id.
  type: str
"""


def hosted_zone(host: str, zones: dict[str, dict[str, Any]], chosen: str = "") -> str:
    """The longest domain wins; of two zones with one domain, the one whose id comes first."""
    wanted = chosen.rstrip(".").lower()
    covering = [
        (-len(zone["domain"]), identity)
        for identity, zone in zones.items()
        if f".{host}".lower().endswith(f".{zone['domain']}".lower())
        and wanted in ("", identity.lower(), zone["domain"].lower())
    ]
    return min(covering)[1] if covering else ""


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """The filters of this file."""
        return {"hosted_zone": hosted_zone}
