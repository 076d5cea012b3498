#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Start the replacement of a group's instances by those of its newest launch template, with a way back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_refresh
version_added: 0.1.0
short_description: Replace the instances of an auto-scaling group by those of its newest launch template
description:
  - Starts an instance refresh to the newest version of the group's launch template, where the group has instances that
    were started from a version with another content.
  - M(amazon.aws.autoscaling_instance_refresh) starts one without a desired version, alarms and a way back.
  - How many instances must be healthy meanwhile is what the group's instance maintenance policy says.
  - AWS puts back the version from before when the refresh fails or an alarm rings.
  - Does not wait. M(amazon.aws.autoscaling_instance_refresh_info) tells how far it is.
  - Where a refresh of the group is under way, nothing is started, and that one is returned.
  - AWS changes the version with which the group starts instances when the refresh has succeeded. Where no instance is
    to be replaced, this module changes it.
author:
  - Chroma Fleet developers
options:
  name:
    description: Name of the auto-scaling group.
    type: str
    required: true
  instance_warmup:
    description: Seconds for which a new instance must have been healthy. Without it, the group's own setting.
    type: int
  alarms:
    description: Names of CloudWatch alarms; the refresh ends when one of them rings.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - chromafleet.aws.modes
"""

EXAMPLES = r"""
- name: Replace the readers, and turn back when clients see errors
  chromafleet.aws.instance_refresh:
    name: production-main-reader
    alarms: [production-main-5xx]
"""

RETURN = r"""
behind:
  description: The instances that were started from another launch template than the newest one.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: The instance's id.
      type: str
    version:
      description: The launch template's version from which it was started; empty where that was another template.
      type: str
version:
  description: The newest version of the launch template.
  returned: always
  type: str
  sample: "7"
refresh_id:
  description: The refresh that was started or is under way; empty where there is none.
  returned: always
  type: str
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors
from ansible_collections.chromafleet.aws.plugins.module_utils.launch_templates import (
    specification,
    versions_like_latest,
)

ACTIVE = {"Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking"}


class Group:
    """An auto-scaling group and the versions of its launch template."""

    def __init__(self, autoscaling: Any, ec2: Any, found: dict[str, Any]) -> None:
        self.autoscaling, self.found, self.name = autoscaling, found, found["AutoScalingGroupName"]
        self.template = specification(found)
        launched = {instance["InstanceId"]: self._version_of(instance) for instance in found.get("Instances", [])}
        pages = ec2.get_paginator("describe_launch_template_versions").paginate(
            LaunchTemplateId=self.template["LaunchTemplateId"]
        )
        newest, alike = versions_like_latest(pages.build_full_result()["LaunchTemplateVersions"])
        self.version = str(newest["VersionNumber"])
        self.behind = [
            {"id": name, "version": version} for name, version in sorted(launched.items()) if version not in alike
        ]
        # The present version, as a number: AWS goes back to no other.
        self.present = self.template.get("Version", "$Default")
        if self.present.startswith("$"):
            self.present = min((version for version in launched.values() if version), key=int, default=self.version)

    def _version_of(self, instance: dict[str, Any]) -> str:
        template = instance.get("LaunchTemplate", {})
        return (
            template.get("Version", "") if template.get("LaunchTemplateId") == self.template["LaunchTemplateId"] else ""
        )

    def configuration(self, version: str) -> dict[str, Any]:
        """The group's launch template, or its policy of several instance types, with this version."""
        template = {"LaunchTemplateId": self.template["LaunchTemplateId"], "Version": version}
        if policy := self.found.get("MixedInstancesPolicy"):
            launch = {**policy["LaunchTemplate"], "LaunchTemplateSpecification": template}
            return {"MixedInstancesPolicy": {**policy, "LaunchTemplate": launch}}
        return {"LaunchTemplate": template}

    def under_way(self) -> str:
        """The id of a refresh that has not ended."""
        answer = self.autoscaling.describe_instance_refreshes(aws_retry=True, AutoScalingGroupName=self.name)
        active = (row["InstanceRefreshId"] for row in answer["InstanceRefreshes"] if row["Status"] in ACTIVE)
        return next(active, "")

    def pin(self, version: str) -> None:
        """Start instances with this version from now on."""
        self.autoscaling.update_auto_scaling_group(
            aws_retry=True, AutoScalingGroupName=self.name, **self.configuration(version)
        )

    def start(self, preferences: dict[str, Any]) -> str:
        """Begin to replace those that are behind."""
        if self.template.get("Version", "$Default") != self.present:
            self.pin(self.present)
        answer = self.autoscaling.start_instance_refresh(
            aws_retry=True,
            AutoScalingGroupName=self.name,
            Strategy="Rolling",
            DesiredConfiguration=self.configuration(self.version),
            Preferences=preferences,
        )
        return answer["InstanceRefreshId"]


def preferences_of(params: dict[str, Any]) -> dict[str, Any]:
    """The options as AWS names them."""
    wanted = {"SkipMatching": True, "AutoRollback": True}
    if params["instance_warmup"] is not None:
        wanted["InstanceWarmup"] = params["instance_warmup"]
    if params["alarms"]:
        wanted["AlarmSpecification"] = {"Alarms": params["alarms"]}
    return wanted


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "instance_warmup": {"type": "int"},
            "alarms": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    name, retry = module.params["name"], AWSRetry.jittered_backoff(retries=10)
    autoscaling, ec2 = module.client("autoscaling", retry_decorator=retry), module.client("ec2", retry_decorator=retry)
    with aws_errors(module, f"Failed to replace the instances of the auto-scaling group {name}"):
        groups = autoscaling.describe_auto_scaling_groups(aws_retry=True, AutoScalingGroupNames=[name])
        if not groups["AutoScalingGroups"]:
            module.fail_json(msg=f"There is no auto-scaling group {name}: make it first, or correct its name.")
        group = Group(autoscaling, ec2, groups["AutoScalingGroups"][0])
        refresh_id, changed = group.under_way(), False
        if not refresh_id:
            changed = bool(group.behind) or group.template.get("Version") != group.version
            if changed and not module.check_mode:
                if group.behind:
                    refresh_id = group.start(preferences_of(module.params))
                else:
                    group.pin(group.version)
    after = {"launch_template_version": group.version, "instances": []}
    before = {"launch_template_version": group.present, "instances": group.behind}
    module.exit_json(
        changed=changed,
        diff={"before": before, "after": after} if changed else {},
        behind=group.behind,
        version=group.version,
        refresh_id=refresh_id,
    )


if __name__ == "__main__":
    main()
