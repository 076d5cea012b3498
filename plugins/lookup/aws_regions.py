# SPDX-License-Identifier: Apache-2.0
"""The lookup `aws_regions`."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

try:
    from ansible_collections.chromafleet.aws.plugins.module_utils.aws_regions import known_regions
except ImportError:
    known_regions = None

DOCUMENTATION = r"""
name: aws_regions
short_description: The regions of a service that the installed botocore knows
description:
  - Returns the names of the regions, of every partition (China, GovCloud and the isolated ones too), in which a
    service is available.
  - Calls no API; a region younger than the installed botocore is not known.
author:
  - Chroma Fleet developers (@chromafleet)
requirements:
  - botocore
options:
  _terms:
    description: The services, as botocore names them.
    type: list
    elements: str
    default: [ec2]
"""

EXAMPLES = r"""
- name: Refuse a region that does not exist
  ansible.builtin.assert:
    that: fleet_region in query('chromafleet.aws.aws_regions')
"""

RETURN = r"""
_list:
  description: The regions' names, sorted.
  type: list
  elements: str
"""


class LookupModule(LookupBase):
    """Reads botocore's own endpoint data."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """The regions of the services."""
        if known_regions is None:
            raise AnsibleLookupError(
                "botocore is not installed for the Python that runs Ansible: run `pip install -r requirements.txt`."
            )
        self.set_options(var_options=variables, direct=kwargs)
        return sorted({region for service in terms or ["ec2"] for region in known_regions(service)})
