# SPDX-License-Identifier: Apache-2.0
"""Read calls to AWS that several threads share."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

try:
    from botocore.exceptions import ClientError
except ImportError:  # AnsibleAWSModule says so itself
    ClientError = Exception

from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

FLEET_TAG = "chromafleet:fleet"

# Throttling is answered by waiting; everything else is the caller's.
patiently = AWSRetry.jittered_backoff(retries=8, delay=1, max_delay=30)


def tag_dict(tags: Iterable[dict[str, str]] | None) -> dict[str, str]:
    """AWS's list of tags as a dictionary, whichever spelling of key and value the service has.

    Without those that AWS itself sets (`aws:...`): nobody can change them.
    """
    lowered = ({key.lower(): value for key, value in tag.items()} for tag in tags or [])
    return {tag["key"]: tag.get("value", "") for tag in lowered if not tag["key"].startswith("aws:")}


class Reader:
    """Clients and calls for one fleet. May be used from several threads."""

    def __init__(self, module: AnsibleAWSModule, fleet: str) -> None:
        """`fleet` is the value of the tag chromafleet:fleet."""
        self._module = module
        self._clients: dict[str, Any] = {}
        self._lock = threading.RLock()
        self._tagged: dict[str, dict[str, str]] | None = None
        self.fleet = fleet

    @property
    def region(self) -> str:
        """The region that is read."""
        return self._module.region

    def client(self, service: str) -> Any:
        """The service's client; botocore makes one at a time only."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._module.client(service)
            return self._clients[service]

    @property
    def filters(self) -> list[dict[str, Any]]:
        """EC2's filter for what belongs to the fleet."""
        return [{"Name": f"tag:{FLEET_TAG}", "Values": [self.fleet]}]

    def mine(self, tags: dict[str, str]) -> bool:
        """Whether the tags name this fleet."""
        return tags.get(FLEET_TAG) == self.fleet

    def call(self, service: str, operation: str, *, missing: tuple[str, ...] = (), **arguments: Any) -> Any:
        """One call's answer; None where AWS answers with one of the error codes in `missing`."""
        try:
            return patiently(getattr(self.client(service), operation))(**arguments)
        except ClientError as error:
            if error.response["Error"]["Code"] in missing:
                return None
            raise

    def pages(
        self, service: str, operation: str, key: str, *, missing: tuple[str, ...] = (), **arguments: Any
    ) -> list[Any]:
        """All pages of a call, as one list of what stands under `key`; empty on an error code in `missing`."""

        @patiently
        def every() -> list[Any]:
            client = self.client(service)
            if not client.can_paginate(operation):
                return getattr(client, operation)(**arguments)[key]
            return [item for page in client.get_paginator(operation).paginate(**arguments) for item in page[key]]

        try:
            return every()
        except ClientError as error:
            if error.response["Error"]["Code"] in missing:
                return []
            raise

    def tagged(self, prefix: str) -> list[str]:
        """ARNs of the fleet's resources by the tagging API, those whose service (and type) is `prefix`: `s3`, `ecr`."""
        return [arn for arn in self._all_tagged() if arn.split(":", 2)[2].startswith(f"{prefix}:")]

    def tags_of(self, arn: str) -> dict[str, str]:
        """The tags that the tagging API tells of one of the ARNs of `tagged`."""
        return self._all_tagged()[arn]

    def _all_tagged(self) -> dict[str, dict[str, str]]:
        with self._lock:
            if self._tagged is None:
                found = self.pages(
                    "resourcegroupstaggingapi",
                    "get_resources",
                    "ResourceTagMappingList",
                    TagFilters=[{"Key": FLEET_TAG, "Values": [self.fleet]}],
                )
                self._tagged = {row["ResourceARN"]: tag_dict(row["Tags"]) for row in found}
            return self._tagged
