"""The API tells what was called, and fails where it is told to."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from localcloud.calls import writes
from localcloud.permissions import actions, definition
from moto.core.utils import get_service_model

#: A call through each protocol: service, boto3's method, arguments, operation, whether it writes.
CALLS = [
    ("ec2", "create_vpc", {"CidrBlock": "10.0.0.0/16"}, "CreateVpc", True),
    ("elbv2", "describe_load_balancers", {}, "DescribeLoadBalancers", False),
    ("iam", "create_role", {"RoleName": "node", "AssumeRolePolicyDocument": "{}"}, "CreateRole", True),
    ("secretsmanager", "create_secret", {"Name": "own", "SecretString": "s3cret"}, "CreateSecret", True),
    ("cloudwatch", "put_metric_data", {"Namespace": "N", "MetricData": [{"MetricName": "m"}]}, "PutMetricData", True),
    ("resourcegroupstaggingapi", "get_resources", {}, "GetResources", False),
    ("s3", "create_bucket", {"Bucket": "bucket"}, "CreateBucket", True),
    ("s3", "put_object", {"Bucket": "bucket", "Key": "a/b", "Body": b"s3cret"}, "PutObject", True),
    ("s3", "get_bucket_versioning", {"Bucket": "bucket"}, "GetBucketVersioning", False),
    ("s3", "head_object", {"Bucket": "bucket", "Key": "a/b"}, "HeadObject", False),
    ("s3", "delete_objects", {"Bucket": "bucket", "Delete": {"Objects": [{"Key": "a/b"}]}}, "DeleteObjects", True),
    ("route53", "create_hosted_zone", {"Name": "x.test", "CallerReference": "1"}, "CreateHostedZone", True),
    ("route53", "list_hosted_zones", {}, "ListHostedZones", False),
    ("ecr", "get_authorization_token", {}, "GetAuthorizationToken", False),
]


def test_every_protocol_is_understood(aws):
    aws.forget()
    for service, method, arguments, _, _ in CALLS:
        getattr(aws.client(service), method)(**arguments)
    calls = aws.calls()
    assert [(call["service"], call["operation"], call["writes"]) for call in calls] == [
        (service, operation, writes) for service, _, _, operation, writes in CALLS
    ]
    assert {call["status"] for call in calls} <= {200, 201}
    assert {call["access_key"] for call in calls} == {"local"}
    assert all("Boto3" in call["user_agent"] for call in calls)
    assert "s3cret" not in str(calls)
    assert calls[7]["parameters"] == {"Bucket": "bucket", "Key": "a/b"}
    assert [call["operation"] for call in aws.writes()] == [operation for *_, operation, writes in CALLS if writes]


def test_the_journal_can_be_begun_anew(aws):
    aws.client("sts").get_caller_identity()
    aws.forget()
    assert aws.calls() == []


@pytest.mark.parametrize(("service", "method", "arguments", "operation", "writes"), CALLS)
def test_a_fault_comes_in_the_services_own_protocol(aws, service, method, arguments, operation, writes):
    aws.inject(service, operation, "LimitExceeded", "No more of these", status=409)
    with pytest.raises(ClientError) as raised:
        getattr(aws.client(service), method)(**arguments)
    answer = raised.value.response
    # A HEAD has no body, on AWS either.
    wanted = ("409", "Conflict") if method.startswith("head") else ("LimitExceeded", "No more of these")
    assert (answer["Error"]["Code"], answer["Error"]["Message"]) == wanted
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 409


def test_a_fault_is_over_after_its_times(aws):
    aws.forget()
    aws.inject("logs", "DescribeLogGroups", "ThrottlingException", "Rate exceeded", times=2)
    aws.client("logs").describe_log_groups()
    assert [call["status"] for call in aws.calls()] == [400, 400, 200]


def test_faults_can_be_taken_back(aws):
    aws.inject("sts", "GetCallerIdentity", "ExpiredToken", status=403, times=100)
    aws.heal()
    assert aws.client("sts").get_caller_identity()["Account"]


def test_nothing_that_iam_calls_a_write_passes_for_a_read():
    """Zero writes in a check run mean something only if each write counts."""
    services = ["acm", "autoscaling", "cloudwatch", "ec2", "ecr", "elasticache", "elbv2", "iam", "kms", "logs"]
    services += ["resourcegroupstaggingapi", "route53", "s3", "secretsmanager", "sns", "ssm", "sts", "wafv2"]
    operations = [(service, name) for service in services for name in get_service_model(service).operation_names]
    passed = set()
    for service, operation in operations:
        for action in actions(service, operation, {}):
            prefix, name = action.split(":")
            level = definition()[prefix]["actions"].get(name, {}).get("access_level", "Read")
            if level not in ("List", "Read") and not writes(service, operation):
                passed.add(f"{service}:{operation}")
    # These change nothing, whatever their level.
    assert passed == {
        "kms:Decrypt",
        "kms:Encrypt",
        "kms:GenerateDataKey",
        "secretsmanager:ValidateResourcePolicy",
        "sts:AssumeRole",
    }
    assert len(operations) > 1500
