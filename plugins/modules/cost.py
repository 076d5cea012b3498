#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""The documentation of the action `cost`, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cost
version_added: 0.1.0
short_description: Estimate what a fleet costs in a month
description:
  - Multiplies what the inventory's variables ask for with the prices of a region, for the fewest and for the most
    readers. A variable that the inventory doesn't set counts with its role's default.
  - Makes the estimate anew with each switch set otherwise, to tell what it would save.
  - Calls no API and needs no credentials.
author:
  - Chroma Fleet developers
options:
  region:
    description: The AWS region.
    type: str
    required: true
  prices:
    description: The folder that holds the prices, a file C(<region>.yml) for each region.
    type: path
    required: true
extends_documentation_fragment:
  - chromafleet.aws.modes.no_diff
"""

EXAMPLES = r"""
- name: Estimate the month
  chromafleet.aws.cost:
    region: eu-central-1
    prices: "{{ playbook_dir }}/prices"
  register: cost

- name: Show it
  ansible.builtin.debug:
    msg: "{{ cost.rows | chromafleet.aws.table(cost.header) }}"
"""

RETURN = r"""
header:
  description: The names of the columns of RV(rows).
  returned: always
  type: list
  elements: str
rows:
  description: A row for each resource, and the total.
  returned: always
  type: list
  elements: list
  sample: [["NAT gateways", "1", "hour", "0.0520", "37.96", "37.96"]]
switch_header:
  description: The names of the columns of RV(switch_rows).
  returned: always
  type: list
  elements: str
switch_rows:
  description: A row for each switch that could be set otherwise, with what that would save.
  returned: always
  type: list
  elements: list
  sample: [["No query cache", "aws_cache_enabled: false", "21.02", "21.02"]]
fewest:
  description: Dollars a month with the fewest readers.
  returned: always
  type: float
  sample: 210.55
most:
  description: Dollars a month with the most readers.
  returned: always
  type: float
  sample: 402.10
as_of:
  description: The date of the prices.
  returned: always
  type: str
  sample: "2025-06"
"""
