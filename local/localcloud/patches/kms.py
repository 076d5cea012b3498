"""KMS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.kms import models

from localcloud.patches import Client, restores


@restores("The deletion of a key can be scheduled and cancelled, and a key enabled and disabled, by the key's ARN")
def state_by_arn() -> None:
    def by_arn(stock: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, key_id, *others: stock(self, self.get_key_id(key_id), *others)

    for name in ("schedule_key_deletion", "cancel_key_deletion", "enable_key", "disable_key"):
        setattr(models.KmsBackend, name, by_arn(getattr(models.KmsBackend, name)))


@state_by_arn.shown_by
def _state_by_arn(client: Client) -> bool:
    kms = client("kms")
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
    states = [kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"]]
    for change in (kms.cancel_key_deletion, kms.enable_key, kms.disable_key):
        change(KeyId=arn)
        states.append(kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"])
    return states == ["PendingDeletion", "Disabled", "Enabled", "Disabled"]
