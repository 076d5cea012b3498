"""KMS."""

from __future__ import annotations

from typing import Any

from moto.kms import models

from localcloud.patches import Client, restores


@restores("The deletion of a key can be scheduled by the key's ARN")
def delete_by_arn() -> None:
    stock = models.KmsBackend.schedule_key_deletion

    def schedule(self: Any, key_id: str, pending_window_in_days: int) -> float:
        return stock(self, self.get_key_id(key_id), pending_window_in_days)

    models.KmsBackend.schedule_key_deletion = schedule


@delete_by_arn.shown_by
def _delete_by_arn(client: Client) -> bool:
    arn = client("kms").create_key()["KeyMetadata"]["Arn"]
    client("kms").schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
    return client("kms").describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "PendingDeletion"
