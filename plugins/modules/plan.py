#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""The documentation of the action `plan`, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: plan
version_added: 0.1.0
short_description: Compare what is wanted with what exists
description:
  - Compares resources of one kind by name and property, and returns those that a module must be called for.
  - In a run it changes nothing and reports no change, because the modules that follow do. In a check run it reports the
    change itself and returns an empty RV(apply), so that no module is called that can't tell what it would do.
  - The callback P(chromafleet.aws.fleet_plan#callback) prints the plans of a run as one table.
author:
  - Chroma Fleet developers
options:
  kind:
    description: What the resources are, in the singular, such as C(target group).
    type: str
    required: true
  wanted:
    description:
      - What shall exist; each element has a C(name) and the properties that are compared.
      - Lists are compared without their order, texts and numbers by how they look.
    type: list
    elements: dict
    required: true
  found:
    description:
      - "What exists, as C({name: properties}). May hold more properties than are wanted, which are not compared."
    type: dict
    required: true
  purge:
    description: Whether what exists and is not wanted shall be destroyed.
    type: bool
    default: false
  ignore:
    description: Names of properties in O(wanted) that are not compared; they only tell how to make the resource.
    type: list
    elements: str
    default: []
  secret:
    description: Names of properties whose values are never shown.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - chromafleet.aws.modes
"""

EXAMPLES = r"""
- name: Compare the log groups
  chromafleet.aws.plan:
    kind: log group
    wanted:
      - name: /chromafleet/production/main/nginx
        retention: 30
    found: "{{ aws_observability_found.log_groups }}"
  register: log_groups

- name: Make the log groups
  amazon.aws.cloudwatchlogs_log_group:
    log_group_name: "{{ item.name }}"
    retention: "{{ item.retention }}"
  loop: "{{ log_groups.apply }}"
  loop_control:
    label: "{{ item.name }}"
"""

RETURN = r"""
apply:
  description: The elements of O(wanted) that are to be created or changed now; empty in a check run.
  returned: always
  type: list
  elements: dict
remove:
  description:
    - What is to be destroyed now, each with its C(name) and what was found.
    - Empty in a check run and without O(purge).
  returned: always
  type: list
  elements: dict
check:
  description: Whether this is a check run.
  returned: always
  type: bool
plan:
  description: The whole comparison, for the table.
  returned: always
  type: dict
  contains:
    kind:
      description: O(kind).
      type: str
    create:
      description: The names that don't exist yet.
      type: list
      elements: str
    change:
      description: Name to the properties that differ, each with C(before) and C(after).
      type: dict
    destroy:
      description: The names that exist and are not wanted, with O(purge).
      type: list
      elements: str
    unchanged:
      description: The names that are as wanted.
      type: list
      elements: str
"""
