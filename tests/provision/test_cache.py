"""The role aws_cache from nothing to nothing: every step of its life, in the order of the tests."""

from __future__ import annotations

import pytest
from local_api import LocalApi
from role_runs import KEY, RoleRuns

pytestmark = pytest.mark.long

NAME = "demo-main"
PARTS = {
    ("security group", "demo-main-cache"),
    ("cache subnet group", NAME),
    ("cache parameter group", "demo-main-valkey8"),
    ("replication group", NAME),
}
TOKEN = "a-token-that-nobody-may-see"


@pytest.fixture(scope="module")
def run(aws: LocalApi, tmp_path_factory: pytest.TempPathFactory) -> RoleRuns:
    """The role, in a network and with a secret that other roles made."""
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"][
            "SubnetId"
        ]
        for n, zone in enumerate("ab")
    ]
    nodes = ec2.create_security_group(GroupName="demo-node", Description="Nodes", VpcId=vpc)["GroupId"]
    aws.client("secretsmanager").create_secret(
        Name="chromafleet/demo/cache", SecretString=f'{{"auth_token": "{TOKEN}"}}'
    )
    network = {
        "aws_network_vpc_id": vpc,
        "aws_network_private_subnet_ids": subnets,
        "aws_network_node_security_group_id": nodes,
    }
    variables = {
        "fleet_name": "demo",
        **network,
        "aws_cache_num_cache_clusters": 2,
        "aws_cache_maintenance_window": "Sun:05:00-Sun:06:00",
        "aws_cache_parameters": {"maxmemory-policy": "allkeys-lru", "timeout": 300},
    }
    return RoleRuns("aws_cache", "cache", aws, variables, tmp_path_factory.mktemp("cache"))


def everything(aws: LocalApi) -> list:
    """What ElastiCache and EC2 list of the cache, whatever its tags."""
    cache, ec2 = aws.client("elasticache"), aws.client("ec2")
    groups = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["*-cache"]}])["SecurityGroups"]
    return [
        *cache.describe_replication_groups()["ReplicationGroups"],
        *cache.describe_cache_clusters()["CacheClusters"],
        *cache.describe_cache_subnet_groups()["CacheSubnetGroups"],
        *cache.describe_cache_parameter_groups()["CacheParameterGroups"],
        *groups,
    ]


def test_a_plan_of_an_empty_account_writes_nothing(run: RoleRuns) -> None:
    done = run("--check")
    assert done.code == 0, done.output
    assert done.rows == {("create", *part) for part in PARTS}
    assert done.writes == []
    assert "GetSecretValue" not in [call["operation"] for call in done.calls]


def test_create(run: RoleRuns, aws: LocalApi) -> None:
    done = run()
    assert done.code == 0, done.output
    assert TOKEN not in done.output
    (group,) = aws.client("elasticache").describe_replication_groups()["ReplicationGroups"]
    assert (group["Engine"], group["MultiAZ"], group["AutomaticFailover"]) == ("valkey", "enabled", "enabled")
    assert len(group["MemberClusters"]) == 2
    assert group["TransitEncryptionEnabled"]
    assert (group["AtRestEncryptionEnabled"], group["KmsKeyId"]) == (True, KEY)
    assert group["AuthTokenEnabled"]
    parameters = aws.client("elasticache").describe_cache_parameters(
        CacheParameterGroupName="demo-main-valkey8", Source="user"
    )["Parameters"]
    assert {row["ParameterName"]: row["ParameterValue"] for row in parameters} == {
        "maxmemory-policy": "allkeys-lru",
        "timeout": "300",
    }


def test_everything_carries_the_fleet_and_the_cell(run: RoleRuns, aws: LocalApi) -> None:
    wanted = [{"Key": "chromafleet:fleet", "Values": ["demo"]}, {"Key": "chromafleet:cell", "Values": ["main"]}]
    found = aws.client("resourcegroupstaggingapi").get_resources(TagFilters=wanted)["ResourceTagMappingList"]
    kinds = sorted(row["ResourceARN"].split(":")[5].partition("/")[0] for row in found)
    assert kinds == ["parametergroup", "replicationgroup", "security-group", "subnetgroup"]


def test_again_changes_nothing(run: RoleRuns) -> None:
    done = run()
    assert (done.code, done.changed, done.writes) == (0, 0, []), done.output
    # The gather and nothing else; no secret is read either.
    assert len(done.calls) <= 12


@pytest.fixture
def drifted(aws: LocalApi) -> None:
    """What somebody changed by hand."""
    cache, ec2 = aws.client("elasticache"), aws.client("ec2")
    cache.modify_cache_parameter_group(
        CacheParameterGroupName="demo-main-valkey8",
        ParameterNameValues=[{"ParameterName": "maxmemory-policy", "ParameterValue": "noeviction"}],
    )
    subnets = cache.describe_cache_subnet_groups()["CacheSubnetGroups"][0]["ARN"]
    cache.remove_tags_from_resource(ResourceName=subnets, TagKeys=["chromafleet:fleet"])
    group = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["*-cache"]}])["SecurityGroups"][0]
    ec2.authorize_security_group_ingress(
        GroupId=group["GroupId"], IpProtocol="tcp", FromPort=6379, ToPort=6379, CidrIp="0.0.0.0/0"
    )


@pytest.mark.usefixtures("drifted")
def test_what_was_changed_by_hand_is_named_and_mended(run: RoleRuns) -> None:
    plan = run("--check")
    assert plan.rows == {("change", *part) for part in PARTS - {("replication group", NAME)}}
    assert plan.writes == []
    done = run()
    assert done.code == 0, done.output
    assert run("--check").counts == (0, 0, 0, 4)


def test_a_changed_variable_is_applied(run: RoleRuns, aws: LocalApi) -> None:
    smaller = {"aws_cache_num_cache_clusters": 1, "aws_cache_engine_version": "8.1"}
    done = run(**smaller)
    assert done.code == 0, done.output
    (group,) = aws.client("elasticache").describe_replication_groups()["ReplicationGroups"]
    assert (len(group["MemberClusters"]), group["MultiAZ"]) == (1, "disabled")
    assert run("--check", **smaller).counts == (0, 0, 0, 4)


def names(aws: LocalApi) -> list[str]:
    """The replication groups of the account."""
    groups = aws.client("elasticache").describe_replication_groups()["ReplicationGroups"]
    return [group["ReplicationGroupId"] for group in groups]


def test_turned_off_only_the_cells_own_cache_goes(run: RoleRuns, aws: LocalApi) -> None:
    second, before = {"fleet_cell": "second"}, len(everything(aws))
    assert run(**second).code == 0
    assert names(aws) == ["demo-main", "demo-second"]
    plan = run("--check", **second, aws_cache_enabled=False)
    assert plan.rows == {("destroy", kind, name.replace("main", "second")) for kind, name in PARTS}
    assert plan.writes == []
    done = run(**second, aws_cache_enabled=False, aws_cache_final_snapshot="last")
    assert done.code == 0, done.output
    snapshots = aws.client("elasticache").describe_snapshots()["Snapshots"]
    assert [snapshot["SnapshotName"] for snapshot in snapshots] == ["demo-second-last"]
    assert names(aws) == ["demo-main"]
    assert len(everything(aws)) == before


def test_destroy_leaves_nothing_but_what_others_own(run: RoleRuns, aws: LocalApi) -> None:
    aws.client("elasticache").create_replication_group(
        ReplicationGroupId="demo-main-2", ReplicationGroupDescription="Somebody's own"
    )
    # An interrupted one can be run again.
    aws.inject("elasticache", "DeleteCacheSubnetGroup", "InvalidParameterValue")
    assert run(entry="destroy").code == 2
    aws.heal()
    done = run(entry="destroy")
    assert done.code == 0, done.output
    assert [one.get("ReplicationGroupId") for one in everything(aws)] == ["demo-main-2"] * 2  # the group and its node
    again = run(entry="destroy")
    assert (again.code, again.changed, again.writes) == (0, 0, [])
