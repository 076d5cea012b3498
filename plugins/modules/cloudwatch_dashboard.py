#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Manage CloudWatch dashboards."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudwatch_dashboard
version_added: 0.1.0
short_description: Manage CloudWatch dashboards
description:
  - Creates, updates and deletes CloudWatch dashboards and their tags.
  - The body is compared as JSON, so that neither spaces nor the order of keys make a difference.
  - What CloudWatch finds wrong in a body that it takes all the same is returned and shown as warnings.
author:
  - Chroma Fleet developers
options:
  name:
    description: Name of the dashboard, at most 255 letters, digits, hyphens and underscores.
    type: str
    required: true
  body:
    description:
      - What the dashboard shows, as a dictionary or as JSON text.
      - Required when O(state=present).
      - See U(https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html).
    type: json
  state:
    description: Whether the dashboard shall exist.
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
  - chromafleet.aws.modes
"""

EXAMPLES = r"""
- name: Show the requests of the load balancer
  chromafleet.aws.cloudwatch_dashboard:
    name: production
    body:
      widgets:
        - type: metric
          x: 0
          y: 0
          width: 24
          height: 6
          properties:
            title: Requests
            region: eu-central-1
            stat: Sum
            period: 60
            metrics:
              - [AWS/ApplicationELB, RequestCount, LoadBalancer, app/production/0123456789abcdef]
    tags:
      chromafleet:fleet: production

- name: Delete the dashboard
  chromafleet.aws.cloudwatch_dashboard:
    name: production
    state: absent
"""

RETURN = r"""
dashboard:
  description: The dashboard; empty when it does not exist (yet).
  returned: always
  type: dict
  contains:
    arn:
      description: ARN of the dashboard.
      type: str
      returned: when the dashboard exists
    body:
      description: What it shows.
      type: dict
      returned: when the dashboard exists
    name:
      description: Name of the dashboard.
      type: str
      returned: when the dashboard exists
    tags:
      description: Tags of the dashboard.
      type: dict
      returned: when the dashboard exists
validation_messages:
  description: What CloudWatch found wrong in the body.
  returned: when the body was written
  type: list
  elements: dict
  contains:
    data_path:
      description: Where in the body.
      type: str
      returned: always
      sample: /widgets/0/properties/metrics/0
    message:
      description: What is wrong there.
      type: str
      returned: always
"""

import json
import re
from typing import Any

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors
from ansible_collections.chromafleet.aws.plugins.module_utils.ensure import (
    differences,
    remove,
    set_tags,
    wanted_tags,
)

Found = dict[str, Any]

NOT_FOUND = ["ResourceNotFound", "DashboardNotFoundError"]
INVALID = "InvalidParameterInput"


class Dashboard:
    """One dashboard, as it is and as it shall be."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        self.module = module
        self.params = module.params
        self.name: str = module.params["name"]
        self.client = module.client("cloudwatch", retry_decorator=AWSRetry.jittered_backoff(retries=10))

    def get(self) -> Found | None:
        """The dashboard with its tags."""
        try:
            answer = self.client.get_dashboard(aws_retry=True, DashboardName=self.name)
        except is_boto3_error_code(NOT_FOUND):
            return None
        arn = answer["DashboardArn"]
        tags = self.client.list_tags_for_resource(aws_retry=True, ResourceARN=arn)["Tags"]
        return {
            "arn": arn,
            "body": json.loads(answer["DashboardBody"]),
            "name": self.name,
            "tags": boto3_tag_list_to_ansible_dict(tags),
        }

    def put(self, body: dict[str, Any], new: bool) -> list[dict[str, str]]:
        """Write the body; tags are taken from the first call only."""
        tags = {"Tags": ansible_dict_to_boto3_tag_list(self.params["tags"] or {})} if new else {}
        try:
            answer = self.client.put_dashboard(
                aws_retry=True, DashboardName=self.name, DashboardBody=json.dumps(body), **tags
            )
        except is_boto3_error_code(INVALID) as e:
            found = said(e.response.get("dashboardValidationMessages"))
            where = "; ".join(f"{one['data_path']}: {one['message']}" for one in found)
            why = f" ({where})" if where else ""
            self.module.fail_json_aws(e, msg=f"CloudWatch refuses the body of the dashboard {self.name}{why}")
        messages = said(answer.get("DashboardValidationMessages"))
        for one in messages:
            self.module.warn(f"The dashboard {self.name}, {one['data_path']}: {one['message']}")
        return messages

    def set_tags(self, found: Found, after: dict[str, str]) -> None:
        """Bring the tags of a dashboard that existed before into line."""
        calls = (self.client.untag_resource, self.client.tag_resource)
        set_tags(calls, {"ResourceARN": found["arn"]}, found["tags"], after)


def said(messages: list[dict[str, str]] | None) -> list[dict[str, str]]:
    """Validation messages, each with both keys."""
    return [{"data_path": "", "message": "", **camel_dict_to_snake_dict(one)} for one in messages or []]


def properties(found: Found | None) -> dict[str, Any]:
    """What is compared of a dashboard; empty when there is none."""
    return {"body": found["body"], "tags": found["tags"]} if found else {}


def ensure_present(dashboard: Dashboard) -> dict[str, Any]:
    """Create the dashboard or change what differs."""
    found = dashboard.get()
    before = properties(found)
    after = {
        "body": json.loads(dashboard.params["body"]),
        "tags": wanted_tags(before.get("tags", {}), dashboard.params),
    }
    result = {**differences(before, after), "dashboard": found or {}}
    differ = result["diff"]["after"]
    if not differ or dashboard.module.check_mode:
        return result
    if "body" in differ:
        result["validation_messages"] = dashboard.put(after["body"], new=found is None)
    if found and "tags" in differ:
        dashboard.set_tags(found, after["tags"])
    return {**result, "dashboard": dashboard.get() or {}}


def ensure_absent(dashboard: Dashboard) -> dict[str, Any]:
    """Delete the dashboard if there is one."""
    before = properties(dashboard.get())

    def delete() -> None:
        dashboard.client.delete_dashboards(aws_retry=True, DashboardNames=[dashboard.name])

    return {**remove(dashboard.module, before, delete), "dashboard": {}}


def main() -> None:
    """Read the arguments, do the work, tell the result."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "body": {"type": "json"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
            "purge_tags": {"type": "bool", "default": True},
        },
        required_if=[("state", "present", ["body"])],
        supports_check_mode=True,
    )
    name = module.params["name"]
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", name):
        module.fail_json(
            msg=f"name {name!r} has {len(name)} characters; a dashboard takes 1 to 255 letters, digits, hyphens and "
            "underscores."
        )
    dashboard = Dashboard(module)
    with aws_errors(module, f"Failed to manage the dashboard {name}"):
        result = ensure_absent(dashboard) if module.params["state"] == "absent" else ensure_present(dashboard)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
