# SPDX-License-Identifier: Apache-2.0
"""The fleet's secrets: what Secrets Manager tells of them, never what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import FLEET_TAG, tag_dict

if TYPE_CHECKING:
    from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader


def read(aws: Reader) -> dict[str, dict[str, Any]]:
    """`secrets`: by name; `recoverable`: those that were deleted and can still be restored."""
    rows = aws.pages(
        "secretsmanager",
        "list_secrets",
        "SecretList",
        IncludePlannedDeletion=True,
        # These find every tag and value that begins so; which of them are the fleet's is seen below.
        Filters=[{"Key": "tag-key", "Values": [FLEET_TAG]}, {"Key": "tag-value", "Values": [aws.fleet]}],
    )
    found: dict[str, dict[str, Any]] = {"secrets": {}, "recoverable": {}}
    for row in rows:
        tags = tag_dict(row.get("Tags"))
        if aws.mine(tags):
            found["recoverable" if row.get("DeletedDate") else "secrets"][row["Name"]] = {
                "description": row.get("Description", ""),
                "kms_key_arn": row.get("KmsKeyId", ""),
                "tags": tags,
                "arn": row["ARN"],
            }
    return found
