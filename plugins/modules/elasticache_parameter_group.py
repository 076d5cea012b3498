#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Manage ElastiCache parameter groups."""

from __future__ import annotations

DOCUMENTATION = r"""
module: elasticache_parameter_group
version_added: 0.1.0
short_description: Manage ElastiCache parameter groups
description:
  - Creates, modifies and deletes ElastiCache parameter groups of any family that AWS knows, with tags.
  - M(community.aws.elasticache_parameter_group) knows the families up to V(redis6.x), and no tags.
author:
  - Chroma Fleet developers
options:
  name:
    description:
      - Name of the parameter group.
      - At most 255 lower-case letters, digits and single hyphens, starting with a letter and not ending with a hyphen.
    type: str
    required: true
  state:
    description: Whether the parameter group shall exist. One that a cache uses can't be deleted.
    type: str
    choices: [present, absent]
    default: present
  family:
    description:
      - Family such as V(valkey8). Required for a new group.
      - Fixed once the group exists.
    type: str
  description:
    description:
      - Description of a new group. Without it, its O(name).
      - Fixed once the group exists.
    type: str
  parameters:
    description:
      - Parameters that differ from the family's defaults.
      - Without it, the parameters of an existing group stay as they are.
    type: dict
  purge_parameters:
    description: Whether parameters that O(parameters) doesn't name go back to the family's defaults.
    type: bool
    default: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
  - chromafleet.aws.modes
"""

EXAMPLES = r"""
- name: Let the cache forget what was used least recently
  chromafleet.aws.elasticache_parameter_group:
    name: production-main-valkey8
    family: valkey8
    parameters:
      maxmemory-policy: allkeys-lru
    tags:
      chromafleet:fleet: production

- name: Delete the parameter group
  chromafleet.aws.elasticache_parameter_group:
    name: production-main-valkey8
    state: absent
"""

RETURN = r"""
parameter_group:
  description: The parameter group. Empty when it does not exist (yet).
  returned: always
  type: dict
  contains:
    arn:
      description: ARN of the group.
      type: str
      returned: when the group exists
    description:
      description: Description of the group.
      type: str
      returned: when the group exists
    family:
      description: Family of the group.
      type: str
      returned: when the group exists
      sample: valkey8
    name:
      description: Name of the group.
      type: str
      returned: when the group exists
    parameters:
      description: Parameters that differ from the family's defaults.
      type: dict
      returned: when the group exists
      sample: {"maxmemory-policy": "allkeys-lru"}
    tags:
      description: Tags of the group.
      type: dict
      returned: when the group exists
"""

import re
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors
from ansible_collections.chromafleet.aws.plugins.module_utils.ensure import remove, set_tags, wanted_tags

# One call takes so many parameters.
BATCH = 20


def text(value: Any) -> str:
    """A parameter's value as AWS keeps it."""
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


class ParameterGroup:
    """One parameter group, as it is and as it shall be."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        self.module = module
        self.params = module.params
        self.name: str = module.params["name"]
        self.client = module.client("elasticache", retry_decorator=AWSRetry.jittered_backoff(retries=10))

    def get(self) -> dict[str, Any]:
        """The group as it is; empty when there is none."""
        try:
            groups = self.client.describe_cache_parameter_groups(aws_retry=True, CacheParameterGroupName=self.name)
        except is_boto3_error_code("CacheParameterGroupNotFound"):
            return {}
        (group,) = groups["CacheParameterGroups"]
        return {
            "name": self.name,
            "arn": group["ARN"],
            "family": group["CacheParameterGroupFamily"],
            "description": group["Description"],
            "parameters": self.get_parameters(),
            "tags": boto3_tag_list_to_ansible_dict(
                self.client.list_tags_for_resource(aws_retry=True, ResourceName=group["ARN"])["TagList"]
            ),
        }

    def get_parameters(self) -> dict[str, str]:
        """The parameters that differ from the family's defaults."""

        @AWSRetry.jittered_backoff(retries=10)
        def read() -> dict[str, str]:
            pages = self.client.get_paginator("describe_cache_parameters").paginate(
                CacheParameterGroupName=self.name, Source="user"
            )
            return {
                parameter["ParameterName"]: parameter.get("ParameterValue", "")
                for page in pages
                for parameter in page["Parameters"]
            }

        return read()

    def wanted(self, found: dict[str, Any]) -> dict[str, Any]:
        """What `found` shall become: parameters and tags."""
        parameters = self.params["parameters"]
        wanted = {
            "parameters": dict(found.get("parameters", {})),
            "tags": wanted_tags(found.get("tags", {}), self.params),
        }
        if parameters is not None:
            kept = {} if self.params["purge_parameters"] else wanted["parameters"]
            wanted["parameters"] = {**kept, **{name: text(value) for name, value in parameters.items()}}
        return wanted

    def create(self, tags: dict[str, str]) -> None:
        """Create the group with its tags and the family's defaults."""
        self.client.create_cache_parameter_group(
            aws_retry=True,
            CacheParameterGroupName=self.name,
            CacheParameterGroupFamily=self.params["family"],
            Description=self.params["description"] or self.name,
            Tags=ansible_dict_to_boto3_tag_list(tags),
        )

    def set_parameters(self, found: dict[str, str], wanted: dict[str, str]) -> None:
        """Reset what is not wanted and set what is otherwise."""
        reset = [{"ParameterName": name} for name in found if name not in wanted]
        changed = [
            {"ParameterName": name, "ParameterValue": value}
            for name, value in wanted.items()
            if found.get(name) != value
        ]
        for call, pairs in (
            (self.client.reset_cache_parameter_group, reset),
            (self.client.modify_cache_parameter_group, changed),
        ):
            for start in range(0, len(pairs), BATCH):
                call(
                    aws_retry=True,
                    CacheParameterGroupName=self.name,
                    ParameterNameValues=pairs[start : start + BATCH],
                )

    def set_tags(self, arn: str, found: dict[str, str], wanted: dict[str, str]) -> None:
        """Set and remove tags."""
        calls = (self.client.remove_tags_from_resource, self.client.add_tags_to_resource)
        set_tags(calls, {"ResourceName": arn}, found, wanted)


def ensure_present(group: ParameterGroup) -> dict[str, Any]:
    """Create the group or bring it to what is wanted."""
    module, found = group.module, group.get()
    family = module.params["family"]
    if not found and not family:
        module.fail_json(msg=f"family is required, since there is no parameter group {group.name} yet.")
    if found and family and family != found["family"]:
        module.fail_json(
            msg=f"family of the parameter group {group.name} is {found['family']!r} and can't become {family!r}: AWS "
            "fixes it when the group is created. Make a group of another name, or delete this one first."
        )
    wanted = group.wanted(found)
    before = {key: found[key] for key in wanted if found}
    result = {"changed": before != wanted, "diff": {"before": before, "after": wanted}, "parameter_group": found}
    if not result["changed"] or module.check_mode:
        return result
    if found:
        group.set_tags(found["arn"], found["tags"], wanted["tags"])
    else:
        group.create(wanted["tags"])
    group.set_parameters(found.get("parameters", {}), wanted["parameters"])
    return {**result, "parameter_group": group.get()}


def ensure_absent(group: ParameterGroup) -> dict[str, Any]:
    """Delete the group if it is there."""

    def delete() -> None:
        group.client.delete_cache_parameter_group(aws_retry=True, CacheParameterGroupName=group.name)

    return {**remove(group.module, group.get(), delete), "parameter_group": {}}


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "family": {"type": "str"},
            "description": {"type": "str"},
            "parameters": {"type": "dict"},
            "purge_parameters": {"type": "bool", "default": True},
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
            "purge_tags": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    name = module.params["name"]
    if not re.fullmatch(r"[a-z](-?[a-z0-9])*", name) or len(name) > 255:
        module.fail_json(
            msg=f"name {name!r} has {len(name)} characters; a parameter group takes at most 255 lower-case letters, "
            "digits and single hyphens, starting with a letter."
        )
    group = ParameterGroup(module)
    with aws_errors(module, f"Failed to manage the parameter group {name}"):
        result = ensure_absent(group) if module.params["state"] == "absent" else ensure_present(group)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
