"""The followers are told of what changes something, and of nothing else."""

from __future__ import annotations

import io

import pytest
from localcloud.api import announcing


@pytest.mark.parametrize(
    ("body", "target", "told"),
    [
        (b"Action=RunInstances&Version=2016-11-15", "", True),
        (b"Action=DescribeInstances&Version=2016-11-15", "", False),
        (b"Action=RegisterTargets&TargetGroupArn=arn", "", True),
        (b"{}", "secretsmanager.CreateSecret", True),
        (b"{}", "secretsmanager.GetSecretValue", False),
        (b"{}", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken", False),
    ],
)
def test_announcing(body: bytes, target: str, told: bool) -> None:
    heard: list[bytes] = []
    seen: list[bool] = []

    def app(environ: dict, _: object) -> list[bytes]:
        heard.append(environ["wsgi.input"].read())
        return [b"answer"]

    environ = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body), "HTTP_X_AMZ_TARGET": target}
    assert announcing(app, lambda: seen.append(True))(environ, None) == [b"answer"]
    assert heard == [body]
    assert seen == ([True] if told else [])
