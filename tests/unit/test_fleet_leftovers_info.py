"""The module `fleet_leftovers_info`, run in this process against moto."""

from __future__ import annotations

from functools import cache, partial

import module_runs
import pytest
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader
from ansible_collections.chromafleet.aws.plugins.module_utils.fleet_leftovers import LISTED, arn_type
from botocore.exceptions import ClientError
from module_runs import REGION
from moto import mock_aws
from moto.core.responses import ActionResult
from moto.elasticache.responses import ElastiCacheResponse

ACCOUNT = "123456789012"
TAG, OTHER = {"chromafleet:fleet": "demo"}, {"chromafleet:fleet": "demo-eu"}
ENDPOINTS = ["chroma.vectors.io", "read.chroma.vectors.io"]


@pytest.fixture
def run(run_module):
    """Run the module and return its result."""
    return partial(run_module, "fleet_leftovers_info", fleet="demo", endpoints=ENDPOINTS)


# Making a client takes longer than all that is asked of it.
cached_client = cache(module_runs.client)


@pytest.fixture
def client(monkeypatch):
    """An empty account, and its clients."""
    # moto has no parameter groups; the local cloud has, by a patch.
    monkeypatch.setattr(
        ElastiCacheResponse,
        "describe_cache_parameter_groups",
        lambda self: ActionResult({"CacheParameterGroups": []}),
        raising=False,
    )
    monkeypatch.setattr(Reader, "client", lambda self, service: cached_client(service))
    with mock_aws():
        yield cached_client


def pairs(tags, key="Key", value="Value"):
    return [{key: name, value: text} for name, text in tags.items()]


def specs(kind, tags):
    return [{"ResourceType": kind, "Tags": pairs(tags)}]


def names(resources):
    return {(resource["kind"], resource["name"]) for resource in resources}


def everything(client, fleet, tags):
    """One of nearly everything that a fleet has, and what must be found: kind to names."""
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=specs("vpc", tags))["Vpc"]["VpcId"]
    subnet, second = (
        ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone, TagSpecifications=specs("subnet", tags))[
            "Subnet"
        ]["SubnetId"]
        for cidr, zone in (("10.0.1.0/24", f"{REGION}a"), ("10.0.2.0/24", f"{REGION}b"))
    )
    address = ec2.allocate_address(Domain="vpc", TagSpecifications=specs("elastic-ip", tags))["AllocationId"]
    gateways = client("ec2").describe_nat_gateways()["NatGateways"]
    if not gateways:  # moto has no filter by tag for them, so there is one only
        gateways = [
            ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address, TagSpecifications=specs("natgateway", tags))[
                "NatGateway"
            ]
        ]
    group = ec2.create_security_group(
        GroupName=fleet, Description="d", VpcId=vpc, TagSpecifications=specs("security-group", tags)
    )["GroupId"]
    volume = ec2.create_volume(Size=1, AvailabilityZone=f"{REGION}a", TagSpecifications=specs("volume", tags))[
        "VolumeId"
    ]
    template = ec2.create_launch_template(
        LaunchTemplateName=f"{fleet}-main-writer",
        LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "t3.medium"},
        TagSpecifications=specs("launch-template", tags),
    )["LaunchTemplate"]["LaunchTemplateId"]
    client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=f"{fleet}-main-reader",
        LaunchTemplate={"LaunchTemplateId": template},
        MinSize=0,
        MaxSize=0,
        VPCZoneIdentifier=subnet,
        Tags=[{**tag, "PropagateAtLaunch": True} for tag in pairs(tags)],
    )
    balancing = client("elbv2")
    balancing.create_load_balancer(Name=fleet, Subnets=[subnet, second], Tags=pairs(tags))
    balancing.create_target_group(Name=f"{fleet}-main-writer", Protocol="HTTPS", Port=443, VpcId=vpc, Tags=pairs(tags))
    client("elasticache").create_replication_group(
        ReplicationGroupId=f"{fleet}-main", ReplicationGroupDescription="d", Tags=pairs(tags)
    )
    client("ecr").create_repository(repositoryName=f"chromafleet/{fleet}/chroma")
    client("secretsmanager").create_secret(Name=f"chromafleet/{fleet}/tokens", SecretString="x", Tags=pairs(tags))
    client("iam").create_role(RoleName=f"{fleet}-{REGION}-writer", AssumeRolePolicyDocument="{}")
    client("iam").create_role(RoleName=f"{fleet}-node", AssumeRolePolicyDocument="{}", Tags=pairs(tags))
    client("s3").create_bucket(Bucket=f"chromafleet-{fleet}-{ACCOUNT}-{REGION}")
    client("logs").create_log_group(logGroupName=f"/chromafleet/{fleet}/main/nginx")
    client("cloudwatch").put_metric_alarm(
        AlarmName=f"{fleet}-main-disk",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        Tags=pairs(tags),
    )
    client("sns").create_topic(Name=f"{fleet}-alarms", Tags=pairs(tags))
    client("wafv2").create_web_acl(
        Name=fleet,
        Scope="REGIONAL",
        DefaultAction={"Allow": {}},
        VisibilityConfig={"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "m"},
        Tags=pairs(tags),
    )
    client("acm").request_certificate(DomainName=f"{fleet}.vectors.io", Tags=pairs(tags))
    return {
        ("ec2:vpc", vpc),
        ("ec2:subnet", subnet),
        ("ec2:subnet", second),
        ("ec2:elastic-ip", address),
        ("ec2:natgateway", gateways[0]["NatGatewayId"]),
        ("ec2:security-group", group),
        ("ec2:volume", volume),
        ("ec2:launch-template", template),
        ("autoscaling:autoScalingGroup", f"{fleet}-main-reader"),
        ("elasticloadbalancing:loadbalancer", fleet),
        ("elasticloadbalancing:targetgroup", f"{fleet}-main-writer"),
        ("elasticache:replicationgroup", f"{fleet}-main"),
        ("ecr:repository", f"chromafleet/{fleet}/chroma"),
        ("secretsmanager:secret", f"chromafleet/{fleet}/tokens"),
        ("iam:role", f"{fleet}-{REGION}-writer"),
        ("iam:role", f"{fleet}-node"),
        ("s3:bucket", f"chromafleet-{fleet}-{ACCOUNT}-{REGION}"),
        ("logs:log-group", f"/chromafleet/{fleet}/main/nginx"),
        ("cloudwatch:alarm", f"{fleet}-main-disk"),
        ("sns:topic", f"{fleet}-alarms"),
        ("wafv2:webacl", fleet),
        ("acm:certificate", f"{fleet}.vectors.io"),
    }


def test_an_empty_account_holds_nothing(run, client):
    found = run()
    assert (found["left"], found["kept"], found["changed"]) == ([], [], False)


def test_finds_what_the_fleet_has_and_nothing_of_another_one(run, client):
    """The other's name begins with this one's, and both ways some are known by their names alone."""
    mine = everything(client, "demo", TAG)
    others = everything(client, "demo-eu", OTHER)
    found = run()
    assert names(found["left"]) == mine
    assert found["kept"] == []
    assert names(run(fleet="demo-eu")["left"]) == others
    assert all(resource["arn"].startswith("arn:aws:") for resource in found["left"])


def test_what_is_gone_or_kept_is_not_left(run, client):
    ec2 = client("ec2")
    instance = ec2.run_instances(
        ImageId="ami-12c6146b", MinCount=1, MaxCount=1, TagSpecifications=specs("instance", TAG)
    )["Instances"][0]["InstanceId"]
    assert names(run()["left"]) == {("ec2:instance", instance)}
    ec2.terminate_instances(InstanceIds=[instance])
    tagging = client("resourcegroupstaggingapi")
    listed = tagging.get_resources(TagFilters=[{"Key": "chromafleet:fleet", "Values": ["demo"]}])
    assert instance in str(listed), "the tagging API still lists it"

    volume = ec2.create_volume(Size=1, AvailabilityZone=f"{REGION}a")["VolumeId"]
    last, other = (
        ec2.create_snapshot(VolumeId=volume, Description=text, TagSpecifications=specs("snapshot", TAG))["SnapshotId"]
        for text in ("Last data of the cell main of the fleet demo", "")
    )
    secrets = client("secretsmanager")
    secrets.create_secret(Name="chromafleet/demo/tokens", SecretString="x", Tags=pairs(TAG))
    secrets.delete_secret(SecretId="chromafleet/demo/tokens", RecoveryWindowInDays=7)
    kms = client("kms")
    key = kms.create_key(Tags=pairs(TAG, "TagKey", "TagValue"))["KeyMetadata"]["KeyId"]
    assert names(run()["left"]) == {("kms:key", key)}
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)

    found = run()
    assert found["left"] == []
    assert names(found["kept"]) == {
        ("ec2:snapshot", last),
        ("ec2:snapshot", other),
        ("kms:key", key),
        ("secretsmanager:secret", "chromafleet/demo/tokens"),
    }
    why = {resource["name"]: resource["why"] for resource in found["kept"]}
    assert why[last] == "Last data of the cell main of the fleet demo"
    assert why[other] == f"Snapshot of {volume}"
    assert why[key].startswith("Will be deleted 20")
    assert why["chromafleet/demo/tokens"].startswith("In its recovery window, deletion date 20")


def test_a_kind_that_is_asked_for_is_kept(run, client):
    volume = client("ec2").create_volume(Size=1, AvailabilityZone=f"{REGION}a", TagSpecifications=specs("volume", TAG))[
        "VolumeId"
    ]
    found = run(keep={"ec2:volume": "Asked for"})
    assert found["left"] == []
    assert names(found["kept"]) == {("ec2:volume", volume)}


def test_an_alias_without_a_tag_leads_to_its_key(run, client):
    key = client("kms").create_key()["KeyMetadata"]["KeyId"]
    client("kms").create_alias(AliasName="alias/chromafleet/demo", TargetKeyId=key)
    client("kms").create_alias(AliasName="alias/chromafleet/demo-eu", TargetKeyId=key)
    assert names(run()["left"]) == {("kms:alias", "alias/chromafleet/demo"), ("kms:key", key)}


def test_the_tagging_api_finds_what_no_listing_looks_for(run, client):
    client("dynamodb").create_table(
        TableName="strange",
        KeySchema=[{"AttributeName": "a", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "a", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        Tags=pairs(TAG),
    )
    assert names(run()["left"]) == {("dynamodb:table", "table/strange")}


def test_dns_records_of_the_endpoints(run, client):
    route53 = client("route53")
    zone = route53.create_hosted_zone(Name="vectors.io", CallerReference="1")["HostedZone"]["Id"]
    route53.create_hosted_zone(Name="others.io", CallerReference="2")

    def record(name, kind="A", value="192.0.2.1"):
        change = {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": value}]}
        batch = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": change}]}
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)

    record("www.vectors.io")
    record("chroma.vectors.io", "TXT", '"hello"')
    assert run()["left"] == []
    record("chroma.vectors.io")
    record("_1a.chroma.vectors.io", "CNAME", "_2b.acm-validations.aws.")
    assert names(run()["left"]) == {
        ("route53:record", "A chroma.vectors.io"),
        ("route53:record", "CNAME _1a.chroma.vectors.io"),
    }
    assert run(endpoints=[])["left"] == []


@pytest.mark.parametrize(
    ("arn", "kind"),
    [
        ("arn:aws:ec2:eu-central-1:1:instance/i-1", "ec2:instance"),
        ("arn:aws:elasticloadbalancing:eu-central-1:1:listener/app/a/1/2", "elasticloadbalancing:listener"),
        ("arn:aws:elasticloadbalancing:eu-central-1:1:targetgroup/a/1", "elasticloadbalancing:targetgroup"),
        ("arn:aws:elasticache:eu-central-1:1:replicationgroup:a", "elasticache:replicationgroup"),
        ("arn:aws:logs:eu-central-1:1:log-group:/chromafleet/a/b", "logs:log-group"),
        ("arn:aws:secretsmanager:eu-central-1:1:secret:chromafleet/a/b-1", "secretsmanager:secret"),
        ("arn:aws:ecr:eu-central-1:1:repository/chromafleet/a/b", "ecr:repository"),
        ("arn:aws:kms:eu-central-1:1:key/1-2", "kms:key"),
        ("arn:aws:cloudwatch:eu-central-1:1:alarm:a", "cloudwatch:alarm"),
        ("arn:aws:wafv2:eu-central-1:1:regional/webacl/a/1", "wafv2:webacl"),
        ("arn:aws:acm:eu-central-1:1:certificate/1", "acm:certificate"),
        ("arn:aws:sns:eu-central-1:1:topic-name", "sns:topic"),
        ("arn:aws:s3:::bucket", "s3:bucket"),
        ("arn:aws:iam::1:instance-profile/path/a", "iam:instance-profile"),
    ],
)
def test_types_of_arns(arn, kind):
    assert arn_type(arn) == kind
    assert kind in LISTED


def test_a_service_that_refuses_is_named(run, client, monkeypatch):
    def refuse(self, *args, **more):
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "DescribeRepositories")

    monkeypatch.setattr("botocore.paginate.PageIterator.__iter__", refuse)
    failed = run()
    assert failed["failed"]
    assert failed["msg"].startswith("Can't look for what is left of the fleet demo: ")
    assert "when calling the DescribeRepositories operation" in failed["msg"]
