#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Manage VPC endpoints, also those that exist."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vpc_endpoint
version_added: 0.1.0
short_description: Manage VPC endpoints, also those that exist
description:
  - Creates, changes and deletes gateway and interface endpoints of AWS services.
  - M(amazon.aws.ec2_vpc_endpoint) changes nothing but the tags of an endpoint that exists, so that its subnets, route
    tables and security groups would stay as they are when they are wanted otherwise.
  - Doesn't wait until a change is done, so that several endpoints can be made at a time; wait with
    M(amazon.aws.ec2_vpc_endpoint_info).
author:
  - Chroma Fleet developers
options:
  state:
    description: Whether the endpoint shall exist.
    type: str
    choices: [present, absent]
    default: present
  vpc_endpoint_id:
    description: The endpoint's id. Without it, the endpoint of O(service) in O(vpc_id) is meant.
    type: str
  vpc_id:
    description: The VPC. Required without O(vpc_endpoint_id).
    type: str
  service:
    description:
      - The full name of the service, such as C(com.amazonaws.eu-central-1.s3).
      - Required without O(vpc_endpoint_id).
    type: str
  type:
    description: The kind of endpoint. AWS has both kinds for some services.
    type: str
    choices: [Gateway, Interface]
    default: Interface
  route_table_ids:
    description: Exactly the route tables of a gateway endpoint.
    type: list
    elements: str
  subnet_ids:
    description: Exactly the subnets of an interface endpoint.
    type: list
    elements: str
  security_group_ids:
    description: Exactly the security groups of an interface endpoint.
    type: list
    elements: str
  private_dns:
    description: Whether the service's own name leads to an interface endpoint inside of the VPC.
    type: bool
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.tags
  - amazon.aws.boto3
  - chromafleet.aws.modes
"""

EXAMPLES = r"""
- name: Reach S3 without a NAT gateway
  chromafleet.aws.vpc_endpoint:
    vpc_id: vpc-0123456789abcdef0
    service: com.amazonaws.eu-central-1.s3
    type: Gateway
    route_table_ids: [rtb-0123456789abcdef0]

- name: Reach Secrets Manager without a NAT gateway
  chromafleet.aws.vpc_endpoint:
    vpc_id: vpc-0123456789abcdef0
    service: com.amazonaws.eu-central-1.secretsmanager
    subnet_ids: [subnet-0123456789abcdef0, subnet-0fedcba9876543210]
    security_group_ids: [sg-0123456789abcdef0]
    private_dns: true

- name: Delete an endpoint
  chromafleet.aws.vpc_endpoint:
    vpc_endpoint_id: vpce-0123456789abcdef0
    state: absent
"""

RETURN = r"""
vpc_endpoint:
  description: The endpoint; empty when there is none.
  returned: always
  type: dict
  contains:
    vpc_endpoint_id:
      description: Its id.
      type: str
      sample: vpce-0123456789abcdef0
    service_name:
      description: The full name of its service.
      type: str
      sample: com.amazonaws.eu-central-1.s3
    state:
      description: Its state, C(pending) while AWS makes it.
      type: str
      sample: available
    tags:
      description: Its tags.
      type: dict
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
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

GONE = ("deleting", "deleted", "failed", "rejected", "expired")
# Option -> the name in CreateVpcEndpoint; ModifyVpcEndpoint has an Add and a Remove before it.
SETS = {"route_table_ids": "RouteTableIds", "subnet_ids": "SubnetIds", "security_group_ids": "SecurityGroupIds"}


class Endpoint:
    """One endpoint, as it is and as it shall be."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        self.module = module
        self.params = module.params
        self.client = module.client("ec2", retry_decorator=AWSRetry.jittered_backoff(retries=10))

    def get(self, endpoint_id: str | None) -> dict[str, Any] | None:
        """The endpoint as EC2 describes it; none that is going away."""
        if endpoint_id:
            arguments: dict[str, Any] = {"VpcEndpointIds": [endpoint_id]}
        else:
            filters = {
                "vpc-id": self.params["vpc_id"],
                "service-name": self.params["service"],
                "vpc-endpoint-type": self.params["type"],
            }
            arguments = {"Filters": [{"Name": name, "Values": [value]} for name, value in filters.items()]}
        try:
            found = self.client.describe_vpc_endpoints(aws_retry=True, **arguments)["VpcEndpoints"]
        except is_boto3_error_code("InvalidVpcEndpointId.NotFound"):
            return None
        return next((one for one in found if one["State"].lower() not in GONE), None)

    @staticmethod
    def properties(endpoint: dict[str, Any]) -> dict[str, Any]:
        """What the endpoint has, in terms of this module's options."""
        return {
            "route_table_ids": sorted(endpoint.get("RouteTableIds") or []),
            "subnet_ids": sorted(endpoint.get("SubnetIds") or []),
            "security_group_ids": sorted(group["GroupId"] for group in endpoint.get("Groups") or []),
            "private_dns": bool(endpoint.get("PrivateDnsEnabled")),
            "tags": boto3_tag_list_to_ansible_dict(endpoint.get("Tags") or []),
        }

    def wanted(self, found: dict[str, Any]) -> dict[str, Any]:
        """What was asked for, and what is there where nothing was."""
        wanted = dict(found)
        for name in (*SETS, "private_dns"):
            if self.params[name] is not None:
                wanted[name] = sorted(self.params[name]) if name in SETS else self.params[name]
        wanted["tags"] = wanted_tags(found["tags"], self.params)
        return wanted

    def create(self) -> dict[str, Any]:
        """Create the endpoint."""
        arguments = {argument: self.params[name] for name, argument in SETS.items() if self.params[name]}
        if self.params["private_dns"] is not None:
            arguments["PrivateDnsEnabled"] = self.params["private_dns"]
        if self.params["tags"]:
            arguments["TagSpecifications"] = boto3_tag_specifications(self.params["tags"], ["vpc-endpoint"])
        made = self.client.create_vpc_endpoint(
            aws_retry=True,
            VpcId=self.params["vpc_id"],
            ServiceName=self.params["service"],
            VpcEndpointType=self.params["type"],
            **arguments,
        )
        return made["VpcEndpoint"]

    def change(self, endpoint_id: str, found: dict[str, Any], wanted: dict[str, Any]) -> None:
        """Add what is missing and remove what is too much."""
        arguments: dict[str, Any] = {}
        for name, argument in SETS.items():
            if more := sorted(set(wanted[name]) - set(found[name])):
                arguments[f"Add{argument}"] = more
            if less := sorted(set(found[name]) - set(wanted[name])):
                arguments[f"Remove{argument}"] = less
        if wanted["private_dns"] != found["private_dns"]:
            arguments["PrivateDnsEnabled"] = wanted["private_dns"]
        if arguments:
            self.client.modify_vpc_endpoint(aws_retry=True, VpcEndpointId=endpoint_id, **arguments)
        ensure_ec2_tags(
            self.client, self.module, endpoint_id, tags=self.params["tags"], purge_tags=self.params["purge_tags"]
        )

    def delete(self, endpoint_id: str) -> None:
        """Delete the endpoint; EC2 tells a failure in its answer."""
        for fault in self.client.delete_vpc_endpoints(aws_retry=True, VpcEndpointIds=[endpoint_id])["Unsuccessful"]:
            self.module.fail_json(
                msg=f"The VPC endpoint {endpoint_id} can't be deleted: {fault['Error'].get('Message')}"
            )


def ensure_present(endpoint: Endpoint) -> dict[str, Any]:
    """Create the endpoint or bring it to what is wanted."""
    module = endpoint.module
    current = endpoint.get(module.params["vpc_endpoint_id"])
    found = endpoint.properties(current) if current else {}
    wanted = endpoint.wanted(endpoint.properties(current or {}))
    result = differences(found, wanted)
    if result["changed"] and not module.check_mode:
        if current:
            endpoint.change(current["VpcEndpointId"], found, wanted)
        else:
            current = endpoint.create()
        current = endpoint.get(current["VpcEndpointId"]) or current
    return {**result, "vpc_endpoint": described(current)}


def ensure_absent(endpoint: Endpoint) -> dict[str, Any]:
    """Delete the endpoint if it is there."""
    current = endpoint.get(endpoint.params["vpc_endpoint_id"])
    before = endpoint.properties(current) if current else {}
    return {**remove(endpoint.module, before, lambda: endpoint.delete(current["VpcEndpointId"])), "vpc_endpoint": {}}


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "vpc_endpoint_id": {"type": "str"},
            "vpc_id": {"type": "str"},
            "service": {"type": "str"},
            "type": {"type": "str", "choices": ["Gateway", "Interface"], "default": "Interface"},
            "route_table_ids": {"type": "list", "elements": "str"},
            "subnet_ids": {"type": "list", "elements": "str"},
            "security_group_ids": {"type": "list", "elements": "str"},
            "private_dns": {"type": "bool"},
            "tags": {"type": "dict", "aliases": ["resource_tags"]},
            "purge_tags": {"type": "bool", "default": True},
        },
        required_if=[["state", "present", ["vpc_id", "service"]]],
        required_one_of=[["vpc_endpoint_id", "service"]],
        required_together=[["vpc_id", "service"]],
        supports_check_mode=True,
    )
    endpoint = Endpoint(module)
    what = module.params["vpc_endpoint_id"] or module.params["service"]
    with aws_errors(module, f"Failed to manage the VPC endpoint {what}"):
        result = ensure_absent(endpoint) if module.params["state"] == "absent" else ensure_present(endpoint)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
