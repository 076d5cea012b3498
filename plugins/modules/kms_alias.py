#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Manage the aliases of KMS keys."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kms_alias
version_added: 0.1.0
short_description: Manage the aliases of KMS keys
description:
  - Creates an alias, points it at another key, and deletes it.
  - M(amazon.aws.kms_key) creates an alias with a key, but neither moves nor deletes one.
author:
  - Chroma Fleet developers
options:
  name:
    description: Name of the alias, with or without C(alias/) before it.
    type: str
    required: true
    aliases: [alias]
  key_id:
    description: Id or ARN of the key that the alias shall point at. Required with O(state=present).
    type: str
  state:
    description: Whether the alias shall exist.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - chromafleet.aws.modes
"""

EXAMPLES = r"""
- name: Point the alias at the new key
  chromafleet.aws.kms_alias:
    name: chromafleet/production
    key_id: 1234abcd-12ab-34cd-56ef-1234567890ab

- name: Delete the alias
  chromafleet.aws.kms_alias:
    name: chromafleet/production
    state: absent
"""

RETURN = r"""
name:
  description: Name of the alias, with C(alias/) before it.
  returned: always
  type: str
  sample: alias/chromafleet/production
key_id:
  description: Id of the key that the alias points at; empty without an alias.
  returned: always
  type: str
  sample: 1234abcd-12ab-34cd-56ef-1234567890ab
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors

PREFIX = "alias/"


def key_of(client: Any, key_or_alias: str) -> str:
    """The id of the key that an id, an ARN or an alias names; empty if there is none."""
    try:
        return client.describe_key(KeyId=key_or_alias, aws_retry=True)["KeyMetadata"]["KeyId"]
    except is_boto3_error_code("NotFoundException"):
        return ""


def change(client: Any, name: str, before: str, after: str) -> None:
    """Make, move or delete the alias."""
    if not after:
        client.delete_alias(AliasName=name, aws_retry=True)
    elif before:
        client.update_alias(AliasName=name, TargetKeyId=after, aws_retry=True)
    else:
        client.create_alias(AliasName=name, TargetKeyId=after, aws_retry=True)


def main() -> None:
    """Compare the key that the alias points at with the wanted one."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True, "aliases": ["alias"]},
            "key_id": {"type": "str", "no_log": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        required_if=[("state", "present", ["key_id"])],
        supports_check_mode=True,
    )
    client = module.client("kms", retry_decorator=AWSRetry.jittered_backoff())
    name = PREFIX + module.params["name"].removeprefix(PREFIX)
    with aws_errors(module, f"Can't change {name}"):
        before = key_of(client, name)
        after = key_of(client, module.params["key_id"]) if module.params["state"] == "present" else ""
        if module.params["state"] == "present" and not after:
            module.fail_json(msg=f"There is no KMS key {module.params['key_id']} for {name} to point at.")
        if before != after and not module.check_mode:
            change(client, name, before, after)
    diff = {"before": {"key_id": before}, "after": {"key_id": after}}
    module.exit_json(changed=before != after, name=name, key_id=after, diff=diff)


if __name__ == "__main__":
    main()
