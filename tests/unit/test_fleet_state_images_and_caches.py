"""The readers of the layers `registry` and `cache`, on recorded answers."""

from __future__ import annotations

import json

import pytest
from ansible_collections.chromafleet.aws.plugins.module_utils.fleet_state import cache, registry

FLEET = {"Key": "chromafleet:fleet", "Value": "production"}
ECR = "arn:aws:ecr:eu-central-1:123456789012:repository/"
ELASTICACHE = "arn:aws:elasticache:eu-central-1:123456789012:"


class Recorded:
    """A reader that answers from a dictionary, and fails on a call that nobody expects."""

    fleet = "production"
    filters = ()

    def __init__(self, tagged, answers):
        self.tags, self.answers, self.called = tagged, answers, []

    def tagged(self, prefix):
        return [arn for arn in self.tags if f":{prefix}:" in arn]

    def pages(self, service, operation, key, **arguments):
        self.called.append(operation)
        return self.answers[operation]

    def call(self, service, operation, *, missing=(), **arguments):
        self.called.append(operation)
        answer = self.answers[operation]
        if isinstance(answer, str):  # an error's code
            assert answer in missing
            return None
        return answer


def repository(name, **more):
    arn = f"{ECR}{name}"
    return {"repositoryName": name, "repositoryArn": arn, "imageTagMutability": "IMMUTABLE", **more}


def read_registry(*repositories, tagged=(), **answers):
    told = {"get_lifecycle_policy": "LifecyclePolicyNotFoundException", "list_tags_for_resource": {"tags": []}}
    return registry.read(Recorded(tagged, {"describe_repositories": repositories, **told, **answers}))["repositories"]


def test_a_repository_in_the_roles_words():
    policy = {"rules": [{"rulePriority": 1}]}
    found = read_registry(
        repository(
            "chromafleet/production/chroma",
            imageScanningConfiguration={"scanOnPush": True},
            encryptionConfiguration={"encryptionType": "KMS", "kmsKey": "arn:aws:kms:x"},
        ),
        get_lifecycle_policy={"lifecyclePolicyText": json.dumps(policy)},
        list_tags_for_resource={"tags": [FLEET]},
    )
    assert found == {
        "chromafleet/production/chroma": {
            "arn": f"{ECR}chromafleet/production/chroma",
            "scan_on_push": True,
            "image_tag_mutability": "immutable",
            "kms_key_arn": "arn:aws:kms:x",
            "lifecycle_policy": policy,
            "tags": {"chromafleet:fleet": "production"},
        }
    }


def test_a_repository_without_policy_tags_and_key():
    (found,) = read_registry(
        repository("chromafleet/production/chroma", encryptionConfiguration={"encryptionType": "AES256"})
    ).values()
    assert (found["lifecycle_policy"], found["tags"], found["kms_key_arn"]) == ({}, {}, "")
    assert not found["scan_on_push"]


def test_whose_repository_it_is():
    """By its tag or by its name: neither somebody's own, nor one of a fleet whose name begins alike."""
    names = ["chromafleet/production/a", "elsewhere/b", "elsewhere/c", "chromafleet/production-2/d"]
    found = read_registry(*map(repository, names), tagged=[f"{ECR}elsewhere/b"])
    assert list(found) == ["chromafleet/production/a", "elsewhere/b"]


def test_a_repository_that_goes_meanwhile():
    (found,) = read_registry(
        repository("chromafleet/production/chroma"),
        get_lifecycle_policy="RepositoryNotFoundException",
        list_tags_for_resource="RepositoryNotFoundException",
    ).values()
    assert found["tags"] == {}


GROUP = {
    "ReplicationGroupId": "production-main",
    "ARN": f"{ELASTICACHE}replicationgroup:production-main",
    "Description": "Query cache of production-main",
    "Status": "available",
    "Engine": "valkey",
    "CacheNodeType": "cache.t4g.small",
    "AutomaticFailover": "enabled",
    "MultiAZ": "enabled",
    "TransitEncryptionEnabled": True,
    "AtRestEncryptionEnabled": True,
    "MemberClusters": ["production-main-001", "production-main-002"],
    "NodeGroups": [{"PrimaryEndpoint": {"Address": "master.production-main", "Port": 6379}}],
}
NODE = {
    "ReplicationGroupId": "production-main",
    "EngineVersion": "8.0.1",
    "CacheSubnetGroupName": "production-main",
    "SecurityGroups": [{"SecurityGroupId": "sg-1"}],
    "CacheParameterGroup": {"CacheParameterGroupName": "production-main-valkey8"},
    "PreferredMaintenanceWindow": "sun:05:00-sun:06:00",
}
SUBNETS = {
    "CacheSubnetGroupName": "production-main",
    "ARN": f"{ELASTICACHE}subnetgroup:production-main",
    "Subnets": [{"SubnetIdentifier": "subnet-1"}, {"SubnetIdentifier": "subnet-2"}],
}
PARAMETERS = {
    "CacheParameterGroupName": "production-main-valkey8",
    "CacheParameterGroupFamily": "valkey8",
    "ARN": f"{ELASTICACHE}parametergroup:production-main-valkey8",
}
SECURITY_GROUP = {
    "GroupName": "production-main-cache",
    "GroupId": "sg-1",
    "VpcId": "vpc-1",
    "Tags": [FLEET],
    "IpPermissions": [
        {
            "IpProtocol": "tcp",
            "FromPort": 6379,
            "ToPort": 6379,
            "UserIdGroupPairs": [{"GroupId": "sg-2", "Description": "Nodes"}],
            "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
        }
    ],
    "IpPermissionsEgress": [{"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}],
}
ANSWERS = {
    "describe_replication_groups": [GROUP],
    "describe_cache_clusters": [{"CacheClusterId": "somebody-s-memcached"}, NODE],
    "describe_cache_subnet_groups": [SUBNETS],
    "describe_cache_parameter_groups": [PARAMETERS],
    "describe_cache_parameters": [{"ParameterName": "maxmemory-policy", "ParameterValue": "allkeys-lru"}],
    "describe_security_groups": [SECURITY_GROUP],
    "list_tags_for_resource": {"TagList": [FLEET]},
}
TAGGED = [GROUP["ARN"], SUBNETS["ARN"], PARAMETERS["ARN"]]


def read_cache(tagged=TAGGED, **answers):
    return cache.read(Recorded(tagged, ANSWERS | answers))


def test_a_cache_in_the_roles_words():
    found = read_cache()
    tags = {"chromafleet:fleet": "production"}
    assert found["replication_groups"] == {
        "production-main": {
            "description": "Query cache of production-main",
            "engine": "valkey",
            "engine_version": "8.0",
            "node_type": "cache.t4g.small",
            "num_cache_clusters": 2,
            "automatic_failover": True,
            "multi_az": True,
            "port": 6379,
            "subnet_group": "production-main",
            "security_group_ids": ["sg-1"],
            "parameter_group": "production-main-valkey8",
            "transit_encryption": True,
            "at_rest_encryption": True,
            "kms_key_id": "",
            "maintenance_window": "sun:05:00-sun:06:00",
            "snapshot_retention": 0,
            "arn": GROUP["ARN"],
            "status": "available",
            "usable": True,
            "endpoint": {"address": "master.production-main", "port": 6379},
            "tags": tags,
        }
    }
    assert found["subnet_groups"] == {
        "production-main": {"arn": SUBNETS["ARN"], "subnets": ["subnet-1", "subnet-2"], "tags": tags}
    }
    assert found["parameter_groups"] == {
        "production-main-valkey8": {
            "arn": PARAMETERS["ARN"],
            "family": "valkey8",
            "parameters": {"maxmemory-policy": "allkeys-lru"},
            "tags": tags,
        }
    }


def test_every_rule_of_the_security_group_is_seen():
    group = read_cache()["security_groups"]["production-main-cache"]
    port = {"proto": "tcp", "from_port": 6379, "to_port": 6379}
    assert group["rules"] == [
        {**port, "cidr_ip": "0.0.0.0/0"},
        {**port, "group_id": "sg-2", "rule_desc": "Nodes"},
    ]
    assert group["rules_egress"] == [{"proto": "-1", "cidr_ipv6": "::/0"}]


@pytest.mark.parametrize("left", TAGGED)
def test_a_part_that_lost_its_tag_is_still_the_caches(left):
    found = read_cache(tagged=[left])
    assert [list(found[kind]) for kind in ("replication_groups", "subnet_groups", "parameter_groups")] == [
        ["production-main"],
        ["production-main"],
        ["production-main-valkey8"],
    ]


def test_the_caches_of_others():
    other = {**GROUP, "ReplicationGroupId": "production-main-2"}
    found = read_cache(describe_replication_groups=[GROUP, other])
    assert list(found["replication_groups"]) == ["production-main"]


@pytest.mark.parametrize("status", ["creating", "create-failed", "deleting"])
def test_a_group_that_serves_nobody(status):
    """AWS tells neither tags nor endpoint nor nodes of it."""
    group = {**GROUP, "Status": status, "NodeGroups": [], "MemberClusters": []}
    found = read_cache(
        describe_replication_groups=[group],
        describe_cache_clusters=[],
        list_tags_for_resource="InvalidReplicationGroupState",
    )["replication_groups"]["production-main"]
    assert (found["status"], found["usable"], found["tags"]) == (status, False, {})
    assert found["endpoint"] == {"address": "", "port": 0}
    assert "port" not in found


@pytest.mark.parametrize("status", ["modifying", "snapshotting"])
def test_a_group_that_serves_while_aws_changes_it(status):
    found = read_cache(describe_replication_groups=[{**GROUP, "Status": status}])
    assert found["replication_groups"]["production-main"]["usable"]


def test_a_fleet_without_caches_costs_one_call():
    reader = Recorded([], {"describe_security_groups": []})
    assert [*cache.read(reader).values()] == [{}, {}, {}, {}]
    assert reader.called == ["describe_security_groups"]
