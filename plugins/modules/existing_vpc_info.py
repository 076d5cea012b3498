#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Tell a VPC's subnets, and what keeps a fleet from living there."""

from __future__ import annotations

DOCUMENTATION = r"""
module: existing_vpc_info
version_added: 0.1.0
short_description: Tell a VPC's subnets, and what keeps a fleet from living there
description:
  - Finds a VPC by its id or its tags, its public and private subnets by their ids or by the tag C(chromafleet:tier).
  - Says one sentence for each thing that the fleet would lack there. Only reads.
author:
  - Chroma Fleet developers
options:
  fleet:
    description: The fleet's name; what it has in the VPC already doesn't stand in its way.
    type: str
    required: true
  vpc_id:
    description: The VPC's id.
    type: str
  tags:
    description: Tags that only this VPC has.
    type: dict
  public_subnet_ids:
    description: The subnets of the load balancer. Without any, those with the tag C(chromafleet:tier) C(public).
    type: list
    elements: str
    default: []
  private_subnet_ids:
    description: The subnets of the nodes. Without any, those with the tag C(chromafleet:tier) C(private).
    type: list
    elements: str
    default: []
  public_addresses:
    description: How many free addresses the fleet needs in each public subnet.
    type: int
    default: 8
  private_addresses:
    description: How many free addresses the fleet needs in each private subnet.
    type: int
    default: 8
  services:
    description: Short names of the services that a node calls. Without a NAT gateway they need an interface endpoint.
    type: list
    elements: str
    default: []
  interface_endpoints:
    description: Short names of the services that the fleet makes an interface endpoint for.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - chromafleet.aws.modes.no_diff
"""

EXAMPLES = r"""
- name: Look at the platform team's VPC
  chromafleet.aws.existing_vpc_info:
    fleet: production
    tags:
      Name: shared
  register: shared

- name: Refuse it when it doesn't fit
  ansible.builtin.fail:
    msg: "{{ shared.faults | join('\n') }}"
  when: shared.faults | length > 0
"""

RETURN = r"""
vpc_id:
  description: The VPC's id; empty unless exactly one was found.
  returned: always
  type: str
  sample: vpc-0123456789abcdef0
public_subnets:
  description: The public subnets by zone, each with C(id) and C(availability_zone).
  returned: always
  type: list
  elements: dict
private_subnets:
  description: The private subnets by zone, each with C(id) and C(availability_zone).
  returned: always
  type: list
  elements: dict
faults:
  description: What is in the way, one sentence for each.
  returned: always
  type: list
  elements: str
"""

import json

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader
from ansible_collections.chromafleet.aws.plugins.module_utils.vpc_shape import (
    TIERS,
    Need,
    find_vpcs,
    match_fault,
    read_shape,
    shape_faults,
)


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "fleet": {"type": "str", "required": True},
            "vpc_id": {"type": "str"},
            "tags": {"type": "dict"},
            "public_subnet_ids": {"type": "list", "elements": "str", "default": []},
            "private_subnet_ids": {"type": "list", "elements": "str", "default": []},
            "public_addresses": {"type": "int", "default": 8},
            "private_addresses": {"type": "int", "default": 8},
            "services": {"type": "list", "elements": "str", "default": []},
            "interface_endpoints": {"type": "list", "elements": "str", "default": []},
        },
        mutually_exclusive=[["vpc_id", "tags"]],
        required_one_of=[["vpc_id", "tags"]],
        supports_check_mode=True,
    )
    params = module.params
    aws = Reader(module, params["fleet"])
    given = {tier: params[f"{tier}_subnet_ids"] for tier in TIERS}
    need = Need(
        {tier: params[f"{tier}_addresses"] for tier in TIERS}, params["services"], params["interface_endpoints"]
    )
    result = {"vpc_id": "", **{f"{tier}_subnets": [] for tier in TIERS}}
    what = params["vpc_id"] or f"with the tags {json.dumps(params['tags'])}"
    with aws_errors(module, f"Can't read the VPC {what}"):
        found = [vpc["VpcId"] for vpc in find_vpcs(aws, params["vpc_id"], params["tags"])]
        if fault := match_fault(found, what, aws.region):
            module.exit_json(changed=False, **result, faults=[fault])
        shape = read_shape(aws, found[0], given)
    result["vpc_id"] = shape.id
    for tier in TIERS:
        result[f"{tier}_subnets"] = [{"id": one.id, "availability_zone": one.zone} for one in shape.tier(tier)]
    module.exit_json(changed=False, **result, faults=shape_faults(shape, need, given))


if __name__ == "__main__":
    main()
