# SPDX-License-Identifier: Apache-2.0
"""The fleet's repositories."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import tag_dict

if TYPE_CHECKING:
    from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader


def read(aws: Reader) -> dict[str, dict[str, Any]]:
    """`repositories`: by name."""
    # The name tells the fleet too: a repository that lost its tag is a difference, not a repository more.
    prefix, tagged = f"chromafleet/{aws.fleet}/", aws.tagged("ecr")
    found = aws.pages("ecr", "describe_repositories", "repositories", PaginationConfig={"PageSize": 1000})
    mine = [one for one in found if one["repositoryName"].startswith(prefix) or one["repositoryArn"] in tagged]
    return {"repositories": {one["repositoryName"]: _repository(aws, one) for one in mine}}


def _repository(aws: Reader, repository: dict[str, Any]) -> dict[str, Any]:
    gone = "RepositoryNotFoundException"
    name, arn = repository["repositoryName"], repository["repositoryArn"]
    policy = aws.call(
        "ecr", "get_lifecycle_policy", missing=("LifecyclePolicyNotFoundException", gone), repositoryName=name
    )
    tags = aws.call("ecr", "list_tags_for_resource", missing=(gone,), resourceArn=arn)
    return {
        "arn": arn,
        "scan_on_push": repository.get("imageScanningConfiguration", {}).get("scanOnPush", False),
        "image_tag_mutability": repository["imageTagMutability"].lower(),
        "kms_key_arn": repository.get("encryptionConfiguration", {}).get("kmsKey", ""),
        "lifecycle_policy": json.loads((policy or {}).get("lifecyclePolicyText", "{}")),
        "tags": tag_dict((tags or {}).get("tags")),
    }
