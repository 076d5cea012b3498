"""The module `elasticache_replication_group`, run in this process against moto and against recorded answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from module_runs import REGION

TOKEN = "a-token-that-nobody-may-see"
NEW = {
    "name": "production-main",
    "engine_version": "8.0",
    "node_type": "cache.t4g.small",
    "num_cache_clusters": 1,
    "transit_encryption": True,
    "at_rest_encryption": True,
    "auth_token": TOKEN,
    "tags": {"chromafleet:fleet": "production"},
}


@pytest.fixture
def run(run_module):
    """Run the module with some arguments and return its result, which must not tell the token."""

    def call(**arguments):
        result = run_module("elasticache_replication_group", **arguments)
        assert TOKEN not in json.dumps(result)
        return result

    return call


@pytest.fixture
def account(empty_account):
    """An empty account."""
    return empty_account("elasticache")


def names(client):
    """The replication groups of the account that aren't being deleted."""
    groups = client.describe_replication_groups()["ReplicationGroups"]
    return [group["ReplicationGroupId"] for group in groups if group["Status"] != "deleting"]


def test_creates_once(run, account):
    first = run(**NEW)
    assert first["changed"]
    group = first["replication_group"]
    assert (group["replication_group_id"], group["engine"], group["cache_node_type"]) == (
        "production-main",
        "valkey",
        "cache.t4g.small",
    )
    assert group["transit_encryption_enabled"]
    assert group["at_rest_encryption_enabled"]
    assert group["auth_token_enabled"]
    assert group["tags"] == {"chromafleet:fleet": "production"}
    assert group["node_groups"][0]["primary_endpoint"]["port"] == 6379
    second = run(**NEW)
    assert not second["changed"]
    assert second["replication_group"]["arn"] == group["arn"]
    assert second["diff"] == {"before": {}, "after": {}}


def test_check_mode_creates_nothing(run, account):
    result = run(check=True, **NEW)
    assert result["changed"]
    assert result["diff"]["after"]["node_type"] == "cache.t4g.small"
    assert "auth_token" not in result["diff"]["after"]
    assert result["replication_group"] == {}
    assert names(account) == []


def test_modifies_and_says_what(run, account):
    run(**NEW)
    wanted = {**NEW, "node_type": "cache.m7g.large", "snapshot_retention": 3}
    for check in (True, False):
        result = run(check=check, **wanted)
        assert result["changed"]
        assert result["diff"] == {
            "before": {"node_type": "cache.t4g.small", "snapshot_retention": 0},
            "after": {"node_type": "cache.m7g.large", "snapshot_retention": 3},
        }
    assert result["replication_group"]["cache_node_type"] == "cache.m7g.large"
    assert not run(**wanted)["changed"]


def test_option_that_is_not_given_stays(run, account):
    run(**NEW, snapshot_retention=5)
    assert not run(name=NEW["name"])["changed"]
    assert account.describe_replication_groups()["ReplicationGroups"][0]["SnapshotRetentionLimit"] == 5


@pytest.mark.parametrize(
    ("purge", "expected"),
    [(True, {"team": "search"}), (False, {"chromafleet:fleet": "production", "team": "search"})],
)
def test_tags(run, account, purge, expected):
    run(**NEW)
    wanted = {**NEW, "tags": {"team": "search"}, "purge_tags": purge}
    assert run(check=True, **wanted)["changed"]
    result = run(**wanted)
    assert result["changed"]
    assert result["replication_group"]["tags"] == expected
    assert result["diff"]["after"]["tags"] == expected
    assert not run(**wanted)["changed"]


def test_fixed_properties_are_refused_before_anything_is_changed(run, account):
    run(**NEW)
    result = run(**{**NEW, "transit_encryption": False, "node_type": "cache.m7g.large"})
    assert result["failed"]
    assert result["msg"] == (
        "transit_encryption of the replication group production-main is True and can't become False: AWS fixes it when "
        "the group is created. Keep the old value, or delete the group first."
    )
    assert account.describe_replication_groups()["ReplicationGroups"][0]["CacheNodeType"] == "cache.t4g.small"


def test_valkey_never_becomes_redis(run, account):
    run(**NEW)
    assert "can't become 'redis'" in run(**{**NEW, "engine": "redis"})["msg"]


@pytest.mark.parametrize("name", ["Production", "x" * 41, "1st", "a--b", "a-"])
def test_bad_names(run, account, name):
    result = run(**{**NEW, "name": name})
    assert result["failed"]
    assert f"has {len(name)} characters" in result["msg"]


def test_node_type_is_needed_for_a_new_group(run, account):
    assert run(name="production-main")["msg"] == (
        "node_type is required, since there is no replication group production-main yet."
    )


def test_deletes_once(run, account):
    run(**NEW)
    arguments = {"name": NEW["name"], "state": "absent", "wait": False}
    assert run(check=True, **arguments)["changed"]
    assert names(account) == [NEW["name"]]
    assert run(**arguments)["changed"]
    assert names(account) == []
    # Being deleted already.
    assert not run(**arguments)["changed"]


def test_absent_stays_absent(run, account):
    assert run(name="production-main", state="absent") == {
        "changed": False,
        "replication_group": {},
        "invocation": run(name="production-main", state="absent")["invocation"],
    }


# --- What moto doesn't do (members with versions and groups of their own, replicas): recorded answers ----------------


def answer(status="available", nodes=1, failover="disabled"):
    """What DescribeReplicationGroups tells."""
    group = {
        "ReplicationGroupId": "production-main",
        "ARN": f"arn:aws:elasticache:{REGION}:123456789012:replicationgroup:production-main",
        "Description": "Cache",
        "Status": status,
        "Engine": "valkey",
        "CacheNodeType": "cache.t4g.small",
        "AutomaticFailover": failover,
        "MultiAZ": "disabled",
        "TransitEncryptionEnabled": True,
        "AtRestEncryptionEnabled": True,
        "SnapshotRetentionLimit": 0,
        "MemberClusters": [f"production-main-{n:03d}" for n in range(1, nodes + 1)],
        "KmsKeyId": f"arn:aws:kms:{REGION}:123456789012:key/1234",
        "NodeGroups": [{"PrimaryEndpoint": {"Address": "master.production-main", "Port": 6379}}],
    }
    return {"ReplicationGroups": [group]}


MEMBER = {
    "CacheClusters": [
        {
            "CacheClusterId": "production-main-001",
            "Engine": "valkey",
            "EngineVersion": "8.0.1",
            "CacheSubnetGroupName": "production-main",
            "SecurityGroups": [{"SecurityGroupId": "sg-2", "Status": "active"}, {"SecurityGroupId": "sg-1"}],
            "CacheParameterGroup": {"CacheParameterGroupName": "default.valkey8"},
            "PreferredMaintenanceWindow": "sun:05:00-sun:06:00",
        }
    ]
}


@pytest.fixture
def recorded(record):
    """An account that gives recorded answers."""
    stub = record("elasticache")

    def described(**more):
        stub.add_response("describe_replication_groups", answer(**more))
        if more.get("status", "available") == "available":  # of others, AWS tells no tags
            stub.add_response("list_tags_for_resource", {"TagList": []})
        stub.add_response("describe_cache_clusters", MEMBER, {"CacheClusterId": "production-main-001"})

    stub.described = described
    stub.waited = lambda **more: stub.add_response("describe_replication_groups", answer(**more))
    return stub


@pytest.mark.parametrize(
    "arguments",
    [
        {"engine_version": "8.0"},
        {"engine_version": "8"},
        {"engine_version": "8.0.1"},
        {"security_group_ids": ["sg-1", "sg-2"]},
        {"subnet_group": "production-main"},
        {"maintenance_window": "Sun:05:00-Sun:06:00"},
        {"parameter_group": "default.valkey8"},
        {"kms_key_id": "1234"},
        {"kms_key_id": "alias/cache"},
        {"num_cache_clusters": 1},
        {"auth_token": TOKEN},
    ],
)
def test_what_is_there_already(run, recorded, arguments):
    recorded.described()
    assert not run(name="production-main", **arguments)["changed"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"engine_version": "7.2"},
            "engine_version of the replication group production-main is '8.0.1' and can't",
        ),
        (
            {"subnet_group": "other"},
            "subnet_group of the replication group production-main is 'production-main'",
        ),
        ({"port": 7000}, "port of the replication group production-main is 6379 and can't become 7000"),
        ({"kms_key_id": "5678"}, "kms_key_id of the replication group production-main is"),
    ],
)
def test_what_cannot_be_changed(run, recorded, arguments, sentence):
    recorded.described()
    result = run(name="production-main", **arguments)
    assert result["failed"]
    assert result["msg"].startswith(sentence)


def described_since(recorded, changed):
    """The group as it is, its token changed at that time (UTC, noon being 12)."""
    group = answer()
    group["ReplicationGroups"][0]["AuthTokenLastModifiedDate"] = datetime(2026, 1, 31, changed, tzinfo=UTC)
    recorded.add_response("describe_replication_groups", group)
    recorded.add_response("list_tags_for_resource", {"TagList": []})
    recorded.add_response("describe_cache_clusters", MEMBER, {"CacheClusterId": "production-main-001"})


@pytest.mark.parametrize("update", ["rotate", "set"])
def test_token_is_updated_once(run, recorded, update):
    arguments = {"auth_token": TOKEN, "auth_token_update": update, "auth_token_since": "2026-01-31T12:00:00Z"}
    described_since(recorded, 11)
    assert run(check=True, name="production-main", **arguments)["changed"]
    described_since(recorded, 11)
    recorded.waited()
    recorded.add_response(
        "modify_replication_group",
        {},
        {
            "ReplicationGroupId": "production-main",
            "ApplyImmediately": True,
            "AuthToken": TOKEN,
            "AuthTokenUpdateStrategy": update.upper(),
        },
    )
    recorded.waited(status="modifying")
    recorded.waited()
    described_since(recorded, 13)
    result = run(name="production-main", **arguments)
    assert result["changed"]
    assert result["diff"] == {"before": {}, "after": {"auth_token_update": update}}
    described_since(recorded, 13)
    assert not run(name="production-main", **arguments)["changed"]


def test_token_is_updated_after_other_changes(run, recorded):
    recorded.described()
    recorded.add_response(
        "modify_replication_group",
        {},
        {"ReplicationGroupId": "production-main", "ApplyImmediately": True, "SnapshotRetentionLimit": 1},
    )
    recorded.waited(status="modifying")
    recorded.waited()
    recorded.add_response(
        "modify_replication_group",
        {},
        {
            "ReplicationGroupId": "production-main",
            "ApplyImmediately": True,
            "AuthToken": TOKEN,
            "AuthTokenUpdateStrategy": "ROTATE",
        },
    )
    recorded.waited()
    recorded.described()
    assert run(name="production-main", snapshot_retention=1, auth_token=TOKEN, auth_token_update="rotate")["changed"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"auth_token_update": "set"}, "missing parameter(s) required by 'auth_token_update': auth_token"),
        (
            {"auth_token": TOKEN, "auth_token_since": "2026-01-31T12:00:00Z"},
            "missing parameter(s) required by 'auth_token_since': auth_token_update",
        ),
        (
            {"auth_token": TOKEN, "auth_token_update": "set", "auth_token_since": "noon"},
            "auth_token_since is 'noon', but must be a time in UTC such as 2026-01-31T12:00:00Z.",
        ),
    ],
)
def test_how_a_token_is_not_updated(run, recorded, arguments, sentence):
    assert run(name="production-main", **arguments)["msg"] == sentence


def test_changes_of_the_members(run, recorded):
    recorded.described()
    recorded.add_response(
        "modify_replication_group",
        {},
        {
            "ReplicationGroupId": "production-main",
            "ApplyImmediately": True,
            "EngineVersion": "8.1",
            "SecurityGroupIds": ["sg-3"],
            "CacheParameterGroupName": "mine",
            "PreferredMaintenanceWindow": "mon:01:00-mon:02:00",
        },
    )
    recorded.waited(status="modifying")
    recorded.waited()
    recorded.described()
    result = run(
        name="production-main",
        engine_version="8.1",
        security_group_ids=["sg-3"],
        parameter_group="mine",
        maintenance_window="mon:01:00-mon:02:00",
    )
    assert result["changed"]
    assert result["diff"]["before"]["security_group_ids"] == ["sg-1", "sg-2"]


def test_replicas_come_before_failover(run, recorded):
    recorded.described()
    recorded.add_response(
        "increase_replica_count",
        {},
        {"ReplicationGroupId": "production-main", "NewReplicaCount": 2, "ApplyImmediately": True},
    )
    recorded.waited(nodes=3)
    recorded.add_response(
        "modify_replication_group",
        {},
        {"ReplicationGroupId": "production-main", "ApplyImmediately": True, "AutomaticFailoverEnabled": True},
    )
    recorded.waited(nodes=3)
    recorded.described(nodes=3, failover="enabled")
    result = run(name="production-main", num_cache_clusters=3, automatic_failover=True)
    assert result["diff"]["after"] == {"automatic_failover": True, "num_cache_clusters": 3}
    assert len(result["replication_group"]["member_clusters"]) == 3


def test_replicas_go_after_failover(run, recorded):
    recorded.described(nodes=2, failover="enabled")
    recorded.add_response(
        "modify_replication_group",
        {},
        {"ReplicationGroupId": "production-main", "ApplyImmediately": True, "AutomaticFailoverEnabled": False},
    )
    recorded.waited(nodes=2)
    recorded.add_response(
        "decrease_replica_count",
        {},
        {"ReplicationGroupId": "production-main", "NewReplicaCount": 0, "ApplyImmediately": True},
    )
    recorded.waited()
    recorded.waited()
    recorded.described()
    assert run(name="production-main", num_cache_clusters=1, automatic_failover=False)["changed"]


def test_waits_for_a_group_that_is_being_made(run, recorded):
    """A run that was killed while it waited."""
    recorded.described(status="creating")
    recorded.waited(status="creating")
    recorded.waited()
    recorded.described()
    result = run(name="production-main", node_type="cache.t4g.small")
    assert not result["changed"]
    assert result["replication_group"]["status"] == "available"


def test_tags_of_a_group_that_is_being_made_are_no_difference(run, recorded):
    recorded.described(status="creating")
    assert not run(check=True, name="production-main", tags={"team": "search"})["changed"]


def test_tags_come_before_the_change_that_makes_a_group_unavailable(run, recorded):
    recorded.described()
    recorded.add_response("add_tags_to_resource", {})
    recorded.add_response("modify_replication_group", {})
    recorded.described(status="modifying")
    arguments = {"node_type": "cache.m7g.large", "tags": {"team": "search"}, "wait": False}
    assert run(name="production-main", **arguments)["replication_group"]["status"] == "modifying"


def test_waiting_ends_with_a_sentence(run, recorded):
    recorded.described(status="creating")
    for _ in range(2):
        recorded.waited(status="creating")
    result = run(name="production-main", wait_timeout=30)
    assert result["failed"]
    assert result["msg"].startswith("The replication group production-main did not become available within 30 seconds")


def test_deletes_with_a_last_snapshot_and_waits(run, recorded):
    recorded.described()
    recorded.add_response(
        "delete_replication_group",
        {},
        {"ReplicationGroupId": "production-main", "RetainPrimaryCluster": False, "FinalSnapshotIdentifier": "last"},
    )
    recorded.waited(status="deleting")
    recorded.add_client_error("describe_replication_groups", "ReplicationGroupNotFoundFault")
    assert run(name="production-main", state="absent", final_snapshot="last")["changed"]


def test_refused_call(run, recorded):
    recorded.add_client_error("describe_replication_groups", "AccessDenied", "not you")
    result = run(name="production-main")
    assert result["failed"]
    assert "Failed to manage the replication group production-main" in result["msg"]
    assert "not you" in result["msg"]
