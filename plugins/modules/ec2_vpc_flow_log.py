#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Manage flow logs of VPCs, subnets and network interfaces."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ec2_vpc_flow_log
version_added: 0.1.0
short_description: Manage flow logs of VPCs, subnets and network interfaces
description:
  - Creates and deletes flow logs that go to CloudWatch Logs or to S3.
  - AWS changes nothing of a flow log but its tags. One that differs otherwise is deleted and made anew, so that some
    seconds are not logged.
author:
  - Chroma Fleet developers
options:
  state:
    description: Whether the flow log shall exist.
    type: str
    choices: [present, absent]
    default: present
  flow_log_id:
    description:
      - The id of a flow log that shall be deleted.
      - Without it, the one of O(resource_id) to the destination is meant.
    type: str
  resource_id:
    description: Whose traffic is logged, the id of a VPC, a subnet or a network interface.
    type: str
  log_group:
    description: The name of the log group in CloudWatch Logs that the flow log goes to.
    type: str
  bucket_arn:
    description: The ARN of the S3 bucket that the flow log goes to; may end with a folder.
    type: str
  role_arn:
    description: The ARN of the IAM role that writes to O(log_group). Required with it.
    type: str
  traffic_type:
    description: Which traffic is logged.
    type: str
    choices: [ALL, ACCEPT, REJECT]
    default: ALL
  aggregation_interval:
    description: For how many seconds packets are counted together.
    type: int
    choices: [60, 600]
    default: 600
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
  - chromafleet.aws.modes
"""

EXAMPLES = r"""
- name: Log the traffic of a VPC
  chromafleet.aws.ec2_vpc_flow_log:
    resource_id: vpc-0123456789abcdef0
    log_group: /network/flow-logs
    role_arn: arn:aws:iam::123456789012:role/flow-logs

- name: Log what a subnet refuses to a bucket
  chromafleet.aws.ec2_vpc_flow_log:
    resource_id: subnet-0123456789abcdef0
    bucket_arn: arn:aws:s3:::company-logs/network
    traffic_type: REJECT

- name: Delete a flow log
  chromafleet.aws.ec2_vpc_flow_log:
    flow_log_id: fl-0123456789abcdef0
    state: absent
"""

RETURN = r"""
flow_log:
  description: The flow log; empty when there is none.
  returned: always
  type: dict
  contains:
    flow_log_id:
      description: Its id.
      type: str
      sample: fl-0123456789abcdef0
    resource_id:
      description: Whose traffic it logs.
      type: str
      sample: vpc-0123456789abcdef0
    deliver_logs_status:
      description: Whether it reaches its destination.
      type: str
      sample: SUCCESS
    tags:
      description: Its tags.
      type: dict
"""

import time
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_message
from ansible_collections.amazon.aws.plugins.module_utils.ec2 import ensure_ec2_tags
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    boto3_tag_list_to_ansible_dict,
    boto3_tag_specifications,
)
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors
from ansible_collections.chromafleet.aws.plugins.module_utils.ensure import (
    described,
    differences,
    remove,
    wanted_tags,
)

# EC2 knows a new IAM role after some seconds only.
ROLE_TRIES = 12
ROLE_DELAY = 5
FIXED = ("traffic_type", "aggregation_interval", "role_arn")
RESOURCES = {"vpc": "VPC", "subnet": "Subnet", "eni": "NetworkInterface"}


class FlowLog:
    """One flow log, as it is and as it shall be."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        self.module = module
        self.params = module.params
        self.client = module.client("ec2", retry_decorator=AWSRetry.jittered_backoff(retries=10))

    def get(self, flow_log_id: str | None = None) -> dict[str, Any] | None:
        """The flow log as EC2 describes it."""
        name, value = ("flow-log-id", flow_log_id) if flow_log_id else ("resource-id", self.params["resource_id"])
        found = self.client.describe_flow_logs(aws_retry=True, Filter=[{"Name": name, "Values": [value]}])["FlowLogs"]
        if flow_log_id:
            return next(iter(found), None)
        return next((one for one in found if self.leads_to_destination(one)), None)

    def leads_to_destination(self, flow_log: dict[str, Any]) -> bool:
        """Whether a flow log goes where the wanted one shall go."""
        if self.params["log_group"]:
            return flow_log.get("LogGroupName") == self.params["log_group"]
        return flow_log.get("LogDestination") == self.params["bucket_arn"]

    def properties(self, flow_log: dict[str, Any]) -> dict[str, Any]:
        """What the flow log has, in terms of this module's options."""
        return {
            "traffic_type": flow_log.get("TrafficType"),
            "aggregation_interval": flow_log.get("MaxAggregationInterval"),
            "role_arn": flow_log.get("DeliverLogsPermissionArn"),
            "tags": boto3_tag_list_to_ansible_dict(flow_log.get("Tags") or []),
        }

    def wanted(self, found: dict[str, Any]) -> dict[str, Any]:
        """What was asked for, and the tags that stay."""
        return {name: self.params[name] for name in FIXED} | {"tags": wanted_tags(found["tags"], self.params)}

    def create_patiently(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call CreateFlowLogs until EC2 knows the role."""
        for _ in range(ROLE_TRIES - 1):
            try:
                return self.client.create_flow_logs(aws_retry=True, **arguments)
            except is_boto3_error_message("Unable to assume given IAM role"):
                time.sleep(ROLE_DELAY)
        return self.client.create_flow_logs(aws_retry=True, **arguments)

    def create(self, tags: dict[str, str]) -> str:
        """Create the flow log: its id."""
        resource = self.params["resource_id"]
        arguments: dict[str, Any] = {
            "ResourceIds": [resource],
            "ResourceType": RESOURCES[resource.partition("-")[0]],
            "TrafficType": self.params["traffic_type"],
            "MaxAggregationInterval": self.params["aggregation_interval"],
        }
        if self.params["log_group"]:
            arguments |= {
                "LogDestinationType": "cloud-watch-logs",
                "LogGroupName": self.params["log_group"],
                "DeliverLogsPermissionArn": self.params["role_arn"],
            }
        else:
            arguments |= {"LogDestinationType": "s3", "LogDestination": self.params["bucket_arn"]}
        if tags:
            arguments["TagSpecifications"] = boto3_tag_specifications(tags, ["vpc-flow-log"])
        made = self.create_patiently(arguments)
        for fault in made.get("Unsuccessful", []):
            self.module.fail_json(msg=f"The traffic of {resource} can't be logged: {fault['Error'].get('Message')}")
        return made["FlowLogIds"][0]

    def delete(self, flow_log_id: str) -> None:
        """Delete the flow log; EC2 tells a failure in its answer."""
        answer = self.client.delete_flow_logs(aws_retry=True, FlowLogIds=[flow_log_id])
        for fault in answer.get("Unsuccessful", []):
            self.module.fail_json(msg=f"The flow log {flow_log_id} can't be deleted: {fault['Error'].get('Message')}")


def ensure_present(flow_log: FlowLog) -> dict[str, Any]:
    """Create the flow log or bring it to what is wanted."""
    module = flow_log.module
    current = flow_log.get()
    found = flow_log.properties(current) if current else {}
    wanted = flow_log.wanted(flow_log.properties(current or {}))
    result = differences(found, wanted)
    if result["changed"] and not module.check_mode:
        if current and not set(result["diff"]["after"]) & set(FIXED):
            ensure_ec2_tags(
                flow_log.client,
                module,
                current["FlowLogId"],
                tags=module.params["tags"],
                purge_tags=module.params["purge_tags"],
            )
            made = current["FlowLogId"]
        else:
            if current:
                flow_log.delete(current["FlowLogId"])
            made = flow_log.create(wanted["tags"])
        current = flow_log.get(made)
    return {**result, "flow_log": described(current)}


def ensure_absent(flow_log: FlowLog) -> dict[str, Any]:
    """Delete the flow log if it is there."""
    current = flow_log.get(flow_log.params["flow_log_id"])
    before = flow_log.properties(current) if current else {}
    return {**remove(flow_log.module, before, lambda: flow_log.delete(current["FlowLogId"])), "flow_log": {}}


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "flow_log_id": {"type": "str"},
            "resource_id": {"type": "str"},
            "log_group": {"type": "str"},
            "bucket_arn": {"type": "str"},
            "role_arn": {"type": "str"},
            "traffic_type": {"type": "str", "choices": ["ALL", "ACCEPT", "REJECT"], "default": "ALL"},
            "aggregation_interval": {"type": "int", "choices": [60, 600], "default": 600},
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
            "purge_tags": {"type": "bool", "default": True},
        },
        mutually_exclusive=[["log_group", "bucket_arn"], ["bucket_arn", "role_arn"]],
        required_if=[["state", "present", ["resource_id"]]],
        required_one_of=[["flow_log_id", "log_group", "bucket_arn"], ["flow_log_id", "resource_id"]],
        supports_check_mode=True,
    )
    if module.params["state"] == "present":
        if module.params["flow_log_id"]:
            module.fail_json(
                msg="flow_log_id only names a flow log that shall be absent: give resource_id and log_group"
            )
        if module.params["log_group"] and not module.params["role_arn"]:
            module.fail_json(msg="log_group needs role_arn, the IAM role that writes to it")
        if module.params["resource_id"].partition("-")[0] not in RESOURCES:
            module.fail_json(
                msg=f"resource_id is {module.params['resource_id']!r}, but must be the id of a VPC (vpc-...), a subnet "
                "(subnet-...) or a network interface (eni-...)"
            )
    flow_log = FlowLog(module)
    what = module.params["flow_log_id"] or module.params["resource_id"]
    with aws_errors(module, f"Failed to manage the flow log of {what}"):
        result = ensure_absent(flow_log) if module.params["state"] == "absent" else ensure_present(flow_log)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
