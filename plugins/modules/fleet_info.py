#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Tell what exists of a fleet."""

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_info
version_added: 0.1.0
short_description: Tell what exists of a fleet
description:
  - Reads everything in AWS that carries the tag C(chromafleet:fleet) with the fleet's name, all services at a time, in
    one process.
  - The answer has the shape in which the roles say what they want, so that M(chromafleet.aws.plan) can compare the two.
  - Only reads, and tells no secret's value.
author:
  - Chroma Fleet developers
options:
  fleet:
    description: The fleet's name, the value of the tag C(chromafleet:fleet).
    type: str
    required: true
  layers:
    description: What to read. Without it, everything.
    type: list
    elements: str
    choices: [cache, fleet, identity, load_balancer, network, observability, registry, secrets, storage]
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - chromafleet.aws.modes.no_diff
"""

EXAMPLES = r"""
- name: Look at what exists
  chromafleet.aws.fleet_info:
    fleet: production
  register: found

- name: Say which buckets there are
  ansible.builtin.debug:
    msg: "{{ found.storage.buckets.keys() }}"
"""

RETURN = r"""
storage:
  description: "A layer, as C({kind: {name: properties}}). Each layer that was asked for has its key."
  returned: when asked for
  type: dict
  sample: {"buckets": {"chromafleet-production-123456789012-eu-central-1": {"versioning": true}}}
"""

from concurrent.futures import ThreadPoolExecutor

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader
from ansible_collections.chromafleet.aws.plugins.module_utils.fleet_state import (
    cache,
    fleet,
    identity,
    load_balancer,
    network,
    observability,
    registry,
    secrets,
    storage,
)

LAYERS = {
    "cache": cache.read,
    "fleet": fleet.read,
    "identity": identity.read,
    "load_balancer": load_balancer.read,
    "network": network.read,
    "observability": observability.read,
    "registry": registry.read,
    "secrets": secrets.read,
    "storage": storage.read,
}


def main() -> None:
    """Read the layers side by side: nearly all of the time is waiting for answers."""
    module = AnsibleAWSModule(
        argument_spec={
            "fleet": {"type": "str", "required": True},
            "layers": {"type": "list", "elements": "str", "choices": list(LAYERS)},
        },
        supports_check_mode=True,
    )
    reader = Reader(module, module.params["fleet"])
    layers = module.params["layers"] or list(LAYERS)
    with ThreadPoolExecutor(max_workers=len(layers)) as pool:
        reading = {layer: pool.submit(LAYERS[layer], reader) for layer in layers}
    found = {}
    for layer, answer in reading.items():
        with aws_errors(module, f"Can't read the layer {layer} of the fleet {reader.fleet}"):
            found[layer] = answer.result()
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
