# SPDX-License-Identifier: Apache-2.0
"""The fleet's buckets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import tag_dict

if TYPE_CHECKING:
    from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader

PUBLIC_ACCESS = {
    "BlockPublicAcls": "block_public_acls",
    "BlockPublicPolicy": "block_public_policy",
    "IgnorePublicAcls": "ignore_public_acls",
    "RestrictPublicBuckets": "restrict_public_buckets",
}


def read(aws: Reader) -> dict[str, dict[str, Any]]:
    """`buckets`: by name."""
    names = [arn.rsplit(":", 1)[1] for arn in aws.tagged("s3")]
    return {"buckets": {name: _bucket(aws, name) for name in names}}


def _bucket(aws: Reader, name: str) -> dict[str, Any]:
    def ask(operation: str, missing: str) -> dict[str, Any]:
        return aws.call("s3", operation, missing=(missing,), Bucket=name) or {}

    encryption = ask("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError")
    rules = encryption.get("ServerSideEncryptionConfiguration", {}).get("Rules", [{}])
    default = rules[0].get("ApplyServerSideEncryptionByDefault", {})
    public = ask("get_public_access_block", "NoSuchPublicAccessBlockConfiguration").get(
        "PublicAccessBlockConfiguration", {}
    )
    ownership = ask("get_bucket_ownership_controls", "OwnershipControlsNotFoundError")
    controls = ownership.get("OwnershipControls", {}).get("Rules", [{}])
    return {
        "versioning": ask("get_bucket_versioning", "").get("Status") == "Enabled",
        "encryption": default.get("SSEAlgorithm", ""),
        "public_access": {ours: public.get(theirs, False) for theirs, ours in PUBLIC_ACCESS.items()},
        "object_ownership": controls[0].get("ObjectOwnership", ""),
        "policy": json.loads(ask("get_bucket_policy", "NoSuchBucketPolicy").get("Policy", "{}")),
        "tags": tag_dict(ask("get_bucket_tagging", "NoSuchTagSet").get("TagSet")),
    }
