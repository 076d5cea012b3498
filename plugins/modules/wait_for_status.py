#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""The documentation of the action `wait_for_status`, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: wait_for_status
version_added: 0.1.0
short_description: Wait until AWS has made a resource, and tell how far it is
description:
  - Runs a module that only reads again and again, until a resource has one of the statuses that are waited for.
  - Prints a line with the status and the elapsed time when the status changes, and every 30 seconds, so that a wait of
    many minutes can be told from one that hangs.
  - Is skipped in a check run, which makes nothing to wait for, unless the task has C(check_mode=false).
author:
  - Chroma Fleet developers
options:
  what:
    description: What is waited for, in the words of the lines and the errors.
    type: str
    required: true
  module:
    description: The module that looks, such as M(chromafleet.aws.fleet_info). Its C(module_defaults) hold here too.
    type: str
    required: true
  arguments:
    description: The module's arguments.
    type: dict
    default: {}
  status:
    description:
      - Where the status stands in the module's result, as the keys that lead there; of a list, the element's number.
      - Where a key leads nowhere, the status is V(absent).
    type: list
    elements: str
    required: true
  until:
    description: The statuses that are waited for.
    type: list
    elements: str
    required: true
  failed:
    description: The statuses with which there is nothing more to wait for.
    type: list
    elements: str
    default: []
  progress:
    description: Where it stands in the same result how much is done, in percent; told with the status.
    type: list
    elements: str
    default: []
  reason:
    description: Where it stands in the same result why the resource has the status; told in the error.
    type: list
    elements: str
    default: []
  timeout:
    description: How long to wait (seconds).
    type: int
    default: 1800
  delay:
    description: How long to wait between two looks (seconds).
    type: int
    default: 15
  advice:
    description: What to do when the time is over, told in the error.
    type: str
    default: start the same command again to go on waiting
extends_documentation_fragment:
  - chromafleet.aws.modes.no_diff
"""

EXAMPLES = r"""
- name: Wait until the cache is available
  chromafleet.aws.wait_for_status:
    what: replication group production-main
    module: chromafleet.aws.fleet_info
    arguments:
      fleet: production
      layers: [cache]
    status: [cache, replication_groups, production-main, status]
    until: [available]
    failed: [create-failed]
  register: waited

- name: Wait until the NAT gateway is gone
  chromafleet.aws.wait_for_status:
    what: NAT gateway nat-0123456789abcdef0
    module: amazon.aws.ec2_vpc_nat_gateway_info
    arguments:
      nat_gateway_ids: [nat-0123456789abcdef0]
    status: [result, "0", state]
    until: [deleted, absent]
"""

RETURN = r"""
status:
  description: The last status.
  returned: always
  type: str
  sample: available
elapsed:
  description: How long it took (seconds).
  returned: always
  type: int
found:
  description: The last result of the module.
  returned: always
  type: dict
"""
