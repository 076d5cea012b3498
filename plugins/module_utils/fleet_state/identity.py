# SPDX-License-Identifier: Apache-2.0
"""The instance roles of the fleet and its key.

IAM finds nothing by its tags, so the roles have names that follow from fleet and region; the key is found by its tag.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import tag_dict

if TYPE_CHECKING:
    from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader

ROLES = ("writer", "reader")
MISSING = ("NoSuchEntity",)
ALIAS = "alias/"


def read(aws: Reader) -> dict[str, dict[str, Any]]:
    """`roles` and `instance_profiles` by name, `role_policies` by `<role>/<policy>`, `kms_keys` by alias.

    `recoverable_kms_keys`: those that wait for their deletion.
    """
    names = [f"{aws.fleet}-{aws.region}-{role}" for role in ROLES]
    with ThreadPoolExecutor(max_workers=2 * len(names)) as pool:
        profiles = pool.map(lambda name: _instance_profile(aws, name), names)
        roles = dict(zip(names, pool.map(lambda name: _role(aws, name), names), strict=True))
        found = {
            "roles": {name: role for name, role in roles.items() if role},
            "role_policies": {},
            "instance_profiles": {name: profile for name, profile in zip(names, profiles, strict=True) if profile},
            **_keys(aws),
        }
    for name, role in found["roles"].items():
        for policy, document in role.pop("inline").items():
            found["role_policies"][f"{name}/{policy}"] = {"role": name, "policy": policy, "document": document}
    return found


def _role(aws: Reader, name: str) -> dict[str, Any] | None:
    answer = aws.call("iam", "get_role", missing=MISSING, RoleName=name)
    if answer is None:
        return None
    role = answer["Role"]
    attached = aws.pages("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=name)
    inline = aws.pages("iam", "list_role_policies", "PolicyNames", RoleName=name)
    return {
        "arn": role["Arn"],
        "path": role["Path"],
        "trust": role["AssumeRolePolicyDocument"],
        "managed_policies": [policy["PolicyArn"] for policy in attached],
        "permissions_boundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""),
        "tags": tag_dict(role.get("Tags")),
        "inline": {policy: _document(aws, name, policy) for policy in inline},
    }


def _document(aws: Reader, role: str, policy: str) -> dict[str, Any]:
    return aws.call("iam", "get_role_policy", RoleName=role, PolicyName=policy)["PolicyDocument"]


def _instance_profile(aws: Reader, name: str) -> dict[str, Any] | None:
    answer = aws.call("iam", "get_instance_profile", missing=MISSING, InstanceProfileName=name)
    if answer is None:
        return None
    profile = answer["InstanceProfile"]
    return {
        "arn": profile["Arn"],
        "path": profile["Path"],
        "role": ", ".join(role["RoleName"] for role in profile["Roles"]),
        "tags": tag_dict(profile.get("Tags")),
    }


def _keys(aws: Reader) -> dict[str, Any]:
    found: dict[str, Any] = {"kms_keys": {}, "recoverable_kms_keys": {}}
    metadata = [aws.call("kms", "describe_key", KeyId=arn)["KeyMetadata"] for arn in aws.tagged("kms")]
    own_name = f"chromafleet/{aws.fleet}"
    # The one that was given up last comes last, and is the one that counts.
    for key in sorted(metadata, key=lambda key: str(key.get("DeletionDate", ""))):
        if key["KeyState"] == "PendingDeletion":
            found["recoverable_kms_keys"][own_name] = {"id": key["KeyId"], "arn": key["Arn"]}
        else:
            # One whose alias was taken away is still the fleet's.
            properties = _key(aws, key)
            found["kms_keys"][properties["alias"] or own_name] = properties
    return found


def _key(aws: Reader, key: dict[str, Any]) -> dict[str, Any]:
    arn = key["Arn"]
    aliases = aws.pages("kms", "list_aliases", "Aliases", KeyId=arn)
    return {
        "id": key["KeyId"],
        "arn": arn,
        "alias": next((alias["AliasName"].removeprefix(ALIAS) for alias in aliases), ""),
        "enabled": key["Enabled"],
        "rotation": aws.call("kms", "get_key_rotation_status", KeyId=arn)["KeyRotationEnabled"],
        "policy": json.loads(aws.call("kms", "get_key_policy", KeyId=arn, PolicyName="default")["Policy"]),
        # KMS has words of its own.
        "tags": {tag["TagKey"]: tag["TagValue"] for tag in aws.pages("kms", "list_resource_tags", "Tags", KeyId=arn)},
    }
