# SPDX-License-Identifier: Apache-2.0
"""The rules of a security group in the words of ec2_security_group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# Kind of a permission's targets -> key of a target, option of the module.
TARGETS = {
    "IpRanges": ("CidrIp", "cidr_ip"),
    "Ipv6Ranges": ("CidrIpv6", "cidr_ipv6"),
    "PrefixListIds": ("PrefixListId", "ip_prefix"),
    "UserIdGroupPairs": ("GroupId", "group_id"),
}


def rules(permissions: list[dict[str, Any]], known: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """One rule for each target of each permission; `known` are groups that are told by name, by their ids."""
    found = []
    for permission in permissions:
        what = {"proto": permission["IpProtocol"]}
        if permission.get("FromPort") is not None and permission["IpProtocol"] != "-1":
            what |= {"from_port": permission["FromPort"], "to_port": permission["ToPort"]}
        for kind, (key, option) in TARGETS.items():
            for target in permission.get(kind, []):
                who = target.get(key, "")
                name = (known or {}).get(who) if option == "group_id" else None
                why = {"rule_desc": target["Description"]} if target.get("Description") else {}
                found.append({**what, **({"group_name": name} if name else {option: who}), **why})
    return found
