"""With its role's credentials and IAM enforced, a host can do all that it does, and nothing else that is tried."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from localcloud.judge import allows
from localcloud.permissions import Asked
from policies import ACCOUNT, BOOT, BUCKET, HERE, KEY, host

OTHER_BUCKET = BUCKET.replace("-demo-", "-other-")
GROUP, OTHER_GROUP = "demo-main-{role}", "demo-2-main-{role}"
LOGS, OTHER_LOGS = "/chromafleet/demo/main/nginx", "/chromafleet/other/main/nginx"
IMAGE, OTHER_IMAGE = "chromafleet/demo/chroma", "chromafleet/other/chroma"
METRIC = [{"MetricName": "age", "Value": 1}]
EVENTS = [{"timestamp": 1790000000000, "message": "GET /"}]
HOOK = {"LifecycleHookName": "drain", "InstanceId": "i-0123456789abcdef0"}
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})

#: service, method, arguments; {role} is the host's own.
DOES = [
    ("secretsmanager", "get_secret_value", {"SecretId": "chromafleet/demo/tokens"}),
    ("secretsmanager", "get_secret_value", {"SecretId": "chromafleet/demo/cache"}),
    ("secretsmanager", "describe_secret", {"SecretId": "chromafleet/demo/snapshots"}),
    ("ecr", "get_authorization_token", {}),
    ("ecr", "batch_get_image", {"repositoryName": IMAGE, "imageIds": [{"imageTag": "1"}]}),
    ("ecr", "batch_check_layer_availability", {"repositoryName": IMAGE, "layerDigests": ["sha256:" + "0" * 64]}),
    ("logs", "create_log_stream", {"logGroupName": LOGS, "logStreamName": "{role}"}),
    ("logs", "describe_log_streams", {"logGroupName": LOGS}),
    ("logs", "put_log_events", {"logGroupName": LOGS, "logStreamName": "{role}", "logEvents": EVENTS}),
    ("cloudwatch", "put_metric_data", {"Namespace": "ChromaFleet", "MetricData": METRIC}),
    ("s3", "get_bucket_location", {"Bucket": BUCKET}),
    ("s3", "list_objects_v2", {"Bucket": BUCKET, "Prefix": "main/"}),
    ("s3", "get_object", {"Bucket": BUCKET, "Key": "main/manifest"}),
    ("s3", "head_object", {"Bucket": BUCKET, "Key": "main/manifest"}),
    ("autoscaling", "complete_lifecycle_action",
     {**HOOK, "AutoScalingGroupName": GROUP, "LifecycleActionResult": "CONTINUE"}),
    ("autoscaling", "record_lifecycle_action_heartbeat", {**HOOK, "AutoScalingGroupName": GROUP}),
    ("s3", "get_object", {"Bucket": BOOT, "Key": "release.tar.gz"}),
    ("ec2", "describe_volumes", {}),
    ("sts", "get_caller_identity", {}),
]  # fmt: skip
#: What only the writer does.
WRITES = [
    ("ec2", "describe_instances", {"InstanceIds": ["{instance}"]}),
    ("ec2", "describe_tags", {}),
    ("ec2", "attach_volume", {"VolumeId": "{volume}", "InstanceId": "{instance}", "Device": "/dev/sdf"}),
    ("s3", "put_object", {"Bucket": BUCKET, "Key": "main/new", "Body": "x"}),
    ("s3", "create_multipart_upload", {"Bucket": BUCKET, "Key": "main/big"}),
    ("s3", "delete_object", {"Bucket": BUCKET, "Key": "main/old"}),
]
NEVER = [
    # What is another fleet's.
    ("secretsmanager", "get_secret_value", {"SecretId": "chromafleet/other/tokens"}),
    ("secretsmanager", "get_secret_value", {"SecretId": "chromafleet/demo/tokens-of-others"}),
    ("ecr", "batch_get_image", {"repositoryName": OTHER_IMAGE, "imageIds": [{"imageTag": "1"}]}),
    ("s3", "get_object", {"Bucket": OTHER_BUCKET, "Key": "main/manifest"}),
    ("s3", "list_objects_v2", {"Bucket": OTHER_BUCKET}),
    ("logs", "create_log_stream", {"logGroupName": OTHER_LOGS, "logStreamName": "x"}),
    ("logs", "put_log_events", {"logGroupName": OTHER_LOGS, "logStreamName": "x", "logEvents": EVENTS}),
    ("cloudwatch", "put_metric_data", {"Namespace": "AWS/EC2", "MetricData": METRIC}),
    ("autoscaling", "complete_lifecycle_action",
     {**HOOK, "AutoScalingGroupName": OTHER_GROUP, "LifecycleActionResult": "ABANDON"}),
    # What is its own fleet's, and not for a host to change.
    ("secretsmanager", "put_secret_value", {"SecretId": "chromafleet/demo/tokens", "SecretString": "mine"}),
    ("secretsmanager", "list_secrets", {}),
    ("ecr", "put_image", {"repositoryName": IMAGE, "imageManifest": "{}", "imageTag": "2"}),
    ("ecr", "batch_delete_image", {"repositoryName": IMAGE, "imageIds": [{"imageTag": "1"}]}),
    ("logs", "get_log_events", {"logGroupName": LOGS, "logStreamName": "x"}),
    ("logs", "delete_log_group", {"logGroupName": LOGS}),
    ("s3", "put_object", {"Bucket": BOOT, "Key": "release.tar.gz", "Body": "mine"}),
    ("s3", "delete_object", {"Bucket": BOOT, "Key": "release.tar.gz"}),
    ("s3", "delete_object", {"Bucket": BUCKET, "Key": "main/manifest", "VersionId": "1"}),
    ("s3", "put_bucket_policy", {"Bucket": BUCKET, "Policy": "{}"}),
    ("s3", "delete_bucket", {"Bucket": BUCKET}),
    ("s3", "list_buckets", {}),
    ("autoscaling", "set_desired_capacity", {"AutoScalingGroupName": GROUP, "DesiredCapacity": 9}),
    ("kms", "decrypt", {"CiphertextBlob": "x", "KeyId": KEY}),
    ("kms", "schedule_key_deletion", {"KeyId": KEY}),
    # What would make it somebody else.
    ("iam", "create_user", {"UserName": "me"}),
    ("iam", "put_role_policy", {"RoleName": "{role}", "PolicyName": "x", "PolicyDocument": TRUST}),
    ("iam", "attach_role_policy", {"RoleName": "{role}", "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}),
    ("iam", "list_roles", {}),
    ("sts", "assume_role", {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/admin", "RoleSessionName": "host"}),
    ("ec2", "run_instances", {"ImageId": "ami-12345678", "MinCount": 1, "MaxCount": 1}),
    ("ec2", "attach_volume", {"VolumeId": "{volume of another}", "InstanceId": "{instance}", "Device": "/dev/sdf"}),
    ("ec2", "attach_volume", {"VolumeId": "{volume}", "InstanceId": "{instance of another}", "Device": "/dev/sdf"}),
    ("ec2", "detach_volume", {"VolumeId": "{volume}"}),
    ("ec2", "terminate_instances", {"InstanceIds": ["{instance}"]}),
    ("ssm", "get_parameter", {"Name": "/others/password"}),
    ("ssm", "send_command", {"DocumentName": "AWS-RunShellScript", "InstanceIds": ["i-12345678"]}),
    ("elasticache", "describe_replication_groups", {}),
    ("elbv2", "describe_load_balancers", {}),
    ("route53", "list_hosted_zones", {}),
]  # fmt: skip
#: What comes after IAM said yes: there is no such layer, and no hook waits.
ALLOWED = {"", "LayersNotFoundException", "LayerInaccessibleException", "ValidationError"}
REFUSED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}


@pytest.fixture(scope="module")
def account(aws):
    """Two fleets, and the keys that their hosts would have, by role; `ids` of both. From here on IAM decides."""
    for bucket, key in ((BUCKET, "main/manifest"), (OTHER_BUCKET, "main/manifest"), (BOOT, "release.tar.gz")):
        aws.client("s3").create_bucket(Bucket=bucket)
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"{}")
    for name in ("demo/tokens", "demo/cache", "demo/snapshots", "other/tokens", "demo/tokens-of-others"):
        aws.client("secretsmanager").create_secret(Name=f"chromafleet/{name}", SecretString="x")
    for name in (IMAGE, OTHER_IMAGE):
        aws.client("ecr").create_repository(repositoryName=name)
    for name in (LOGS, OTHER_LOGS):
        aws.client("logs").create_log_group(logGroupName=name)
    ec2 = aws.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    image = ec2.describe_images()["Images"][0]["ImageId"]
    ec2.create_launch_template(LaunchTemplateName="probe", LaunchTemplateData={"ImageId": image})
    keys = {"ids": {}}
    for role in ("writer", "reader"):
        for group, fleet in ((GROUP, "demo"), (OTHER_GROUP, "demo-2")):
            aws.client("autoscaling").create_auto_scaling_group(
                AutoScalingGroupName=group.format(role=role),
                LaunchTemplate={"LaunchTemplateName": "probe"},
                MinSize=0,
                MaxSize=1,
                VPCZoneIdentifier=subnet,
                Tags=[{"Key": "chromafleet:fleet", "Value": fleet, "PropagateAtLaunch": True}],
            )
        made = aws.client("iam").create_role(RoleName=role, AssumeRolePolicyDocument=TRUST)["Role"]
        document = json.dumps(host(role, KEY))
        aws.client("iam").put_role_policy(RoleName=role, PolicyName="fleet", PolicyDocument=document)
        keys[role] = aws.assume(made["Arn"])
    for fleet, of in (("demo", "{%s}"), ("demo-2", "{%s of another}")):
        tags = [{"Key": "chromafleet:fleet", "Value": fleet}]
        (made,) = ec2.run_instances(
            ImageId=image, MinCount=1, MaxCount=1, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}]
        )["Instances"]
        volume = ec2.create_volume(
            AvailabilityZone=made["Placement"]["AvailabilityZone"],
            Size=1,
            TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
        )
        keys["ids"] |= {of % "instance": made["InstanceId"], of % "volume": volume["VolumeId"]}
    with aws.enforced():
        yield keys


def answer(aws, keys, role, service, method, arguments):
    """The code of the error that a host gets; empty for none."""
    text = json.dumps(arguments)
    for name, own in ({"{role}": role} | keys["ids"]).items():
        text = text.replace(name, own)
    asked = json.loads(text)
    try:
        getattr(aws.client(service, **keys[role]), method)(**asked)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return ""


def cases(*tables):
    return [
        pytest.param(role, *case, id=f"{role}:{case[0]}:{case[1]}:{number}")
        for role, table in tables
        for number, case in enumerate(table)
    ]


@pytest.mark.parametrize(("role", "service", "method", "arguments"), cases(("writer", DOES + WRITES), ("reader", DOES)))
def test_a_host_can_do_all_that_it_does(aws, account, role, service, method, arguments):
    assert answer(aws, account, role, service, method, arguments) in ALLOWED


@pytest.mark.parametrize(
    ("role", "service", "method", "arguments"), cases(("writer", NEVER), ("reader", NEVER + WRITES))
)
def test_a_host_is_refused_everything_else(aws, account, role, service, method, arguments):
    assert answer(aws, account, role, service, method, arguments) in REFUSED | {"403"}


@pytest.mark.parametrize("role", ["writer", "reader"])
def test_what_the_local_api_does_not_know_is_decided_alike(role):
    """Through a service means in its name: S3 decrypts for a host, a host can't decrypt by itself."""
    may = [
        Asked("ecr:GetDownloadUrlForLayer", f"arn:aws:ecr:{HERE}:repository/{IMAGE}"),
        Asked("ssmmessages:OpenDataChannel", "*"),
        Asked("ssm:UpdateInstanceInformation", f"arn:aws:ec2:{HERE}:instance/i-0123456789abcdef0"),
        Asked("kms:Decrypt", KEY, {"kms:viaservice": ["s3.us-east-1.amazonaws.com"]}),
        Asked("kms:Decrypt", KEY, {"kms:viaservice": ["secretsmanager.us-east-1.amazonaws.com"]}),
    ]
    may_not = [
        Asked("ecr:GetDownloadUrlForLayer", f"arn:aws:ecr:{HERE}:repository/{OTHER_IMAGE}"),
        Asked("kms:Decrypt", KEY),
        Asked("kms:Decrypt", KEY, {"kms:viaservice": ["ec2.us-east-1.amazonaws.com"]}),
        Asked("kms:Decrypt", KEY[:-1] + "6", {"kms:viaservice": ["s3.us-east-1.amazonaws.com"]}),
        Asked("ssm:GetParameter", f"arn:aws:ssm:{HERE}:parameter/x"),
    ]
    assert [allows([host(role, KEY)], asked) for asked in may] == [True] * len(may)
    assert [allows([host(role, KEY)], asked) for asked in may_not] == [False] * len(may_not)


@pytest.mark.parametrize("role", ["writer", "reader"])
def test_a_host_writes_traces_only_where_there_are_some(role):
    writes = [Asked(f"xray:{action}", "*") for action in ("PutTraceSegments", "PutTelemetryRecords")]
    assert [allows([host(role)], asked) for asked in writes] == [False, False]
    assert [allows([host(role, traces=True)], asked) for asked in writes] == [True, True]
    assert not allows([host(role, traces=True)], Asked("xray:GetTraceSummaries", "*"))


def test_a_role_ends_the_hooks_of_its_own_group_only(aws, account):
    other = {**HOOK, "AutoScalingGroupName": GROUP.format(role="writer"), "LifecycleActionResult": "CONTINUE"}
    assert answer(aws, account, "reader", "autoscaling", "complete_lifecycle_action", other) == "AccessDenied"


def test_a_refusal_names_action_and_resource(aws, account):
    with pytest.raises(ClientError) as raised:
        aws.client("secretsmanager", **account["reader"]).get_secret_value(SecretId="chromafleet/other/tokens")
    assert raised.value.response["Error"]["Message"].endswith(
        "is not authorized to perform: secretsmanager:GetSecretValue on resource: "
        f"arn:aws:secretsmanager:{HERE}:secret:chromafleet/other/tokens-??????"
    )
