"""The small environment's life, with two cells; it is made with a deployer's rights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

import drifts
from lifecycle import Environment
from steps import Lifecycle, in_soak

CELLS = [{"name": "main", "tenants": []}, {"name": "acme", "tenants": ["acme", "acme-test"]}]


class TestStaging(Lifecycle):
    name = "staging"
    values: ClassVar[dict[str, Any]] = {"fleet_cells": CELLS}

    def creator(self, environment: Environment) -> AbstractContextManager[None]:
        return environment.as_deployer()

    def drift(self, environment: Environment) -> set[drifts.Drift]:
        hands = (
            drifts.open_a_security_group,
            drifts.tag_a_subnet,
            drifts.remove_a_listener_rule,
            drifts.suspend_versioning,
            drifts.delete_an_alarm,
            drifts.grow_a_group,
        )
        return {hand(environment) for hand in hands}

    def look_at_what_was_made(self, environment: Environment) -> None:
        for cell in CELLS:
            see_that_a_cell_has_everything_of_its_own(environment, cell["name"])
        see_that_the_path_says_which_cell(environment)
        see_that_no_cell_is_destroyed_by_leaving_it_out(environment)

    def besides(self, environment: Environment) -> AbstractContextManager[None]:
        return a_zone_is_left(environment)

    # The other environment goes through these each time.
    test_plan_of_what_was_made = in_soak(Lifecycle.test_plan_of_what_was_made)
    test_what_was_changed_by_hand_is_named = in_soak(Lifecycle.test_what_was_changed_by_hand_is_named)
    test_nothing_is_destroyed_by_a_slip = in_soak(Lifecycle.test_nothing_is_destroyed_by_a_slip)
    test_plan_of_the_end = in_soak(Lifecycle.test_plan_of_the_end)
    test_destroy_again = in_soak(Lifecycle.test_destroy_again)
    test_create_after_destroy_with_the_deployers_policy_only = in_soak(
        Lifecycle.test_create_after_destroy_with_the_deployers_policy_only
    )


@contextmanager
def a_zone_is_left(environment: Environment) -> Iterator[None]:
    """A cell gets a volume and a writer in another zone; an interrupted run goes on, the other cell is not touched."""
    before, others = volumes_of(environment, "main"), volumes_of(environment, "acme")
    named = ("-e", "cell=main", "-e", "confirm=staging")
    refused = environment.run("replace_volume", *named)
    assert "has no snapshot, so a new volume would begin empty" in " ".join(refused.output.split())
    with published_snapshot(environment, "main"):
        asked = environment.run("replace_volume", *named[:2])
        assert "so nothing was changed" in " ".join(asked.output.split())
        assert refused.writes == asked.writes == []
        for _ in range(2):
            run = environment.run("replace_volume", *named)
            assert run.code == 0, run.output[-3000:]
        assert run.writes == []
    yield
    (old,), (new,) = before["data"], volumes_of(environment, "main")["data"]
    assert [one["VolumeId"] for one in volumes_of(environment, "main")["replaced"]] == [old["VolumeId"]]
    assert new["AvailabilityZone"] != old["AvailabilityZone"]
    assert volumes_of(environment, "acme") == others


def volumes_of(environment: Environment, cell: str) -> dict[str, list[dict[str, Any]]]:
    """The volumes of a cell by their role."""
    mine = [{"Name": "tag:chromafleet:cell", "Values": [cell]}]
    found: dict[str, list[dict[str, Any]]] = {"data": [], "replaced": []}
    for volume in environment.client("ec2").describe_volumes(Filters=mine)["Volumes"]:
        role = {tag["Key"]: tag["Value"] for tag in volume["Tags"]}["chromafleet:role"]
        found.setdefault(role, []).append(volume)
    return found


@contextmanager
def published_snapshot(environment: Environment, cell: str) -> Iterator[None]:
    """As the writer publishes it; the playbook looks for its name only."""
    s3 = environment.client("s3")
    names = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    (bucket,) = [
        one for one in names if one.startswith("chromafleet-staging-") and not one.endswith(("-boot", "-logs"))
    ]
    key = f"{cell}/snapshots/20261128T150000Z.json"
    # Somebody may have suspended the versions: then it is one that is called null.
    version = s3.put_object(Bucket=bucket, Key=key, Body=b"{}").get("VersionId", "null")
    yield
    s3.delete_object(Bucket=bucket, Key=key, VersionId=version)


def see_that_a_cell_has_everything_of_its_own(environment: Environment, cell: str) -> None:
    """Each is a database of its own."""
    ec2, elb = environment.client("ec2"), environment.client("elbv2")
    mine = [{"Name": "tag:chromafleet:cell", "Values": [cell]}]
    data = [*mine, {"Name": "tag:chromafleet:role", "Values": ["data"]}]
    (volume,) = ec2.describe_volumes(Filters=data)["Volumes"]
    groups = environment.client("autoscaling").describe_auto_scaling_groups(Filters=mine)["AutoScalingGroups"]
    (writer,) = [group for group in groups if group["AutoScalingGroupName"] == f"staging-{cell}-writer"]
    assert [one["InstanceId"] for one in volume["Attachments"]] == [writer["Instances"][0]["InstanceId"]]
    (targets,) = [arn for arn in writer["TargetGroupARNs"] if f"staging-{cell}-writer" in arn]
    health = elb.describe_target_health(TargetGroupArn=targets)["TargetHealthDescriptions"]
    assert [row["Target"]["Id"] for row in health] == [writer["Instances"][0]["InstanceId"]]
    caches = environment.client("elasticache").describe_replication_groups(ReplicationGroupId=f"staging-{cell}")
    assert [cache["Status"] for cache in caches["ReplicationGroups"]] == ["available"]
    assert environment.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"staging-{cell}-")["MetricAlarms"]


def see_that_the_path_says_which_cell(environment: Environment) -> None:
    """What a tenant asks goes to its cell."""
    elb = environment.client("elbv2")
    (balancer,) = elb.describe_load_balancers(Names=["staging"])["LoadBalancers"]
    listeners = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    (https,) = [listener for listener in listeners if listener["Port"] == 443]
    rules = elb.describe_rules(ListenerArn=https["ListenerArn"])["Rules"]
    by_path = [
        (value, rule["Actions"][0]["TargetGroupArn"])
        for rule in rules
        for condition in rule["Conditions"]
        if condition["Field"] == "path-pattern"
        for value in condition["PathPatternConfig"]["Values"]
    ]
    for tenant in CELLS[1]["tenants"]:
        found = {arn for path, arn in by_path if path == f"/api/v2/tenants/{tenant}/*"}
        assert len(found) == 2
        assert all("staging-acme-" in arn for arn in found)


def see_that_no_cell_is_destroyed_by_leaving_it_out(environment: Environment) -> None:
    """A typo would do that, and its data are somebody's."""
    run = environment.run("plan", "-e", json.dumps({"fleet_cells": CELLS[:1]}))
    assert run.code == 0, run.output[-3000:]
    assert run.writes == []
    assert not {name for action, kind, name in run.rows if action == "destroy" and kind == "data volume"}
