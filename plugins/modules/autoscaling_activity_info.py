#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Tell what auto-scaling groups did last."""

from __future__ import annotations

DOCUMENTATION = r"""
module: autoscaling_activity_info
version_added: 0.1.0
short_description: Tell what auto-scaling groups tried and why it failed
description:
  - Returns the newest activities of auto-scaling groups. What AWS refuses to a group, such as an instance above a quota
    or without capacity, is told nowhere else.
author:
  - Chroma Fleet developers
options:
  groups:
    description: Names of the auto-scaling groups.
    type: list
    elements: str
    required: true
  failed:
    description: Whether to return failed activities only.
    type: bool
    default: false
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - chromafleet.aws.modes.no_diff
"""

EXAMPLES = r"""
- name: Look why the readers don't start
  chromafleet.aws.autoscaling_activity_info:
    groups: [production-main-reader]
    failed: true
  register: activities
"""

RETURN = r"""
activities:
  description: The newest activities of all groups, newest first, at most 100 of each group.
  returned: always
  type: list
  elements: dict
  contains:
    auto_scaling_group_name:
      description: The group.
      type: str
    status_code:
      description: The outcome.
      type: str
      sample: Failed
    status_message:
      description: The reason in AWS's words; empty when there is none.
      type: str
    description:
      description: What was tried.
      type: str
    start_time:
      description: When it began.
      type: str
"""

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "groups": {"type": "list", "elements": "str", "required": True},
            "failed": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    client = module.client("autoscaling", retry_decorator=AWSRetry.jittered_backoff(retries=10))
    activities = []
    with aws_errors(module, f"Failed to read the activities of {', '.join(module.params['groups'])}"):
        for group in module.params["groups"]:
            answer = client.describe_scaling_activities(aws_retry=True, AutoScalingGroupName=group, MaxRecords=100)
            activities += answer["Activities"]
    if module.params["failed"]:
        activities = [activity for activity in activities if activity["StatusCode"] == "Failed"]
    activities.sort(key=lambda activity: activity["StartTime"], reverse=True)
    module.exit_json(
        changed=False,
        activities=[{"status_message": "", **camel_dict_to_snake_dict(activity)} for activity in activities],
    )


if __name__ == "__main__":
    main()
