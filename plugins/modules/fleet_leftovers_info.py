#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Tell what AWS still lists of a fleet."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_leftovers_info
version_added: 0.1.0
short_description: Tell what AWS still lists of a fleet
description:
  - Asks the tagging API and every service that a fleet uses for what carries the tag C(chromafleet:fleet) with the
    fleet's name, or has a name that only a resource of this fleet has.
  - Tells what is left apart from what is kept on purpose, namely snapshots, secrets in their recovery window and keys
    whose deletion is scheduled.
  - What AWS goes on listing although it is gone, such as a terminated instance, is not left.
  - Is independent of M(chromafleet.aws.fleet_info), so that it also finds what that one doesn't look for. Only reads.
author:
  - Chroma Fleet developers
options:
  fleet:
    description: The fleet's name, the value of the tag C(chromafleet:fleet).
    type: str
    required: true
  endpoints:
    description: The host names of the endpoints, whose DNS records can carry no tag.
    type: list
    elements: str
    default: []
  keep:
    description: Why each kind is kept that is kept on purpose, such as C(ec2:volume), as RV(left[].kind) names them.
    type: dict
    default: {}
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - chromafleet.aws.modes.no_diff
"""

EXAMPLES = r"""
- name: See that nothing is left
  chromafleet.aws.fleet_leftovers_info:
    fleet: staging
    endpoints: [chroma.example.com, read.chroma.example.com]
  register: leftovers
  failed_when: leftovers.left | length > 0
"""

RETURN = r"""
left:
  description: What exists.
  returned: always
  type: list
  elements: dict
  contains: &resource
    kind:
      description: Service and type, as ARNs name them.
      type: str
      sample: ec2:instance
    name:
      description: The name, or the id of what has none.
      type: str
      sample: i-0123456789abcdef0
    arn:
      description: The ARN; of a DNS record that of its zone.
      type: str
      sample: arn:aws:ec2:eu-central-1:123456789012:instance/i-0123456789abcdef0
kept:
  description: What exists and is kept on purpose.
  returned: always
  type: list
  elements: dict
  contains:
    <<: *resource
    why:
      description: Why it is kept.
      type: str
      sample: In its recovery window, deletion date 2025-06-01
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader
from ansible_collections.chromafleet.aws.plugins.module_utils.fleet_leftovers import leftovers


def main() -> None:
    """Ask and tell."""
    module = AnsibleAWSModule(
        argument_spec={
            "fleet": {"type": "str", "required": True},
            "endpoints": {"type": "list", "elements": "str", "default": []},
            "keep": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    fleet = module.params["fleet"]
    with aws_errors(module, f"Can't look for what is left of the fleet {fleet}"):
        found = leftovers(Reader(module, fleet), module.params["endpoints"], module.params["keep"])
    listed = [resource for resource in found if not resource.gone]
    left = [{"kind": one.kind, "name": one.name, "arn": one.arn} for one in listed if not one.kept]
    kept = [{"kind": one.kind, "name": one.name, "arn": one.arn, "why": one.kept} for one in listed if one.kept]
    module.exit_json(changed=False, left=left, kept=kept)


if __name__ == "__main__":
    main()
