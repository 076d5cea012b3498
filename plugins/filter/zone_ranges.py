# SPDX-License-Identifier: Apache-2.0
"""The filter `zone_ranges`."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

DOCUMENTATION = r"""
name: zone_ranges
short_description: The availability zones of a VPC with the ranges of their subnets
description:
  - Cuts a VPC's range in 16 parts, the public subnets from the first on and the private ones from the ninth on.
  - A part that has a subnet already stays in that subnet's zone, because a subnet can't move. Other parts get the first
    of the zones that are not taken.
author:
  - Chroma Fleet developers (@chromafleet)
positional: subnets, zones, count
options:
  _input:
    description: The VPC's range in CIDR notation.
    type: str
    required: true
  subnets:
    description: The subnets that exist, by range, each with its C(zone).
    type: dict
    required: true
  zones:
    description: The zones to choose from.
    type: list
    elements: str
    default: []
  count:
    description: How many zones there shall be, at most 3.
    type: int
    default: 3
"""

EXAMPLES = r"""
- name: Show where the subnets will be
  ansible.builtin.debug:
    msg: "{{ '10.42.0.0/16' | chromafleet.aws.zone_ranges({}, ['eu-central-1a', 'eu-central-1b']) }}"
"""

RETURN = r"""
_value:
  description: Each zone with its C(name) and the ranges C(public) and C(private).
  type: list
  elements: dict
  sample: [{"name": "eu-central-1a", "public": "10.42.0.0/20", "private": "10.42.128.0/20"}]
"""

PUBLIC = 0
PRIVATE = 8
MOST = 3


def zone_ranges(
    cidr: str, subnets: Mapping[str, Mapping[str, Any]], zones: Iterable[str] = (), count: int = MOST
) -> list[dict[str, str]]:
    """Without zones to choose from, only those that are known."""
    try:
        parts = [str(part) for part in ipaddress.ip_network(cidr).subnets(prefixlen_diff=4)]
    except ValueError as error:
        raise AnsibleFilterError(f"{cidr} is no range of IPv4 addresses that can be cut in 16: {error}") from error
    places = [{"public": parts[PUBLIC + place], "private": parts[PRIVATE + place]} for place in range(MOST)]
    known = [next((subnets[range_]["zone"] for range_ in place.values() if range_ in subnets), "") for place in places]
    new = iter([zone for zone in zones if zone not in known])
    named = [{"name": name or next(new, ""), **place} for name, place in zip(known[:count], places, strict=False)]
    return [zone for zone in named if zone["name"]]


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, str]]]]:
        """The filters of this file."""
        return {"zone_ranges": zone_ranges}
