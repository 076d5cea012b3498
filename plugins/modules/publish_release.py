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
    upload replaces stays as an older version in a bucket that keeps them, and can be made the present one again.
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
  version:
    description:
      - The S3 version of an earlier release, which becomes the present one again; nothing is packed then.
      - One of O(version) and O(collections) is required.
    type: str
  collections:
    description: Names of the collections, which must be installed on the controller.
    type: list
    elements: str
  directories:
    description: Set by the action plugin from O(collections). Where each of them is installed.
    type: dict
  inventory:
    description: The inventory's directory. Required with O(collections).
    type: path
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

- name: Go back to an earlier one
  chromafleet.aws.publish_release:
    bucket: chromafleet-production-123456789012-eu-central-1-boot
    version: 3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY
"""

RETURN = r"""
digest:
  description: SHA-256 of the archive before it was compressed.
  returned: always
  type: str
files:
  description: Number of files that were packed; 0 with O(version).
  returned: always
  type: int
version:
  description: The S3 version of the present release; empty where a check run would upload another one.
  returned: always
  type: str
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


class Release:
    """The object with the present release."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        self.client = module.client("s3", retry_decorator=AWSRetry.jittered_backoff())
        self.place = {"Bucket": module.params["bucket"], "Key": module.params["object"]}
        self.name = f"s3://{self.place['Bucket']}/{self.place['Key']}"

    def look(self, version: str = "") -> dict[str, str]:
        """Digest and version of what is there; empty where nothing is."""
        which = {"VersionId": version} if version else {}
        try:
            found = self.client.head_object(aws_retry=True, **self.place, **which)
        # A plan of an empty account: no bucket yet. Of a version that is gone S3 says different things.
        except is_boto3_error_code(["404", "400", "NoSuchKey", "NoSuchBucket", "NoSuchVersion"]):
            return {"digest": "", "version": ""}
        return {"digest": found["Metadata"].get(DIGEST, ""), "version": found.get("VersionId", "")}

    def upload(self, archive: bytes, digest: str) -> str:
        """A new version."""
        body = gzip.compress(archive, mtime=0)
        put = self.client.put_object(aws_retry=True, **self.place, Body=body, Metadata={DIGEST: digest})
        return put.get("VersionId", "")

    def copy(self, version: str) -> str:
        """An earlier version as a new one."""
        source = {**self.place, "VersionId": version}
        return self.client.copy_object(aws_retry=True, **self.place, CopySource=source).get("VersionId", "")


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "bucket": {"type": "str", "required": True},
            "object": {"type": "str", "default": "release.tar.gz"},
            "version": {"type": "str"},
            "collections": {"type": "list", "elements": "str"},
            "directories": {"type": "dict", "default": {}},
            "inventory": {"type": "path"},
            "variables": {"type": "dict", "default": {}},
        },
        required_one_of=[["version", "collections"]],
        mutually_exclusive=[["version", "collections"]],
        required_by={"collections": "inventory"},
        supports_check_mode=True,
    )
    asked = module.params
    release = Release(module)
    files: dict[str, bytes] = {}
    if asked["collections"]:
        inventory = Path(asked["inventory"])
        if not inventory.is_dir():
            module.fail_json(
                msg=f'inventory is "{inventory}", which is no directory: name the one that has group_vars.'
            )
        files = contents(asked["directories"], inventory, asked["variables"])
    archive = pack(files)
    with aws_errors(module, release.name):
        before = release.look()
        digest = hashlib.sha256(archive).hexdigest() if files else release.look(asked["version"])["digest"]
        if not digest:
            module.fail_json(
                msg=f"{release.name} has no version {asked['version']}: name one that was a release in the last 30 "
                "days, for which older versions are kept."
            )
        changed = before["digest"] != digest
        version = "" if changed else before["version"]
        if changed and not module.check_mode:
            version = release.upload(archive, digest) if files else release.copy(asked["version"])
    module.exit_json(
        changed=changed,
        digest=digest,
        files=len(files),
        version=version,
        diff={"before": {"digest": before["digest"]}, "after": {"digest": digest}},
    )


if __name__ == "__main__":
    main()
