# SPDX-License-Identifier: Apache-2.0
"""The rules of a security group in the words of ec2_security_group."""

from __future__ import annotations

from typing import Any

# Kind of a permission's targets -> key of a target, option of the module.
TARGETS = {
    "IpRanges": ("CidrIp", "cidr_ip"),
    "Ipv6Ranges": ("CidrIpv6", "cidr_ipv6"),
    "PrefixListIds": ("PrefixListId", "ip_prefix"),
    "UserIdGroupPairs": ("GroupId", "group_id"),
}


def rules(permissions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One rule for each target of each permission."""
    found = []
    for permission in permissions:
        what = {"proto": permission["IpProtocol"]}
        if "FromPort" in permission:
            what |= {"from_port": permission["FromPort"], "to_port": permission["ToPort"]}
        found += [
            {**what, option: target[key], "rule_desc": target.get("Description", "")}
            for kind, (key, option) in TARGETS.items()
            for target in permission.get(kind, [])
        ]
    return found
