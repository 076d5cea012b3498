#!/usr/bin/python
# Copyright (c) Chroma Fleet developers
# Apache License 2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)

"""Publish what a new instance makes itself from."""

from __future__ import annotations

DOCUMENTATION = r"""
module: publish_release
version_added: 0.1.0
short_description: Publish what a new instance makes itself from
description:
  - Packs collections and an inventory's variables into one archive and uploads it to S3, where the instances of an
    auto-scaling group find it when they start.
  - The archive of the same files is the same, byte by byte, so nothing is uploaded when nothing changed. What one
    upload replaces stays as an older version in a bucket that keeps them.
  - Of a collection go C(playbooks), C(plugins), C(roles) and C(meta); of the inventory C(group_vars) and C(host_vars),
    links as what they lead to.
author:
  - Chroma Fleet developers
options:
  bucket:
    description: Name of the bucket.
    type: str
    required: true
  object:
    description: Key of the archive, a tar that gzip has compressed.
    type: str
    default: release.tar.gz
  collections:
    description: Names of the collections, which must be installed on the controller.
    type: list
    elements: str
    required: true
  directories:
    description: Set by the action plugin from O(collections). Where each of them is installed.
    type: dict
  inventory:
    description: The inventory's directory.
    type: path
    required: true
  variables:
    description:
      - What the archive's C(release.json) shall say, for what the run found out and a new instance must not guess.
      - No secret may be in it.
    type: dict
    default: {}
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
  - chromafleet.aws.modes
"""

EXAMPLES = r"""
- name: Publish the release
  chromafleet.aws.publish_release:
    bucket: chromafleet-production-123456789012-eu-central-1-boot
    collections: [chromafleet.aws, amazon.aws]
    inventory: "{{ playbook_dir }}/../inventories/production"
    variables:
      node: {chromadb_image: "{{ image }}"}
"""

RETURN = r"""
digest:
  description: SHA-256 of the archive before it was compressed.
  returned: always
  type: str
files:
  description: Number of files in the archive.
  returned: always
  type: int
bytes:
  description: Size of what was uploaded, or would be.
  returned: always
  type: int
"""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_errors import aws_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

COLLECTION_PARTS = ("meta", "playbooks", "plugins", "roles")
INVENTORY_PARTS = ("group_vars", "host_vars")
#: The object's metadata that tells what is in it.
DIGEST = "digest"


def below(root: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """The files in some of a directory's directories, without what Python leaves behind."""
    for part in parts:
        # Not rglob: it does not follow links to directories.
        waiting = [root / part] if (root / part).is_dir() else []
        while waiting:
            for path in waiting.pop().iterdir():
                if path.is_dir() and path.name != "__pycache__":
                    waiting.append(path)
                elif path.is_file() and path.suffix != ".pyc":
                    yield path


def contents(directories: dict[str, str], inventory: Path, variables: dict[str, Any]) -> dict[str, bytes]:
    """The archive's files by their names in it."""
    files = {}
    for collection, directory in directories.items():
        root = Path(directory)
        for path in below(root, COLLECTION_PARTS):
            files[f"ansible_collections/{collection.replace('.', '/')}/{path.relative_to(root)}"] = path.read_bytes()
    for path in below(inventory, INVENTORY_PARTS):
        files[f"inventory/{path.relative_to(inventory)}"] = path.read_bytes()
    files["release.json"] = json.dumps(variables, sort_keys=True, indent=1).encode()
    return files


def pack(files: dict[str, bytes]) -> bytes:
    """A tar that depends on names and contents only."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(files[name]), 0o644
            tar.addfile(entry, io.BytesIO(files[name]))
    return packed.getvalue()


def published(client: Any, bucket: str, key: str) -> str:
    """The digest of what is there; empty where nothing is."""
    try:
        return client.head_object(aws_retry=True, Bucket=bucket, Key=key)["Metadata"].get(DIGEST, "")
    # A plan of an empty account: no bucket yet.
    except is_boto3_error_code(["404", "NoSuchKey", "NoSuchBucket"]):
        return ""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "bucket": {"type": "str", "required": True},
            "object": {"type": "str", "default": "release.tar.gz"},
            "collections": {"type": "list", "elements": "str", "required": True},
            "directories": {"type": "dict", "required": True},
            "inventory": {"type": "path", "required": True},
            "variables": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    asked = module.params
    inventory = Path(asked["inventory"])
    if not inventory.is_dir():
        module.fail_json(msg=f'inventory is "{inventory}", which is no directory: name the one that has group_vars.')
    files = contents(asked["directories"], inventory, asked["variables"])
    archive = pack(files)
    digest = hashlib.sha256(archive).hexdigest()
    client = module.client("s3", retry_decorator=AWSRetry.jittered_backoff())
    place = {"Bucket": asked["bucket"], "Key": asked["object"]}
    with aws_errors(module, f"s3://{asked['bucket']}/{asked['object']}"):
        before = published(client, asked["bucket"], asked["object"])
        body = gzip.compress(archive, mtime=0) if before != digest else b""
        if body and not module.check_mode:
            client.put_object(aws_retry=True, **place, Body=body, Metadata={DIGEST: digest})
    module.exit_json(
        changed=before != digest,
        digest=digest,
        files=len(files),
        bytes=len(body),
        diff={"before": {"digest": before}, "after": {"digest": digest}},
    )


if __name__ == "__main__":
    main()
