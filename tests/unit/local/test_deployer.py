"""The deployer's policy: from calls to actions, from names to the fleet's names, and within IAM's limits."""

from __future__ import annotations

import json
import re

import parliament
import pytest
from localcloud import deployer
from localcloud.deployer import actions_of, differences, filled, general, policy_of, size
from localcloud.permissions import asked

ACCOUNT, REGION = "123456789012", "eu-central-1"
KEPT_IN = "docs/deployer-policy.json"
KEPT = json.loads(deployer.FILE.read_text())
BUCKET = "arn:aws:s3:::chromafleet-demo-123456789012-eu-central-1"
GENERAL_BUCKET = "arn:aws:s3:::chromafleet-${fleet}-${account}-${region}"


def call(service, operation, **parameters):
    return {"service": service, "operation": operation, "parameters": parameters, "region": REGION}


ARNS = {
    "*": "*",
    BUCKET: GENERAL_BUCKET,
    f"{BUCKET}-logs": f"{GENERAL_BUCKET}-*",
    f"{BUCKET}/a/b": f"{GENERAL_BUCKET}/*",
    "arn:aws:iam::123456789012:role/demo-eu-central-1-writer": "arn:aws:iam::${account}:role/${fleet}-${region}-*",
    "arn:aws:logs:eu-central-1:123456789012:log-group:/chromafleet/demo/main/nginx": (
        "arn:aws:logs:${region}:${account}:log-group:/chromafleet/${fleet}/*"
    ),
    "arn:aws:kms:eu-central-1:123456789012:alias/chromafleet/demo": (
        "arn:aws:kms:${region}:${account}:alias/chromafleet/${fleet}"
    ),
    "arn:aws:kms:eu-central-1:123456789012:key/1234-5678": "arn:aws:kms:${region}:${account}:key/*",
    "arn:aws:ec2:eu-central-1:123456789012:vpc/vpc-0123": "arn:aws:ec2:${region}:${account}:vpc/*",
    "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener/app/demo/0123/4567": (
        "arn:aws:elasticloadbalancing:${region}:${account}:listener/app/${fleet}/*"
    ),
    "arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:*:autoScalingGroupName/demo-main-writer": (
        "arn:aws:autoscaling:${region}:${account}:autoScalingGroup:*:autoScalingGroupName/${fleet}-*"
    ),
    # Another fleet whose name holds ours is not ours.
    "arn:aws:sns:eu-central-1:123456789012:mydemo": "arn:aws:sns:${region}:${account}:mydemo",
}


@pytest.mark.parametrize("arn", ARNS)
def test_a_name_becomes_the_fleets(arn):
    assert general(arn, "demo", REGION, ACCOUNT) == ARNS[arn]


def test_calls_become_actions():
    actions = actions_of(
        [
            call("s3", "HeadBucket", Bucket="chromafleet-demo-123456789012-eu-central-1"),
            call("elbv2", "CreateTargetGroup", Name="demo-main-writer", Tags=[{"Key": "chromafleet:fleet"}]),
            call("ec2", "DescribeVpcs"),
            call("sts", "GetCallerIdentity"),
            call("cloudwatch", "PutDashboard", DashboardName="demo-main"),
            call("resourcegroupstaggingapi", "TagResources",
                 ResourceARNList=["arn:aws:ecr:eu-central-1:123456789012:repository/chromafleet/demo/chroma"]),
        ],
        fleet="demo",
    )  # fmt: skip
    assert actions == {
        "s3:ListBucket": {"arn:aws:s3:::chromafleet-${fleet}-${account}-${region}"},
        "elasticloadbalancing:CreateTargetGroup": {
            "arn:aws:elasticloadbalancing:${region}:${account}:targetgroup/${fleet}-*"
        },
        "elasticloadbalancing:AddTags": {"arn:aws:elasticloadbalancing:${region}:${account}:targetgroup/${fleet}-*"},
        "ec2:DescribeVpcs": {"*"},
        "cloudwatch:PutDashboard": {"arn:aws:cloudwatch::${account}:dashboard/${fleet}-*"},
        "tag:TagResources": {"*"},
        "ecr:TagResource": {"arn:aws:ecr:${region}:${account}:repository/chromafleet/${fleet}/*"},
    }


def test_an_operation_that_is_no_action_is_not_passed_over():
    with pytest.raises(LookupError, match="IAM knows no action s3:SelectNothing"):
        asked("s3", "SelectNothing", {"Bucket": "b"}, REGION, ACCOUNT)


def statements(calls):
    documents = policy_of(actions_of(calls, fleet="demo"))
    return [statement for document in documents for statement in document["Statement"]]


def test_what_has_no_name_is_removed_only_with_the_fleets_tag():
    ((vpc,), (secret,)) = (
        statements([call("ec2", "DeleteVpc", VpcId="vpc-0123")]),
        statements([call("secretsmanager", "DeleteSecret", SecretId="chromafleet/demo/cache")]),
    )
    assert vpc["Condition"] == {"StringEquals": {"aws:ResourceTag/chromafleet:fleet": "${fleet}"}}
    assert "Condition" not in secret
    (key,) = statements([call("kms", "ScheduleKeyDeletion", KeyId="1234")])
    assert key["Condition"] == vpc["Condition"]


def test_what_aws_asks_for_besides_comes_with_its_action():
    made = {statement["Sid"] for statement in statements([call("autoscaling", "CreateAutoScalingGroup")])}
    updates = {"TakeHostsOutOfService", "ReplaceInstances", "KnowHealth", "ChangeTemplates", "PlanTheEnd"}
    assert made == {"Autoscaling1", "StartInstances", "HandRolesOn", "MakeServicesOwnRoles"} | updates
    assert {statement["Sid"] for statement in statements([call("ec2", "DescribeVpcs")])} == {"Ec21"}


def test_an_arn_that_another_holds_is_not_repeated():
    describe = [
        call("ecr", "DescribeRepositories"),
        call("ecr", "DescribeRepositories", repositoryNames=["chromafleet/demo/chroma"]),
    ]
    assert statements(describe)[0]["Resource"] == ["arn:aws:ecr:${region}:${account}:repository/*"]


def test_policies_are_split_at_iams_limit():
    many = {f"ec2:Describe{n}": {f"arn:aws:ec2:${{region}}:${{account}}:type-{n}/*"} for n in range(200)}
    documents = policy_of(many)
    assert len(documents) > 2
    assert max(size(document) for document in documents) <= 6144
    values = {"account": "1" * 12, "region": "r" * 14, "fleet": "f" * 20}
    assert [len(json.dumps(one, separators=(",", ":"))) for one in filled(documents, **values)] == [
        size(document) for document in documents
    ]


def test_differences_are_sentences():
    (before,) = policy_of({"ec2:DescribeVpcs": {"*"}})
    (after,) = policy_of({"ec2:DescribeSubnets": {"*"}})
    assert differences({"one": before}, {"one": before}) == []
    assert differences({"one": before}, {"one": after}) == [
        f"ec2:DescribeSubnets on * is called, but {KEPT_IN} doesn't allow it: run make deployer-policy.",
        f"ec2:DescribeVpcs on * is allowed by {KEPT_IN}, but nothing calls it: run make deployer-policy.",
    ]


def test_the_file_is_compared_by_the_command(tmp_path, monkeypatch, capsys):
    record = tmp_path / "demo.json"
    record.write_text(json.dumps([call("ec2", "DescribeVpcs")]))
    monkeypatch.setattr(deployer, "FILE", tmp_path / "policy.json")
    monkeypatch.setattr("sys.argv", ["deployer", str(record)])
    assert deployer.main() == 0
    monkeypatch.setattr("sys.argv", ["deployer", "--check", str(record)])
    assert deployer.main() == 0
    record.write_text(json.dumps([call("ec2", "DescribeVpcs"), call("ec2", "DescribeSubnets")]))
    assert deployer.main() == 1
    assert "ec2:DescribeSubnets on * is called" in capsys.readouterr().out


def test_the_kept_policies_are_sound_or_say_why_not():
    filling = {"account": ACCOUNT, "region": REGION, "fleet": "production"}
    analysed = [parliament.analyze_policy_string(json.dumps(one)) for one in filled(list(KEPT.values()), **filling)]
    reasons = re.findall(r"parliament (\w+): \S.{20,}", deployer.FILE.with_suffix(".md").read_text())
    assert {finding.issue for one in analysed for finding in one.findings} == set(reasons)


@pytest.mark.parametrize("name", KEPT)
def test_the_kept_policies_fit_into_iams_limits(name):
    assert size(KEPT[name]) <= 6144
    assert len(KEPT) <= 10, "more than a role may have"
    sids = [statement["Sid"] for statement in KEPT[name]["Statement"]]
    assert len(set(sids)) == len(sids)
