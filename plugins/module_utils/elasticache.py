# SPDX-License-Identifier: Apache-2.0
"""What ElastiCache tells of a replication group, in the words of the module's options."""

from __future__ import annotations

from typing import Any


def primary_endpoint(group: dict[str, Any]) -> dict[str, Any]:
    """Address and port of the primary node; empty while AWS makes the group."""
    return next((node.get("PrimaryEndpoint") or {} for node in group.get("NodeGroups") or []), {})


def replication_group_properties(group: dict[str, Any], member: dict[str, Any]) -> dict[str, Any]:
    """What a group has, from the answers for it and for one of its nodes; what the API does not tell is missing."""
    found = {
        "description": group.get("Description"),
        "engine": group.get("Engine") or member.get("Engine"),
        "engine_version": member.get("EngineVersion"),
        "node_type": group.get("CacheNodeType"),
        "num_cache_clusters": len(group["MemberClusters"]) if group.get("MemberClusters") else None,
        "automatic_failover": group.get("AutomaticFailover", "disabled") in ("enabled", "enabling"),
        "multi_az": group.get("MultiAZ", "disabled") == "enabled",
        "port": primary_endpoint(group).get("Port"),
        "subnet_group": member.get("CacheSubnetGroupName"),
        "security_group_ids": sorted(item["SecurityGroupId"] for item in member["SecurityGroups"])
        if member.get("SecurityGroups")
        else None,
        "parameter_group": (member.get("CacheParameterGroup") or {}).get("CacheParameterGroupName"),
        "transit_encryption": group.get("TransitEncryptionEnabled"),
        "at_rest_encryption": group.get("AtRestEncryptionEnabled"),
        "kms_key_id": group.get("KmsKeyId"),
        "maintenance_window": member.get("PreferredMaintenanceWindow"),
        "snapshot_retention": group.get("SnapshotRetentionLimit", 0),
    }
    return {name: value for name, value in found.items() if value is not None}
