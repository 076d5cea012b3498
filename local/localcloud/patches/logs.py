"""CloudWatch Logs."""

from __future__ import annotations

import json
from typing import Any

from moto.logs import responses

from localcloud.patches import Client, restores

KEY = "arn:aws:kms:us-east-1:123456789012:key/probe"


@restores("The key of a log group can be set and taken away")
def kms_key() -> None:
    def associate_kms_key(self: Any) -> str:
        self.logs_backend.groups[self._get_param("logGroupName")].kms_key_id = self._get_param("kmsKeyId")
        return json.dumps({})

    def disassociate_kms_key(self: Any) -> str:
        self.logs_backend.groups[self._get_param("logGroupName")].kms_key_id = None
        return json.dumps({})

    responses.LogsResponse.associate_kms_key = associate_kms_key
    responses.LogsResponse.disassociate_kms_key = disassociate_kms_key


@kms_key.shown_by
def _kms_key(client: Client) -> bool:
    logs = client("logs")
    logs.create_log_group(logGroupName="probe")
    logs.associate_kms_key(logGroupName="probe", kmsKeyId=KEY)
    (group,) = logs.describe_log_groups()["logGroups"]
    logs.disassociate_kms_key(logGroupName="probe")
    (without,) = logs.describe_log_groups()["logGroups"]
    return group["kmsKeyId"] == KEY and "kmsKeyId" not in without
