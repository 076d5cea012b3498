#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Manage ElastiCache replication groups with cluster mode disabled."""

from __future__ import annotations

DOCUMENTATION = r"""
module: elasticache_replication_group
version_added: 0.1.0
short_description: Manage ElastiCache replication groups
description:
  - Creates, modifies and deletes ElastiCache replication groups (Valkey or Redis OSS, cluster mode disabled).
  - An option that is not given leaves the property of an existing group as it is.
author:
  - Chroma Fleet developers
options:
  name:
    description:
      - Id of the replication group.
      - At most 40 lower-case letters, digits and single hyphens, starting with a letter and not ending with a hyphen.
    type: str
    required: true
    aliases: [replication_group_id]
  state:
    description: Whether the replication group shall exist.
    type: str
    choices: [present, absent]
    default: present
  description:
    description: Description of the replication group. A new group without one takes its O(name).
    type: str
  engine:
    description:
      - Engine of the cache.
      - A V(redis) group can become V(valkey), never the other way round.
    type: str
    choices: [valkey, redis]
    default: valkey
  engine_version:
    description:
      - Version of the engine, as major.minor such as V(8.0); AWS chooses the patch.
      - It can rise, never fall.
    type: str
  node_type:
    description: Node type such as V(cache.t4g.small). Required for a new group.
    type: str
  num_cache_clusters:
    description:
      - Number of nodes, primary included.
      - A new group without it has one.
    type: int
  automatic_failover:
    description:
      - Whether a replica takes over when the primary fails. Needs two nodes.
      - Off in a new group without it.
    type: bool
  multi_az:
    description:
      - Whether the nodes are spread over availability zones. Needs O(automatic_failover=true).
      - Off in a new group without it.
    type: bool
  port:
    description:
      - TCP port of the nodes. A new group without it has 6379.
      - Fixed once the group exists.
    type: int
  subnet_group:
    description:
      - Name of the cache subnet group.
      - Fixed once the group exists.
    type: str
  security_group_ids:
    description: Ids of the security groups.
    type: list
    elements: str
  parameter_group:
    description: Name of the cache parameter group.
    type: str
  transit_encryption:
    description:
      - Whether connections use TLS.
      - Fixed once the group exists.
    type: bool
  at_rest_encryption:
    description:
      - Whether data on disk is encrypted.
      - Fixed once the group exists.
    type: bool
  kms_key_id:
    description:
      - KMS key of the encryption at rest. Without it, the one of the service.
      - Fixed once the group exists.
    type: str
  auth_token:
    description:
      - Password of the clients, 16 to 128 printable characters without C(/), C(") and C(@).
      - Needs O(transit_encryption=true).
      - Used for a new group only, since AWS tells no token to compare with, unless O(auth_token_update) is given.
    type: str
  auth_token_update:
    description:
      - Give an existing group O(auth_token). V(rotate) lets the token that it had work beside it, V(set) ends that.
      - AWS takes V(set) only after V(rotate), with the token of that time.
    type: str
    choices: [rotate, set]
  auth_token_since:
    description:
      - When this O(auth_token_update) was decided on, in UTC, as C(2026-01-31T12:00:00Z).
      - Nothing is done for a group whose token AWS has changed since then, so that an interrupted rotation can be run
        again. Without it every run changes the group.
    type: str
  maintenance_window:
    description: The hour of the week in which AWS may patch, in UTC, as V(sun:05:00-sun:06:00).
    type: str
  snapshot_retention:
    description: Days that automatic snapshots are kept; V(0) makes none.
    type: int
  final_snapshot:
    description: Name of a last snapshot that is taken when O(state=absent) deletes the group.
    type: str
  apply_immediately:
    description: Whether modifications are made at once rather than in the maintenance window.
    type: bool
    default: true
  wait:
    description:
      - Whether to wait until the group is available, or gone.
      - A group that is being made, modified or deleted by something else is waited for in any case, since AWS takes no
        change of it.
    type: bool
    default: true
  wait_timeout:
    description: How long to wait (seconds).
    type: int
    default: 1800
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
  - chromafleet.aws.modes
"""

EXAMPLES = r"""
- name: Make a small Valkey cache with TLS and a password
  chromafleet.aws.elasticache_replication_group:
    name: production-main
    engine: valkey
    engine_version: "8.0"
    node_type: cache.t4g.small
    subnet_group: production-main
    security_group_ids: [sg-0123456789abcdef0]
    transit_encryption: true
    at_rest_encryption: true
    auth_token: "{{ cache_auth_token }}"
    tags:
      chromafleet:fleet: production

- name: Add a replica in another availability zone
  chromafleet.aws.elasticache_replication_group:
    name: production-main
    num_cache_clusters: 2
    automatic_failover: true
    multi_az: true

- name: Let a new password work beside the old one
  chromafleet.aws.elasticache_replication_group:
    name: production-main
    auth_token: "{{ cache_auth_token_next }}"
    auth_token_update: rotate
    auth_token_since: "2026-01-31T12:00:00Z"

- name: Delete the cache
  chromafleet.aws.elasticache_replication_group:
    name: production-main
    state: absent
"""

RETURN = r"""
replication_group:
  description:
    - The replication group as the API describes it, in snake_case. Empty when it does not exist (yet).
  returned: always
  type: dict
  contains:
    arn:
      description: ARN of the group.
      type: str
      returned: when the group exists
    auth_token_enabled:
      description: Whether clients need a password.
      type: bool
      returned: when the group exists
    cache_node_type:
      description: Node type.
      type: str
      returned: when the group exists
    node_groups:
      description: The node group, with its endpoints.
      type: list
      elements: dict
      returned: when the group exists
      sample:
        - primary_endpoint:
            address: master.production-main.abcdef.euc1.cache.amazonaws.com
            port: 6379
    replication_group_id:
      description: Id of the group.
      type: str
      returned: when the group exists
    status:
      description: Status of the group.
      type: str
      returned: when the group exists
      sample: available
    tags:
      description: Tags of the group.
      type: dict
      returned: when the group exists
"""

import contextlib
import re
from datetime import UTC, datetime
from typing import Any

with contextlib.suppress(ImportError):  # Reported by AnsibleAWSModule
    import botocore.exceptions

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors
from ansible_collections.chromafleet.aws.plugins.module_utils.elasticache import replication_group_properties
from ansible_collections.chromafleet.aws.plugins.module_utils.ensure import set_tags, wanted_tags

Group = dict[str, Any]

# Between two looks of a waiter (seconds).
WAIT_DELAY = 15
# Option -> what CreateReplicationGroup calls it.
CREATE_ARGUMENTS = {
    "engine": "Engine",
    "engine_version": "EngineVersion",
    "node_type": "CacheNodeType",
    "num_cache_clusters": "NumCacheClusters",
    "automatic_failover": "AutomaticFailoverEnabled",
    "multi_az": "MultiAZEnabled",
    "port": "Port",
    "subnet_group": "CacheSubnetGroupName",
    "security_group_ids": "SecurityGroupIds",
    "parameter_group": "CacheParameterGroupName",
    "transit_encryption": "TransitEncryptionEnabled",
    "at_rest_encryption": "AtRestEncryptionEnabled",
    "kms_key_id": "KmsKeyId",
    "auth_token": "AuthToken",
    "maintenance_window": "PreferredMaintenanceWindow",
    "snapshot_retention": "SnapshotRetentionLimit",
}
# Option -> what ModifyReplicationGroup calls it.
MODIFY_ARGUMENTS = {
    "description": "ReplicationGroupDescription",
    "engine": "Engine",
    "engine_version": "EngineVersion",
    "node_type": "CacheNodeType",
    "automatic_failover": "AutomaticFailoverEnabled",
    "multi_az": "MultiAZEnabled",
    "security_group_ids": "SecurityGroupIds",
    "parameter_group": "CacheParameterGroupName",
    "maintenance_window": "PreferredMaintenanceWindow",
    "snapshot_retention": "SnapshotRetentionLimit",
}
KEEP_OR_DELETE = "Keep the old value, or delete the group first."
# How auth_token_since is written.
TIME = "%Y-%m-%dT%H:%M:%SZ"
FIXED = ("port", "subnet_group", "transit_encryption", "at_rest_encryption", "kms_key_id")


def version_key(version: str, depth: int = 2) -> tuple[int, ...]:
    """The leading numbers of a version, comparable: '8.0.1' -> (8, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:depth])


class ReplicationGroup:
    """One replication group, as it is and as it shall be."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        self.module = module
        self.params = module.params
        self.name: str = module.params["name"]
        self.client = module.client("elasticache", retry_decorator=AWSRetry.jittered_backoff(retries=10))

    def get(self) -> Group | None:
        """The group as the API describes it, with its tags and what only its members tell."""
        try:
            groups = self.client.describe_replication_groups(aws_retry=True, ReplicationGroupId=self.name)
        except is_boto3_error_code("ReplicationGroupNotFoundFault"):
            return None
        group = groups["ReplicationGroups"][0]
        # AWS tells the tags of an available group only.
        group["Tags"] = self.get_tags(group["ARN"]) if group.get("Status") == "available" else {}
        group["Member"] = self.get_member(group)
        return group

    def get_tags(self, arn: str) -> dict[str, str]:
        """The tags of the group."""
        return boto3_tag_list_to_ansible_dict(
            self.client.list_tags_for_resource(aws_retry=True, ResourceName=arn)["TagList"]
        )

    def get_member(self, group: Group) -> dict[str, Any]:
        """One node of the group: version, security groups and subnet group stand there only."""
        for member in group.get("MemberClusters", [])[:1]:
            try:
                clusters = self.client.describe_cache_clusters(aws_retry=True, CacheClusterId=member)
            except is_boto3_error_code("CacheClusterNotFound"):
                return {}
            return clusters["CacheClusters"][0]
        return {}

    @staticmethod
    def properties(group: Group) -> dict[str, Any]:
        """What the group has, in terms of this module's options."""
        return replication_group_properties(group, group.get("Member", {}))

    def differences(self, found: dict[str, Any]) -> dict[str, Any]:
        """The options that the group does not fulfil."""
        wanted = {name: self.params[name] for name in found if self.params.get(name) is not None}
        if "security_group_ids" in wanted:
            wanted["security_group_ids"] = sorted(wanted["security_group_ids"])
        if "maintenance_window" in wanted:
            wanted["maintenance_window"] = wanted["maintenance_window"].lower()
        changes = {name: value for name, value in wanted.items() if value != found[name]}
        key = changes.get("kms_key_id", "")
        if "alias/" in key or found.get("kms_key_id", "").endswith(f"/{key}"):
            # AWS tells the key's ARN, whatever name it was given by.
            changes.pop("kms_key_id", None)
        if "engine_version" in changes:
            depth = len(version_key(changes["engine_version"]))
            if version_key(changes["engine_version"]) == version_key(found["engine_version"], depth):
                del changes["engine_version"]
        return changes

    def refuse_impossible(self, changes: dict[str, Any], found: dict[str, Any]) -> None:
        """Fail with one sentence when AWS cannot make a change."""
        for name in FIXED:
            if name in changes:
                self.module.fail_json(
                    msg=f"{name} of the replication group {self.name} is {found[name]!r} and can't become "
                    f"{changes[name]!r}: AWS fixes it when the group is created. {KEEP_OR_DELETE}"
                )
        if changes.get("engine") == "redis":
            self.module.fail_json(
                msg=f"engine of the replication group {self.name} is 'valkey' and can't become 'redis': AWS only goes "
                f"from redis to valkey. {KEEP_OR_DELETE}"
            )
        version = changes.get("engine_version")
        if version and "engine" not in changes and version_key(version) < version_key(found["engine_version"]):
            self.module.fail_json(
                msg=f"engine_version of the replication group {self.name} is {found['engine_version']!r} and can't "
                f"become {version!r}: AWS makes no downgrade. {KEEP_OR_DELETE}"
            )

    def wanted_tags(self, group: Group) -> dict[str, str]:
        """The tags that the group shall have; those of a group that isn't available can't be told, nor changed."""
        return wanted_tags(group["Tags"], self.params) if group.get("Status") == "available" else group["Tags"]

    def create(self) -> None:
        """Create the group."""
        arguments = {
            argument: self.params[name]
            for name, argument in CREATE_ARGUMENTS.items()
            if self.params.get(name) is not None
        }
        self.client.create_replication_group(
            aws_retry=True,
            ReplicationGroupId=self.name,
            ReplicationGroupDescription=self.params["description"] or self.name,
            Tags=ansible_dict_to_boto3_tag_list(self.params["tags"] or {}),
            **arguments,
        )

    def modify(self, changes: dict[str, Any], found: dict[str, Any]) -> None:
        """Make the changes, in an order that AWS accepts: replicas come before failover and go after it."""
        count = changes.pop("num_cache_clusters", None)
        grows = count is not None and count > found["num_cache_clusters"]
        if grows:
            self.set_replicas(self.client.increase_replica_count, count)
        if changes:
            arguments = {MODIFY_ARGUMENTS[name]: value for name, value in changes.items()}
            if "engine" in changes and "engine_version" not in changes and self.params["engine_version"]:
                arguments["EngineVersion"] = self.params["engine_version"]
            self.client.modify_replication_group(
                aws_retry=True,
                ReplicationGroupId=self.name,
                ApplyImmediately=self.params["apply_immediately"],
                **arguments,
            )
        if count is not None and not grows:
            if changes:
                self.wait("replication_group_available")
            self.set_replicas(self.client.decrease_replica_count, count)

    def auth_token_is_due(self, group: Group) -> bool:
        """Whether the update of the token is wanted and AWS has not made it yet."""
        if not self.params["auth_token_update"]:
            return False
        since, changed = self.params["auth_token_since"], group.get("AuthTokenLastModifiedDate")
        return not since or changed is None or changed < datetime.strptime(since, TIME).replace(tzinfo=UTC)

    def update_auth_token(self) -> None:
        """Give the group its token; AWS takes that beside no other change."""
        self.wait("replication_group_available")
        self.client.modify_replication_group(
            aws_retry=True,
            ReplicationGroupId=self.name,
            ApplyImmediately=True,
            AuthToken=self.params["auth_token"],
            AuthTokenUpdateStrategy=self.params["auth_token_update"].upper(),
        )

    def set_replicas(self, call: Any, count: int) -> None:
        """Change the number of nodes and wait, since a group that is being modified takes no other change."""
        call(
            aws_retry=True,
            ReplicationGroupId=self.name,
            NewReplicaCount=count - 1,
            ApplyImmediately=True,
        )
        self.wait("replication_group_available")

    def tag(self, group: Group, tags: dict[str, str]) -> None:
        """Set and remove tags."""
        calls = (self.client.remove_tags_from_resource, self.client.add_tags_to_resource)
        set_tags(calls, {"ResourceName": group["ARN"]}, group["Tags"], tags)

    def delete(self) -> None:
        """Delete the group."""
        arguments = {}
        if self.params["final_snapshot"]:
            arguments["FinalSnapshotIdentifier"] = self.params["final_snapshot"]
        self.client.delete_replication_group(
            aws_retry=True, ReplicationGroupId=self.name, RetainPrimaryCluster=False, **arguments
        )

    def wait(self, waiter: str) -> None:
        """Wait with one of botocore's waiters."""
        timeout = self.params["wait_timeout"]
        delay = min(WAIT_DELAY, timeout) or 1
        try:
            self.client.get_waiter(waiter).wait(
                ReplicationGroupId=self.name,
                WaiterConfig={"Delay": delay, "MaxAttempts": max(1, timeout // delay)},
            )
        except botocore.exceptions.WaiterError as e:
            self.module.fail_json_aws(
                e,
                msg=f"The replication group {self.name} did not become {waiter.rsplit('_', 1)[1]} within {timeout} "
                "seconds; AWS goes on with it, so run again, or raise wait_timeout",
            )


def result_of(group: Group | None) -> dict[str, Any]:
    """The return value for a group."""
    if not group:
        return {}
    described = {name: value for name, value in group.items() if name != "Member"}
    return camel_dict_to_snake_dict(described, ignore_list=["Tags"])


def ensure_absent(group: ReplicationGroup) -> dict[str, Any]:
    """Delete the group if it is there."""
    module = group.module
    current = group.get()
    result: dict[str, Any] = {"changed": False, "replication_group": {}}
    if current is None:
        return result
    result["changed"] = current.get("Status") != "deleting"
    result["diff"] = {"before": {**group.properties(current), "tags": current["Tags"]}, "after": {}}
    if module.check_mode:
        return result
    if result["changed"]:
        if current.get("Status") != "available":
            group.wait("replication_group_available")
        group.delete()
    if module.params["wait"]:
        group.wait("replication_group_deleted")
    return result


def ensure_present(group: ReplicationGroup) -> dict[str, Any]:
    """Create the group or bring it to what is wanted."""
    module = group.module
    current = group.get()
    status = current.get("Status") if current else "absent"
    if status not in ("available", "absent"):
        if not module.check_mode:
            group.wait("replication_group_deleted" if status == "deleting" else "replication_group_available")
            current = group.get()
        elif status == "deleting":
            current = None
    if current is None:
        return create(group)

    found = group.properties(current)
    changes = group.differences(found)
    group.refuse_impossible(changes, found)
    tags = group.wanted_tags(current)
    token = group.auth_token_is_due(current)
    before = {name: found[name] for name in changes}
    after = dict(changes)
    if tags != current["Tags"]:
        before["tags"] = current["Tags"]
        after["tags"] = tags
    if token:
        after["auth_token_update"] = module.params["auth_token_update"]
    result = {"changed": bool(after), "diff": {"before": before, "after": after}}
    if not module.check_mode:
        # Tags first: a group that is being modified takes none.
        group.tag(current, tags)
        if changes:
            group.modify(changes, found)
        if token:
            group.update_auth_token()
        if module.params["wait"] and (changes or token):
            group.wait("replication_group_available")
        if after:
            current = group.get()
    return {**result, "replication_group": result_of(current)}


def create(group: ReplicationGroup) -> dict[str, Any]:
    """Create the group."""
    module = group.module
    if not module.params["node_type"]:
        module.fail_json(msg=f"node_type is required, since there is no replication group {group.name} yet.")
    after = {
        name: module.params[name]
        for name in ("description", *CREATE_ARGUMENTS, "tags")
        if name != "auth_token" and module.params.get(name) is not None
    }
    result: dict[str, Any] = {"changed": True, "diff": {"before": {}, "after": after}, "replication_group": {}}
    if module.check_mode:
        return result
    group.create()
    if module.params["wait"]:
        group.wait("replication_group_available")
    result["replication_group"] = result_of(group.get())
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True, "aliases": ["replication_group_id"]},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "description": {"type": "str"},
            "engine": {"type": "str", "choices": ["valkey", "redis"], "default": "valkey"},
            "engine_version": {"type": "str"},
            "node_type": {"type": "str"},
            "num_cache_clusters": {"type": "int"},
            "automatic_failover": {"type": "bool"},
            "multi_az": {"type": "bool"},
            "port": {"type": "int"},
            "subnet_group": {"type": "str"},
            "security_group_ids": {"type": "list", "elements": "str"},
            "parameter_group": {"type": "str"},
            "transit_encryption": {"type": "bool"},
            "at_rest_encryption": {"type": "bool"},
            "kms_key_id": {"type": "str"},
            "auth_token": {"type": "str", "no_log": True},
            "auth_token_update": {"type": "str", "choices": ["rotate", "set"], "no_log": False},
            "auth_token_since": {"type": "str", "no_log": False},
            "maintenance_window": {"type": "str"},
            "snapshot_retention": {"type": "int"},
            "final_snapshot": {"type": "str"},
            "apply_immediately": {"type": "bool", "default": True},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 1800},
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
            "purge_tags": {"type": "bool", "default": True},
        },
        required_by={"auth_token_update": ["auth_token"], "auth_token_since": ["auth_token_update"]},
        supports_check_mode=True,
    )
    name = module.params["name"]
    if not re.fullmatch(r"[a-z](-?[a-z0-9])*", name) or len(name) > 40:
        module.fail_json(
            msg=f"name {name!r} has {len(name)} characters; a replication group takes at most 40 lower-case letters, "
            "digits and single hyphens, starting with a letter."
        )
    since = module.params["auth_token_since"]
    if since and not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", since):
        module.fail_json(msg=f"auth_token_since is {since!r}, but must be a time in UTC such as 2026-01-31T12:00:00Z.")
    group = ReplicationGroup(module)
    with aws_errors(module, f"Failed to manage the replication group {name}"):
        result = ensure_absent(group) if module.params["state"] == "absent" else ensure_present(group)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
