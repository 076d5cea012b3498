"""The followers are told of what changes something, and of nothing else."""

from __future__ import annotations

import io

import pytest
from localcloud.api import announcing, recognising
from localcloud.calls import names

AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"


@pytest.mark.parametrize(
    ("service", "body", "target", "told"),
    [
        ("ec2", b"Action=RunInstances&Version=2016-11-15", "", True),
        ("ec2", b"Action=DescribeInstances&Version=2016-11-15", "", False),
        ("elasticloadbalancing", b"Action=RegisterTargets&Version=2015-12-01&TargetGroupArn=arn", "", True),
        ("secretsmanager", b'{"Name": "n"}', "secretsmanager.CreateSecret", True),
        ("secretsmanager", b'{"SecretId": "n"}', "secretsmanager.GetSecretValue", False),
        ("ecr", b"{}", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken", False),
    ],
)
def test_announcing(service: str, body: bytes, target: str, told: bool) -> None:
    heard: list[bytes] = []
    seen: list[bool] = []

    def app(environ: dict, _: object) -> list[bytes]:
        heard.append(environ["wsgi.input"].read())
        return [b"answer"]

    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/x-amz-json-1.1" if target else "application/x-www-form-urlencoded; charset=utf-8",
        "wsgi.input": io.BytesIO(body),
        "HTTP_X_AMZ_TARGET": target,
        "HTTP_AUTHORIZATION": AUTHORIZATION.format(service),
    }
    assert recognising(announcing(app, lambda: seen.append(True)))(environ, None) == [b"answer"]
    assert heard == [body]
    assert seen == ([True] if told else [])


def test_only_names_are_kept():
    asked = {
        "Name": "tokens",
        "SecretString": "s3cret",
        "PrivateKey": "s3cret",
        "AuthToken": "s3cret",
        "TargetGroupArns": ["arn:1", "arn:2"],
        "Tags": [{"Key": "team", "Value": "s3cret"}],
        "LaunchTemplateData": {"UserData": "s3cret", "IamInstanceProfile": {"Name": "node"}},
        "MaxResults": 10,
        "Filters": [],
    }
    assert names(asked) == {
        "Name": "tokens",
        "TargetGroupArns": ["arn:1", "arn:2"],
        "Tags": [{"Key": "team"}],
        "LaunchTemplateData": {"IamInstanceProfile": {"Name": "node"}},
    }
