# SPDX-License-Identifier: Apache-2.0
"""The caches of the fleet's cells, with their parts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import tag_dict
from ansible_collections.chromafleet.aws.plugins.module_utils.elasticache import (
    primary_endpoint,
    replication_group_properties,
)
from ansible_collections.chromafleet.aws.plugins.module_utils.security_group_rules import rules

if TYPE_CHECKING:
    from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader

Found = dict[str, dict[str, Any]]

# Statuses in which a replication group serves nobody.
UNUSABLE = ("creating", "create-failed", "deleting")
# What AWS answers for the tags of what is being made or is gone.
UNTOLD = (
    "CacheParameterGroupNotFound",
    "CacheSubnetGroupNotFoundFault",
    "InvalidReplicationGroupState",
    "ReplicationGroupNotFoundFault",
)


def read(aws: Reader) -> dict[str, Found]:
    """`replication_groups`, `subnet_groups`, `parameter_groups` and `security_groups`: by name."""
    # The parts of a cache share its name, so that one that lost its tag is a difference, not a part more.
    caches = {cache_of(arn.rsplit(":", 1)[1]) for arn in aws.tagged("elasticache")}

    def parts(operation: str, kind: str, name: str) -> Found:
        """What ElastiCache has of a kind for these caches, as it tells it."""
        found = aws.pages("elasticache", operation, kind) if caches else []
        return {part[name]: part for part in found if cache_of(part[name]) in caches}

    groups = parts("describe_replication_groups", "ReplicationGroups", "ReplicationGroupId")
    subnet_groups = parts("describe_cache_subnet_groups", "CacheSubnetGroups", "CacheSubnetGroupName")
    parameter_groups = parts("describe_cache_parameter_groups", "CacheParameterGroups", "CacheParameterGroupName")
    nodes = aws.pages("elasticache", "describe_cache_clusters", "CacheClusters") if groups else []
    node_of = {node["ReplicationGroupId"]: node for node in nodes if "ReplicationGroupId" in node}
    return {
        "replication_groups": {
            name: _replication_group(aws, group, node_of.get(name, {})) for name, group in groups.items()
        },
        "subnet_groups": {name: _subnet_group(aws, group) for name, group in subnet_groups.items()},
        "parameter_groups": {name: _parameter_group(aws, group) for name, group in parameter_groups.items()},
        "security_groups": _security_groups(aws),
    }


def cache_of(name: str) -> str:
    """The cache that a part belongs to: a parameter group's name has the family at its end."""
    return re.sub(r"-valkey\d+$", "", name)


def _tags(aws: Reader, arn: str) -> dict[str, str]:
    answer = aws.call("elasticache", "list_tags_for_resource", missing=UNTOLD, ResourceName=arn)
    return tag_dict(answer["TagList"]) if answer else {}


def _replication_group(aws: Reader, group: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    endpoint = primary_endpoint(group)
    found = {"kms_key_id": "", **replication_group_properties(group, node)}
    if "engine_version" in found:
        # AWS chooses the patch.
        found["engine_version"] = ".".join(found["engine_version"].split(".")[:2])
    return {
        **found,
        "arn": group["ARN"],
        "status": group["Status"],
        "usable": group["Status"] not in UNUSABLE,
        "endpoint": {"address": endpoint.get("Address", ""), "port": endpoint.get("Port", 0)},
        "tags": _tags(aws, group["ARN"]),
    }


def _subnet_group(aws: Reader, group: dict[str, Any]) -> dict[str, Any]:
    return {
        "arn": group["ARN"],
        "subnets": [subnet["SubnetIdentifier"] for subnet in group["Subnets"]],
        "tags": _tags(aws, group["ARN"]),
    }


def _parameter_group(aws: Reader, group: dict[str, Any]) -> dict[str, Any]:
    changed = aws.pages(
        "elasticache",
        "describe_cache_parameters",
        "Parameters",
        missing=UNTOLD,
        CacheParameterGroupName=group["CacheParameterGroupName"],
        Source="user",
    )
    return {
        "arn": group["ARN"],
        "family": group["CacheParameterGroupFamily"],
        "parameters": {one["ParameterName"]: one.get("ParameterValue", "") for one in changed},
        "tags": _tags(aws, group["ARN"]),
    }


def _security_groups(aws: Reader) -> Found:
    named = [*aws.filters, {"Name": "group-name", "Values": ["*-cache"]}]
    return {
        group["GroupName"]: {
            "id": group["GroupId"],
            "vpc_id": group["VpcId"],
            "rules": rules(group["IpPermissions"]),
            "rules_egress": rules(group["IpPermissionsEgress"]),
            "tags": tag_dict(group["Tags"]),
        }
        for group in aws.pages("ec2", "describe_security_groups", "SecurityGroups", Filters=named)
    }
