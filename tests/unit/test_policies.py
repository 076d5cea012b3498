"""Every policy of the project is sound by parliament, or says beside it why it differs."""

from __future__ import annotations

import json
import re

import parliament
import pytest
from ansible_runs import ROOT
from policies import ACCOUNT, BOOT, BUCKET, HERE, KEY, MARK, REGION, SECRETS, host, policies, rendered

ROLES = ROOT / "roles"
POLICIES = policies()
TRUSTS = {
    name: document
    for name, document in POLICIES.items()
    if all(statement["Action"] == "sts:AssumeRole" for statement in document["Statement"])
}
#: `parliament <ISSUE>: <why>` in a policy's file.
REASON = re.compile(r"parliament (\w+): \S.{20,}")
#: Actions that AWS allows no resource for.
EVERYWHERE = {
    "autoscaling:DescribeAutoScalingInstances",
    "cloudwatch:PutMetricData",
    "ec2:DescribeInstances",
    "ec2:DescribeTags",
    "ec2:DescribeVolumes",
    "ecr:GetAuthorizationToken",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}


@pytest.mark.parametrize("name", [name for name in POLICIES if name not in TRUSTS])
def test_parliament_finds_nothing_that_has_no_reason(name):
    text = (ROLES / name.split(" ")[0]).read_text()
    analysed = parliament.analyze_policy_string(json.dumps(POLICIES[name]))
    assert {finding.issue: finding.detail for finding in analysed.findings}.keys() == set(REASON.findall(text))


@pytest.mark.parametrize("name", TRUSTS)
def test_only_the_service_that_uses_a_role_may_take_it(name):
    (statement,) = TRUSTS[name]["Statement"]
    assert statement["Principal"] in ({"Service": "ec2.amazonaws.com"}, {"Service": "vpc-flow-logs.amazonaws.com"})


def test_no_policy_is_overlooked():
    holders = {
        str(path.relative_to(ROLES))
        for path in ROLES.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and MARK in path.read_text()
    }
    assert {name.split(" ")[0] for name in POLICIES} == holders


@pytest.mark.parametrize("key", ["", KEY])
@pytest.mark.parametrize("role", ["writer", "reader"])
def test_a_host_may_touch_only_what_is_the_fleets(role, key):
    for statement in host(role, key)["Statement"]:
        assert not [action for action in statement["Action"] if "*" in action], statement
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        if resources == ["*"]:
            assert set(statement["Action"]) <= EVERYWHERE
        else:
            # The instance in ReportToSessionManager has no name, and is the host that asks.
            own = {KEY, f"arn:aws:ec2:{HERE}:instance/*"}
            tagged = statement.get("Condition", {}).get("StringEquals", {}).get("aws:ResourceTag/chromafleet:fleet")
            assert tagged == "demo" or all("demo" in one or one in own for one in resources), statement


def allowed(role, key=""):
    return {action for statement in host(role, key)["Statement"] for action in statement["Action"]}


def test_only_the_writer_writes_snapshots_and_takes_the_volume():
    more = {"s3:AbortMultipartUpload", "s3:DeleteObject", "s3:ListMultipartUploadParts", "s3:PutObject"}
    more |= {"ec2:AttachVolume", "ec2:DescribeInstances", "ec2:DescribeTags"}
    assert allowed("writer") - allowed("reader") == more
    assert allowed("reader") - allowed("writer") == set()
    assert allowed("writer", KEY) - allowed("writer") == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert allowed("reader", KEY) - allowed("reader") == {"kms:Decrypt"}


def test_sessions_can_be_switched_off():
    without = rendered("aws_identity/templates/host.yml.j2", role="reader", aws_identity_ssm=False)
    asked = [statement for statement in without["Statement"] if "ssm" in json.dumps(statement)]
    assert [(statement["Sid"], statement["Action"]) for statement in asked] == [("KnowRelease", ["ssm:GetParameter"])]


def test_the_buckets_refuse_plain_http():
    for name, bucket in (("policy", BUCKET), ("policy", BOOT), ("access_logs_policy", f"{BUCKET}-logs")):
        statement = rendered(f"aws_storage/templates/{name}.json.j2", bucket=bucket)["Statement"][0]
        assert statement["Effect"] == "Deny"
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert statement["Resource"] == [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]


def test_secrets_are_named_one_by_one():
    statement = next(one for one in host("reader")["Statement"] if one["Sid"] == "ReadOwnSecrets")
    assert statement["Resource"] == [f"arn:aws:secretsmanager:{HERE}:secret:{name}-??????" for name in SECRETS]


def test_the_key_serves_its_own_account_only():
    for statement in rendered("aws_identity/templates/key.yml.j2")["Statement"]:
        if statement["Principal"] != {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}:
            assert ACCOUNT in json.dumps(statement["Condition"]), statement
            assert REGION in json.dumps(statement) or statement["Sid"] == "Alarms"
