#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Count what S3 buckets hold."""

from __future__ import annotations

DOCUMENTATION = r"""
module: s3_versions_info
version_added: 0.1.0
short_description: Count what S3 buckets hold
description:
  - Counts the objects, older versions and delete markers in buckets, all of which keep a bucket from being deleted.
  - No other module tells versions and delete markers.
author:
  - Chroma Fleet developers
options:
  names:
    description: Names of the buckets. One that doesn't exist holds nothing.
    type: list
    elements: str
    required: true
  limit:
    description: Stop counting a bucket at so many entries; S3 tells a thousand with each call.
    type: int
    default: 10000
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - chromafleet.aws.modes.no_diff
"""

EXAMPLES = r"""
- name: Count what is in the bucket
  chromafleet.aws.s3_versions_info:
    names: [chromafleet-production-123456789012-eu-central-1]
  register: held

- name: Say it
  ansible.builtin.debug:
    msg: "{{ held.buckets.0.says | default('nothing', true) }}"
"""

RETURN = r"""
buckets:
  description: The buckets, in the order of O(names).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the bucket.
      type: str
    objects:
      description: Number of objects that a listing shows.
      type: int
    versions:
      description: Number of older versions.
      type: int
    delete_markers:
      description: Number of delete markers.
      type: int
    complete:
      description: Whether all was counted, O(limit) not being reached.
      type: bool
    says:
      description: All of that in words; empty for an empty bucket.
      type: str
      sample: chromafleet-production holds 3 objects, 12 older versions and 1 delete marker
"""

from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors


def count(client: Any, name: str, limit: int) -> dict[str, Any]:
    """What one bucket holds."""
    held: dict[str, Any] = {"name": name, "objects": 0, "versions": 0, "delete_markers": 0, "complete": True}
    request = {"Bucket": name}
    while True:
        try:
            page = client.list_object_versions(aws_retry=True, **request)
        except is_boto3_error_code("NoSuchBucket"):
            break
        latest = sum(version["IsLatest"] for version in page.get("Versions", []))
        held["objects"] += latest
        held["versions"] += len(page.get("Versions", [])) - latest
        held["delete_markers"] += len(page.get("DeleteMarkers", []))
        if not page.get("IsTruncated"):
            break
        if held["objects"] + held["versions"] + held["delete_markers"] >= limit:
            held["complete"] = False
            break
        request |= {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
    return {**held, "says": said(held)}


def said(held: dict[str, Any]) -> str:
    """The counts in words."""
    words = {"objects": "object", "versions": "older version", "delete_markers": "delete marker"}
    parts = [f"{held[key]} {word}{'' if held[key] == 1 else 's'}" for key, word in words.items() if held[key]]
    if not parts:
        return ""
    listed = " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
    return f"{held['name']} holds {'' if held['complete'] else 'at least '}{listed}"


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "limit": {"type": "int", "default": 10000},
        },
        supports_check_mode=True,
    )
    client = module.client("s3", retry_decorator=AWSRetry.jittered_backoff())
    buckets = []
    for name in module.params["names"]:
        with aws_errors(module, f"Can't tell what the bucket {name} holds"):
            buckets.append(count(client, name, module.params["limit"]))
    module.exit_json(changed=False, buckets=buckets)


if __name__ == "__main__":
    main()
