# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: validate_variables
short_description: Find misspelt variables of this collection's roles
description:
  - Compares the variables that a user has set with those that the roles' C(meta/argument_specs.yml) declare. Ansible's
    own validation ignores what a role doesn't declare, so a misspelt name is silently the default.
  - A variable belongs to a role when its name starts with the role's name and an underscore.
  - Looks where users set variables, in group_vars and host_vars beside the inventory and the playbook (also of groups
    that have no host yet), in the inventory itself and in extra variables. Facts, registered results and roles' own
    variables are no user's input and are never looked at, so the task may stand in any play.
  - Also finds values that still hold the marker C(CHANGE-ME) of the example inventory.
  - Runs on the controller and opens no connection.
version_added: 0.1.0
author:
  - Chroma Fleet developers (@chromafleet)
options:
  allow:
    description: Names of the user's own that happen to start like a role's.
    type: list
    elements: str
    default: []
  report:
    description: Return the faults instead of failing, to report them together with others.
    type: bool
    default: false
attributes:
  check_mode:
    description: Changes nothing, ever.
    support: full
notes:
  - A fact that a role sets itself (C(ansible.builtin.set_fact) in its tasks) counts as declared; extra
    variables may set it.
"""

EXAMPLES = r"""
- name: Find misspelt variables
  chromafleet.aws.validate_variables:

- name: Find misspelt variables, except one of our own
  chromafleet.aws.validate_variables:
    allow: [nginx_company_page]
    report: true
  register: variables
"""

RETURN = r"""
faults:
  description: One sentence for each fault.
  returned: always
  type: list
  elements: str
  sample:
    - >-
      chromadb_memroy (inventories/production/group_vars/all/10_production.yml) is not a variable of the role chromadb:
      rename it to chromadb_memory, or remove it.
"""
