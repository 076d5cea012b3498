# SPDX-License-Identifier: Apache-2.0
"""The fleet's buckets and their lifecycle rules."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
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
# Where S3 tells what s3_lifecycle calls so.
RULE_DAYS = {
    "abort_incomplete_multipart_upload_days": ("AbortIncompleteMultipartUpload", "DaysAfterInitiation"),
    "expiration_days": ("Expiration", "Days"),
    "expire_object_delete_marker": ("Expiration", "ExpiredObjectDeleteMarker"),
    "noncurrent_version_expiration_days": ("NoncurrentVersionExpiration", "NoncurrentDays"),
}


def read(aws: Reader) -> dict[str, dict[str, Any]]:
    """`buckets` by name, `lifecycle_rules` by `bucket/id`; `release_records`, which name what one of them holds."""
    names = [arn.rsplit(":", 1)[1] for arn in aws.tagged("s3")]
    with ThreadPoolExecutor(max_workers=max(1, len(names))) as pool:
        buckets = dict(zip(names, pool.map(lambda name: _bucket(aws, name), names), strict=True))
    rules = {f"{name}/{rule['rule_id']}": rule for name, bucket in buckets.items() for rule in bucket.pop("rules")}
    parameters = aws.pages(
        "ssm", "get_parameters_by_path", "Parameters", Path=f"/chromafleet/{aws.fleet}/", Recursive=True
    )
    records = {row["Name"]: {"version": row["Version"]} for row in parameters}
    return {"buckets": buckets, "lifecycle_rules": rules, "release_records": records}


def _bucket(aws: Reader, name: str) -> dict[str, Any]:
    def ask(operation: str, missing: str) -> dict[str, Any]:
        return aws.call("s3", operation, missing=(missing,), Bucket=name) or {}

    encryption = ask("get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError")
    encrypted = encryption.get("ServerSideEncryptionConfiguration", {}).get("Rules", [{}])[0]
    default = encrypted.get("ApplyServerSideEncryptionByDefault", {})
    public = ask("get_public_access_block", "NoSuchPublicAccessBlockConfiguration").get(
        "PublicAccessBlockConfiguration", {}
    )
    ownership = ask("get_bucket_ownership_controls", "OwnershipControlsNotFoundError")
    controls = ownership.get("OwnershipControls", {}).get("Rules", [{}])
    lifecycle = ask("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration")
    return {
        "versioning": ask("get_bucket_versioning", "").get("Status") == "Enabled",
        "encryption": default.get("SSEAlgorithm", ""),
        "kms_key_arn": default.get("KMSMasterKeyID", ""),
        "bucket_key": encrypted.get("BucketKeyEnabled", False),
        "public_access": {ours: public.get(theirs, False) for theirs, ours in PUBLIC_ACCESS.items()},
        "object_ownership": controls[0].get("ObjectOwnership", ""),
        "policy": json.loads(ask("get_bucket_policy", "NoSuchBucketPolicy").get("Policy", "{}")),
        "tags": tag_dict(ask("get_bucket_tagging", "NoSuchTagSet").get("TagSet")),
        "rules": [_rule(name, rule) for rule in lifecycle.get("Rules", [])],
    }


def _rule(bucket: str, rule: dict[str, Any]) -> dict[str, Any]:
    """A lifecycle rule in the words of s3_lifecycle; `more` is what the fleet's own rules don't have."""
    known = {"ID", "Status", "Filter", *(action for action, _ in RULE_DAYS.values())}
    days = {ours: rule[action][key] for ours, (action, key) in RULE_DAYS.items() if key in rule.get(action, {})}
    more = {key: value for key, value in rule.items() if key not in known}
    for action, own in rule.items():
        keys = {key for parent, key in RULE_DAYS.values() if parent == action}
        if keys and (others := {key: value for key, value in own.items() if key not in keys}):
            more[action] = others
    if rule.get("Filter", {"Prefix": ""}) not in ({"Prefix": ""}, {}):
        more["Filter"] = rule["Filter"]
    return {
        "bucket": bucket,
        "rule_id": rule.get("ID", ""),
        "status": rule["Status"].lower(),
        "days": days,
        "more": json.loads(json.dumps(more, default=str)),
    }
