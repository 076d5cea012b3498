"""An AWS API of a test's own: what was called there, and calls that shall fail.

with local_api() as api:
    api.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")
    assert [call["operation"] for call in api.writes()] == ["CreateVpc"]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3

ROOT = Path(__file__).parents[1]
REGION = "us-east-1"


@dataclass
class LocalApi:
    """One API and the account in it."""

    url: str

    @property
    def connection(self):
        """What Ansible calls fleet_aws_connection."""
        return {"endpoint_url": self.url, "access_key": "local", "secret_key": "local"}

    def client(self, service, region=REGION, **credentials):
        """A boto3 client; by default with keys that nobody asks for."""
        keys = credentials or {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
        return boto3.client(service, endpoint_url=self.url, region_name=region, **keys)

    def calls(self):
        """Every call until now: service, operation, parameters, writes, status, access_key, user_agent."""
        return json.loads(self._ask("/localcloud/calls"))

    def writes(self):
        """Those calls that may have changed something."""
        return [call for call in self.calls() if call["writes"]]

    def forget(self):
        """Begin the record of calls anew."""
        self._ask("/localcloud/calls", method="DELETE")

    def inject(self, service, operation, code, message="Injected", status=400, times=1):
        """Answer the next calls of an operation with an error."""
        fault = {"service": service, "operation": operation, "code": code}
        fault |= {"message": message, "status": status, "times": times}
        self._ask("/localcloud/faults", json.dumps(fault).encode())

    def heal(self):
        """Take back what was injected."""
        self._ask("/localcloud/faults", method="DELETE")

    @contextmanager
    def flipped(self, bucket, prefix):
        """Meanwhile one bit is another in each KiB of everything that lies there."""
        s3 = self.client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        whole = {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}
        for key, body in whole.items():
            other = bytearray(body)
            for place in range(len(body) // 3 % 1024, len(body), 1024):
                other[place] ^= 1
            s3.put_object(Bucket=bucket, Key=key, Body=bytes(other))
        try:
            yield
        finally:
            for key, body in whole.items():
                s3.put_object(Bucket=bucket, Key=key, Body=body)

    @contextmanager
    def enforced(self):
        """Let IAM decide on every call meanwhile; only keys that IAM or STS gave out are known then."""
        self._ask("/moto-api/reset-auth", b"0")
        try:
            yield
        finally:
            self._ask("/moto-api/reset-auth", b"Infinity")

    def user(self, name, documents):
        """An IAM user whom these policies are given, and nothing else: credentials as boto3 takes them."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        for number, document in enumerate(documents):
            made = iam.create_policy(PolicyName=f"{name}-{number}", PolicyDocument=json.dumps(document))
            iam.attach_user_policy(UserName=name, PolicyArn=made["Policy"]["Arn"])
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}

    def assume(self, role_arn):
        """Credentials of a role, as boto3 takes them: those that an instance gets from its metadata service."""
        keys = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="i-0123456789abcdef0")["Credentials"]
        return {
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
            "aws_session_token": keys["SessionToken"],
        }

    def _ask(self, path, body=None, method=None):
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "text/plain"}, method=method)  # noqa: S310 (the test's own server)
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.read()


@contextmanager
def local_api(**environment):
    """Start an API on a free port, alone (no instances behind it), with an empty account."""
    process = subprocess.Popen(
        [sys.executable, "-m", "localcloud.api", "--port", "0"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "local")} | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield LocalApi(process.stdout.readline().strip())
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()
