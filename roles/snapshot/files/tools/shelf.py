"""The published snapshots of the cell: <cell>/snapshots/<id>.json each, and <cell>/latest.json, which readers look at.

latest.json is the whole record of the newest one, so that one PUT publishes it; S3 shows the old or the new one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aws
import botocore.exceptions
import choose
from faults import Fault

if TYPE_CHECKING:
    from settings import Settings


class Shelf:
    """The records in S3."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.s3 = aws.client(settings, "s3")
        self.latest_key = f"{settings.cell}/latest.json"
        self.prefix = f"{settings.cell}/snapshots/"

    def latest(self) -> dict[str, Any] | None:
        """The newest published snapshot."""
        with aws.explained(self.settings.place):
            return self._get(self.latest_key)

    def changed(self, etag: str) -> tuple[dict[str, Any] | None, str]:
        """The newest one and its tag, unless it still has this tag; without a tag there is none."""
        known = {"IfNoneMatch": etag} if etag else {}
        with aws.explained(self.settings.place):
            try:
                found = self.s3.get_object(Bucket=self.settings.bucket, Key=self.latest_key, **known)
                return json.load(found["Body"]), found["ETag"]
            except botocore.exceptions.ClientError as error:
                code = error.response["Error"]["Code"]
                if code in ("304", "NotModified"):
                    return None, etag
                if code == "NoSuchKey":
                    return None, ""
                raise

    def record(self, snapshot: str) -> dict[str, Any] | None:
        """A published snapshot by its id."""
        with aws.explained(self.settings.place):
            return self._get(f"{self.prefix}{snapshot}.json")

    def ids(self) -> list[str]:
        """The ids of all published snapshots, the oldest first."""
        with aws.explained(self.settings.place):
            pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.settings.bucket, Prefix=self.prefix)
            keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return sorted(key.removeprefix(self.prefix).removesuffix(".json") for key in keys if key.endswith(".json"))

    def choose(self, snapshot: str = "", before: str = "") -> dict[str, Any]:
        """The record of a snapshot by its id, of the newest not after a time, or of the newest."""
        wanted = choose.choose(self.ids(), self.settings.place, snapshot=snapshot, before=before)
        if record := self.record(wanted):
            return record
        raise Fault("no-snapshot", f"The snapshot {wanted} was let go just now; try again.")

    def publish(self, record: dict[str, Any]) -> None:
        """The record first, the pointer last: who reads the pointer finds the record."""
        body = json.dumps(record, indent=1).encode()
        with aws.explained(self.settings.place):
            for key in (f"{self.prefix}{record['id']}.json", self.latest_key):
                self.s3.put_object(
                    Bucket=self.settings.bucket,
                    Key=key,
                    Body=body,
                    ContentType="application/json",
                    CacheControl="no-store",
                )

    def remove(self, snapshot: str) -> None:
        """Forget a record; its versions stay until the bucket's lifecycle removes them."""
        with aws.explained(self.settings.place):
            self.s3.delete_object(Bucket=self.settings.bucket, Key=f"{self.prefix}{snapshot}.json")

    def _get(self, key: str) -> dict[str, Any] | None:
        try:
            return json.load(self.s3.get_object(Bucket=self.settings.bucket, Key=key)["Body"])
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise
