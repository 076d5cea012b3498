#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Tell which releases a cell has had."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
version_added: 0.1.0
short_description: Tell which releases a cell has had
description:
  - Reads the history of the parameter C(/chromafleet/<fleet>/<cell>/release) in Systems Manager, which keeps the last
    hundred.
author:
  - Chroma Fleet developers
options:
  fleet:
    description: Name of the fleet.
    type: str
    required: true
  cell:
    description: Name of the cell.
    type: str
    required: true
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - chromafleet.aws.modes.no_diff
"""

EXAMPLES = r"""
- name: Look which releases there were
  chromafleet.aws.release_info:
    fleet: production
    cell: main
  register: known
"""

RETURN = r"""
releases:
  description: What the cell has run, the present one first.
  returned: always
  type: list
  elements: dict
  contains:
    number:
      description: Counts the releases of the cell.
      type: int
    time:
      description: When it was released, in UTC.
      type: str
      sample: "2026-03-01T10:00:00Z"
    by:
      description: ARN of who released it.
      type: str
    version:
      description: Version of the archive in S3.
      type: str
    digest:
      description: SHA-256 of what is in the archive.
      type: str
    images:
      description: Images by their digests.
      type: dict
"""

import json
from datetime import UTC
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors


@AWSRetry.jittered_backoff()
def history(client: Any, name: str) -> list[dict[str, Any]]:
    """All versions of a parameter; none where there is no such parameter."""
    pages = client.get_paginator("get_parameter_history").paginate(Name=name)
    try:
        return pages.build_full_result()["Parameters"]
    except is_boto3_error_code("ParameterNotFound"):
        return []


def release(row: dict[str, Any]) -> dict[str, Any]:
    """One of them."""
    return {
        "number": row["Version"],
        "time": row["LastModifiedDate"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "by": row.get("LastModifiedUser", ""),
        **json.loads(row["Value"]),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={"fleet": {"type": "str", "required": True}, "cell": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    name = f"/chromafleet/{module.params['fleet']}/{module.params['cell']}/release"
    with aws_errors(module, f"The parameter {name} can't be read"):
        rows = history(module.client("ssm"), name)
    module.exit_json(changed=False, releases=[release(row) for row in sorted(rows, key=lambda row: -row["Version"])])


if __name__ == "__main__":
    main()
