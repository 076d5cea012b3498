#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Manage several CloudWatch metric alarms and their tags."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudwatch_metric_alarms
version_added: 0.1.0
short_description: Manage several CloudWatch metric alarms and their tags
description:
  - Creates, updates and deletes metric alarms, all in one process.
  - Other than M(amazon.aws.cloudwatch_metric_alarm), it sets and compares tags, by which alarms can be found again, and
    whether an alarm's actions are enabled; and it compares metric math.
  - An alarm is made as it is described here. A property that is not given is taken from it.
author:
  - Chroma Fleet developers
options:
  alarms:
    description: The alarms. With O(state=absent), only their names count.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the alarm, at most 255 characters.
        type: str
        required: true
      description:
        description: What it means when the alarm rings, and what to do; at most 1,024 characters.
        type: str
      metric_name:
        description: Name of the metric. Required unless there are O(alarms[].metrics).
        type: str
      namespace:
        description: Namespace of the metric.
        type: str
      dimensions:
        description: Dimensions of the metric.
        type: dict
      metrics:
        description:
          - Queries of metric math, in the place of O(alarms[].metric_name).
          - Each is a MetricDataQuery of CloudWatch in snake_case.
          - Exactly one of them has C(return_data=true).
        type: list
        elements: dict
      statistic:
        description: How a period's values become one.
        type: str
        choices: [Average, Maximum, Minimum, SampleCount, Sum]
      extended_statistic:
        description: A percentile such as V(p99), in the place of O(alarms[].statistic).
        type: str
      comparison:
        description: When the value is bad.
        type: str
        choices: [GreaterThanOrEqualToThreshold, GreaterThanThreshold, LessThanOrEqualToThreshold, LessThanThreshold]
        default: GreaterThanThreshold
      threshold:
        description: What the value is compared with. Required for O(state=present).
        type: float
      period:
        description: Length of a period in seconds. Not with metric math, whose queries have their own.
        type: int
      unit:
        description: Unit of the metric. CloudWatch finds nothing when the metric has another one.
        type: str
      evaluation_periods:
        description: Number of the newest periods that are looked at.
        type: int
        default: 1
      datapoints_to_alarm:
        description: How many of them must be bad. Without it, all.
        type: int
      treat_missing_data:
        description: What a period without data counts as.
        type: str
        choices: [breaching, ignore, missing, notBreaching]
        default: missing
      evaluate_low_sample_count_percentile:
        description: What a percentile of too few values counts as.
        type: str
        choices: [evaluate, ignore]
      actions_enabled:
        description: Whether the actions are taken.
        type: bool
        default: true
      alarm_actions:
        description: ARNs of what is told when the alarm rings.
        type: list
        elements: str
        default: []
      ok_actions:
        description: ARNs of what is told when all is well again.
        type: list
        elements: str
        default: []
      insufficient_data_actions:
        description: ARNs of what is told when there is no data any more.
        type: list
        elements: str
        default: []
  state:
    description: Whether the alarms shall exist.
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
- name: Ring when a disk fills or more than 1 % of the requests fail
  chromafleet.aws.cloudwatch_metric_alarms:
    alarms:
      - name: production-main-writer-disk
        description: A disk of the writer is more than 80 % full. Make the data volume bigger.
        namespace: ChromaFleet
        metric_name: disk_used_percent
        dimensions: {Fleet: production, Cell: main, Role: writer}
        statistic: Maximum
        threshold: 80
        period: 300
        evaluation_periods: 3
        alarm_actions: [arn:aws:sns:eu-central-1:123456789012:production-main-alarms]
      - name: production-main-errors
        metrics:
          - id: rate
            expression: 100 * errors / requests
          - id: errors
            return_data: false
            metric_stat:
              metric:
                namespace: AWS/ApplicationELB
                metric_name: HTTPCode_Target_5XX_Count
                dimensions: [{name: LoadBalancer, value: app/production/0123456789abcdef}]
              period: 60
              stat: Sum
          - id: requests
            return_data: false
            metric_stat:
              metric:
                namespace: AWS/ApplicationELB
                metric_name: RequestCount
                dimensions: [{name: LoadBalancer, value: app/production/0123456789abcdef}]
              period: 60
              stat: Sum
        threshold: 1
        evaluation_periods: 5
    tags:
      chromafleet:fleet: production

- name: Delete alarms
  chromafleet.aws.cloudwatch_metric_alarms:
    alarms:
      - name: production-main-writer-disk
      - name: production-main-errors
    state: absent
"""

RETURN = r"""
alarms:
  description: Names of the alarms that were created, updated or deleted, or would be.
  returned: always
  type: list
  elements: str
  sample: [production-main-writer-disk]
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors
from ansible_collections.chromafleet.aws.plugins.module_utils.cloudwatch import alarm_of, arguments_of, complete
from ansible_collections.chromafleet.aws.plugins.module_utils.ensure import differences, set_tags, wanted_tags

# What one call of DescribeAlarms and DeleteAlarms takes.
BATCH = 100
SUBOPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "description": {"type": "str"},
    "metric_name": {"type": "str"},
    "namespace": {"type": "str"},
    "dimensions": {"type": "dict"},
    "metrics": {"type": "list", "elements": "dict"},
    "statistic": {"type": "str", "choices": ["Average", "Maximum", "Minimum", "SampleCount", "Sum"]},
    "extended_statistic": {"type": "str"},
    "comparison": {
        "type": "str",
        "choices": [
            "GreaterThanOrEqualToThreshold",
            "GreaterThanThreshold",
            "LessThanOrEqualToThreshold",
            "LessThanThreshold",
        ],
        "default": "GreaterThanThreshold",
    },
    "threshold": {"type": "float"},
    "period": {"type": "int"},
    "unit": {"type": "str"},
    "evaluation_periods": {"type": "int", "default": 1},
    "datapoints_to_alarm": {"type": "int"},
    "treat_missing_data": {
        "type": "str",
        "choices": ["breaching", "ignore", "missing", "notBreaching"],
        "default": "missing",
    },
    "evaluate_low_sample_count_percentile": {"type": "str", "choices": ["evaluate", "ignore"]},
    "actions_enabled": {"type": "bool", "default": True},
    "alarm_actions": {"type": "list", "elements": "str", "default": []},
    "ok_actions": {"type": "list", "elements": "str", "default": []},
    "insufficient_data_actions": {"type": "list", "elements": "str", "default": []},
}


class Alarms:
    """The alarms of one call, as they are and as they shall be."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        self.module = module
        self.wanted = {alarm["name"]: complete(alarm) for alarm in module.params["alarms"]}
        # CloudWatch takes three alarms a second.
        self.client = module.client("cloudwatch", retry_decorator=AWSRetry.jittered_backoff(retries=10))
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}

    def get(self) -> dict[str, dict[str, Any]]:
        """Those of the alarms that exist, as the API describes them."""
        names, found = list(self.wanted), {}
        for start in range(0, len(names), BATCH):
            answer = self.client.describe_alarms(
                aws_retry=True, AlarmNames=names[start : start + BATCH], AlarmTypes=["MetricAlarm"], MaxRecords=BATCH
            )
            found.update({alarm["AlarmName"]: alarm for alarm in answer["MetricAlarms"]})
        return found

    def make(self, name: str, described: dict[str, Any] | None) -> None:
        """Create or update one alarm."""
        wanted = self.wanted[name]
        found = alarm_of(described) if described else {}
        result = differences(found, wanted)
        if result["changed"]:
            if found:
                self.before[name] = result["diff"]["before"]
            self.after[name] = result["diff"]["after"]
            if not self.module.check_mode:
                # Tags are taken from the first call only.
                tags = {} if found else {"Tags": ansible_dict_to_boto3_tag_list(self.module.params["tags"] or {})}
                self.client.put_metric_alarm(aws_retry=True, **arguments_of(wanted), **tags)
        if described and self.module.params["tags"] is not None:
            self.tag(name, described["AlarmArn"])

    def tag(self, name: str, arn: str) -> None:
        """Bring the tags of an alarm that existed before into line."""
        answer = self.client.list_tags_for_resource(aws_retry=True, ResourceARN=arn)
        found = boto3_tag_list_to_ansible_dict(answer["Tags"])
        wanted = wanted_tags(found, self.module.params)
        if wanted == found:
            return
        self.before.setdefault(name, {})["tags"] = found
        self.after.setdefault(name, {})["tags"] = wanted
        if not self.module.check_mode:
            set_tags((self.client.untag_resource, self.client.tag_resource), {"ResourceARN": arn}, found, wanted)

    def delete(self, names: list[str]) -> None:
        """Delete alarms."""
        self.before = dict.fromkeys(names, "exists")
        for start in range(0, 0 if self.module.check_mode else len(names), BATCH):
            self.client.delete_alarms(aws_retry=True, AlarmNames=names[start : start + BATCH])


def refuse_impossible(module: AnsibleAWSModule) -> None:
    """Fail with one sentence before the first call."""
    for alarm in module.params["alarms"]:
        name = alarm["name"]
        if not 1 <= len(name) <= 255:
            module.fail_json(msg=f"The alarm name {name!r} has {len(name)} characters, but CloudWatch allows 1 to 255.")
        if module.params["state"] == "absent":
            continue
        if alarm["threshold"] is None:
            module.fail_json(msg=f"The alarm {name} has no threshold.")
        if bool(alarm["metric_name"]) == bool(alarm["metrics"]):
            module.fail_json(msg=f"The alarm {name} must have either a metric_name or metrics.")
        if alarm["metric_name"] and bool(alarm["statistic"]) == bool(alarm["extended_statistic"]):
            module.fail_json(msg=f"The alarm {name} must have either a statistic or an extended_statistic.")
        if alarm["metric_name"] and not alarm["period"]:
            module.fail_json(msg=f"The alarm {name} has no period.")


def ensure(alarms: Alarms) -> None:
    """Make or delete what is needed."""
    found = alarms.get()
    if alarms.module.params["state"] == "absent":
        alarms.delete(list(found))
        return
    for name in alarms.wanted:
        alarms.make(name, found.get(name))


def main() -> None:
    """Read the arguments, do the work, tell the result."""
    module = AnsibleAWSModule(
        argument_spec={
            "alarms": {"type": "list", "elements": "dict", "required": True, "options": SUBOPTIONS},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
            "purge_tags": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    refuse_impossible(module)
    alarms = Alarms(module)
    with aws_errors(module, f"Failed to manage the alarms {', '.join(alarms.wanted)}"):
        ensure(alarms)
    names = sorted({*alarms.before, *alarms.after})
    module.exit_json(changed=bool(names), alarms=names, diff={"before": alarms.before, "after": alarms.after})


if __name__ == "__main__":
    main()
