#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Manage target tracking policies of auto-scaling groups."""

from __future__ import annotations

DOCUMENTATION = r"""
module: autoscaling_target_tracking_policy
version_added: 0.1.0
short_description: Manage a target tracking policy of an auto-scaling group
description:
  - Makes, changes and deletes a policy that keeps a metric of an auto-scaling group near a value.
  - Unlike M(community.aws.autoscaling_policy), which deletes the first policy of that name in the whole account, it
    only ever touches the group that it is given.
author:
  - Chroma Fleet developers
options:
  group:
    description: Name of the auto-scaling group.
    type: str
    required: true
  name:
    description: Name of the policy, of which each group has its own.
    type: str
    required: true
  state:
    description: Whether the policy shall exist. A policy of any type can be deleted.
    type: str
    choices: [present, absent]
    default: present
  target:
    description: The value that the metric shall have. Required when O(state=present).
    type: float
  metric:
    description: The metric. Required when O(state=present).
    type: dict
    suboptions:
      predefined:
        description: A metric that AWS defines, such as V(ASGAverageCPUUtilization) or V(ALBRequestCountPerTarget).
        type: str
      resource_label:
        description:
          - For V(ALBRequestCountPerTarget) the end of the load balancer's ARN and that of the target group's, joined by
            a slash.
        type: str
      namespace:
        description: Namespace of a metric of your own.
        type: str
      name:
        description: Name of a metric of your own.
        type: str
      statistic:
        description: Statistic of a metric of your own.
        type: str
        choices: [Average, Minimum, Maximum, SampleCount, Sum]
        default: Average
      dimensions:
        description: Dimensions of a metric of your own, name to value.
        type: dict
        default: {}
  scale_in:
    description: Whether the policy removes instances too.
    type: bool
    default: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - chromafleet.aws.modes
"""

EXAMPLES = r"""
- name: Keep the processors at 70 percent
  chromafleet.aws.autoscaling_target_tracking_policy:
    group: production-main-reader
    name: cpu
    target: 70
    metric:
      predefined: ASGAverageCPUUtilization

- name: Keep the memory at 80 percent
  chromafleet.aws.autoscaling_target_tracking_policy:
    group: production-main-reader
    name: memory
    target: 80
    metric:
      namespace: ChromaFleet
      name: mem_used_percent
      dimensions:
        Fleet: production
        Cell: main
        Role: reader

- name: Remove a policy
  chromafleet.aws.autoscaling_target_tracking_policy:
    group: production-main-reader
    name: memory
    state: absent
"""

RETURN = r"""
policy:
  description: The policy's arguments as the API takes them. Empty when there is no policy.
  returned: always
  type: dict
  sample:
    TargetValue: 70.0
    PredefinedMetricSpecification: {"PredefinedMetricType": "ASGAverageCPUUtilization"}
    DisableScaleIn: false
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors

TYPE = "TargetTrackingScaling"


def configuration(params: dict[str, Any]) -> dict[str, Any]:
    """The options as the API takes them."""
    metric = params["metric"]
    if metric["predefined"]:
        label = {"ResourceLabel": metric["resource_label"]} if metric["resource_label"] else {}
        specification = {"PredefinedMetricSpecification": {"PredefinedMetricType": metric["predefined"], **label}}
    else:
        dimensions = [{"Name": name, "Value": value} for name, value in sorted(metric["dimensions"].items())]
        specification = {
            "CustomizedMetricSpecification": {
                "MetricName": metric["name"],
                "Namespace": metric["namespace"],
                "Dimensions": dimensions,
                "Statistic": metric["statistic"],
            }
        }
    return {"TargetValue": params["target"], "DisableScaleIn": not params["scale_in"], **specification}


def found_configuration(policy: dict[str, Any]) -> dict[str, Any]:
    """A policy's configuration in the same form; empty for one of another type."""
    found = dict(policy.get("TargetTrackingConfiguration", {}))
    if custom := found.get("CustomizedMetricSpecification"):
        ordered = sorted(custom.get("Dimensions", []), key=lambda dimension: dimension["Name"])
        found["CustomizedMetricSpecification"] = {**custom, "Dimensions": ordered}
    if found:
        found.setdefault("DisableScaleIn", False)
    return found


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "group": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "target": {"type": "float"},
            "metric": {
                "type": "dict",
                "options": {
                    "predefined": {"type": "str"},
                    "resource_label": {"type": "str"},
                    "namespace": {"type": "str"},
                    "name": {"type": "str"},
                    "statistic": {
                        "type": "str",
                        "choices": ["Average", "Minimum", "Maximum", "SampleCount", "Sum"],
                        "default": "Average",
                    },
                    "dimensions": {"type": "dict", "default": {}},
                },
                "mutually_exclusive": [["predefined", "namespace"]],
                "required_one_of": [["predefined", "namespace"]],
                "required_together": [["namespace", "name"]],
            },
            "scale_in": {"type": "bool", "default": True},
        },
        required_if=[["state", "present", ["target", "metric"]]],
        supports_check_mode=True,
    )
    params, client = module.params, module.client("autoscaling", retry_decorator=AWSRetry.jittered_backoff(retries=10))
    whose = {"AutoScalingGroupName": params["group"]}
    wanted = configuration(params) if params["state"] == "present" else {}
    with aws_errors(module, f"Failed to manage the policy {params['name']} of the group {params['group']}"):
        policies = client.describe_policies(aws_retry=True, PolicyNames=[params["name"]], **whose)["ScalingPolicies"]
        found = found_configuration(policies[0]) if policies else {}
        changed = found != wanted if wanted else bool(policies)
        if changed and not module.check_mode:
            # The type of a policy is fixed.
            if policies and (not wanted or policies[0]["PolicyType"] != TYPE):
                client.delete_policy(aws_retry=True, PolicyName=params["name"], **whose)
            if wanted:
                client.put_scaling_policy(
                    aws_retry=True,
                    PolicyName=params["name"],
                    PolicyType=TYPE,
                    TargetTrackingConfiguration=wanted,
                    **whose,
                )
    module.exit_json(
        changed=changed,
        policy=wanted,
        diff={"before": found, "after": wanted} if changed else {"before": {}, "after": {}},
    )


if __name__ == "__main__":
    main()
