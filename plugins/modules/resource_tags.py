#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Manage the tags of resources whose own module knows none."""

from __future__ import annotations

DOCUMENTATION = r"""
module: resource_tags
version_added: 0.1.0
short_description: Manage the tags of an AWS resource by its ARN
description:
  - Sets and removes tags through the Resource Groups Tagging API, for resources whose own module knows no tags, such as
    those of M(community.aws.ecs_ecr) and M(community.aws.elasticache_subnet_group).
  - The caller also needs the permission to tag in the service that the resource belongs to.
author:
  - Chroma Fleet developers
options:
  arn:
    description: ARN of the resource.
    type: str
    required: true
  tags:
    description: The tags that the resource shall have.
    type: dict
    required: true
    aliases: [resource_tags]
  purge_tags:
    description: Whether tags that O(tags) doesn't name are removed. Tags of AWS itself (C(aws:)) always stay.
    type: bool
    default: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - chromafleet.aws.modes
"""

EXAMPLES = r"""
- name: Tag a repository
  chromafleet.aws.resource_tags:
    arn: arn:aws:ecr:eu-central-1:123456789012:repository/chromafleet/production/chroma
    tags:
      chromafleet:fleet: production
"""

RETURN = r"""
tags:
  description: The tags of the resource; in check mode, those that it would have.
  returned: always
  type: dict
  sample: {"chromafleet:fleet": "production"}
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    boto3_tag_list_to_ansible_dict,
    compare_aws_tags,
)
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors
from ansible_collections.chromafleet.aws.plugins.module_utils.ensure import wanted_tags


def current_tags(client: Any, arn: str) -> dict[str, str]:
    """The resource's tags; the tagging API doesn't list what never had one."""
    found = client.get_resources(aws_retry=True, ResourceARNList=[arn])["ResourceTagMappingList"]
    return boto3_tag_list_to_ansible_dict(found[0]["Tags"]) if found else {}


def refuse_failures(module: AnsibleAWSModule, answer: dict[str, Any]) -> None:
    """Fail where the tagging API reports the service's error within a good answer."""
    for arn, failure in answer.get("FailedResourcesMap", {}).items():
        module.fail_json(msg=f"Can't tag {arn}: {failure.get('ErrorMessage')} ({failure.get('ErrorCode')})")


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "arn": {"type": "str", "required": True},
            "tags": {"type": "dict", "required": True, "aliases": ["resource_tags"]},
            "purge_tags": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    arn = module.params["arn"]
    client = module.client("resourcegroupstaggingapi", retry_decorator=AWSRetry.jittered_backoff(retries=10))
    with aws_errors(module, f"Can't tag {arn}"):
        before = current_tags(client, arn)
        after = wanted_tags(before, module.params)
        wanted, unwanted = compare_aws_tags(before, after)
        if not module.check_mode:
            if unwanted:
                refuse_failures(module, client.untag_resources(aws_retry=True, ResourceARNList=[arn], TagKeys=unwanted))
            if wanted:
                refuse_failures(module, client.tag_resources(aws_retry=True, ResourceARNList=[arn], Tags=wanted))
    module.exit_json(changed=before != after, diff={"before": before, "after": after}, tags=after)


if __name__ == "__main__":
    main()
