"""S3."""

from __future__ import annotations

import json
from typing import Any

from moto.iam import access_control

from localcloud.patches import Client, restores


@restores("A statement on aws:SecureTransport is neutral for a call over TLS, which every local call stands for")
def secure_transport() -> None:
    stock = access_control.IAMPolicyStatement.is_action_permitted

    def is_action_permitted(self: Any, *args: Any, **more: Any) -> Any:
        if "aws:SecureTransport" in self._statement.get("Condition", {}).get("Bool", {}):
            return access_control.PermissionResult.NEUTRAL
        return stock(self, *args, **more)

    access_control.IAMPolicyStatement.is_action_permitted = is_action_permitted


@secure_transport.shown_by
def _secure_transport(client: Client) -> bool:
    s3 = client("s3")
    s3.create_bucket(Bucket="probe")
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::probe", "arn:aws:s3:::probe/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(Bucket="probe", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3.put_object(Bucket="probe", Key="k", Body=b"v")
    return True
