"""The small environment's life; when it is made once more, with two cells."""

from __future__ import annotations

import json

import drifts
import pytest
from lifecycle import Environment
from steps import Lifecycle

CELLS = [{"name": "main", "tenants": []}, {"name": "acme", "tenants": ["acme", "acme-test"]}]


class TestStaging(Lifecycle):
    name = "staging"
    again_arguments = ("-e", json.dumps({"fleet_cells": CELLS}))

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

    @pytest.mark.parametrize("cell", [cell["name"] for cell in CELLS])
    def test_a_cell_has_everything_of_its_own(self, environment: Environment, cell: str) -> None:
        """Each is a database of its own."""
        mine = [{"Name": "tag:chromafleet:cell", "Values": [cell]}]
        (volume,) = environment.client("ec2").describe_volumes(
            Filters=[*mine, {"Name": "tag:chromafleet:role", "Values": ["data"]}]
        )["Volumes"]
        groups = environment.client("autoscaling").describe_auto_scaling_groups(Filters=mine)["AutoScalingGroups"]
        (writer,) = [group for group in groups if group["AutoScalingGroupName"] == f"staging-{cell}-writer"]
        assert [one["InstanceId"] for one in volume["Attachments"]] == [writer["Instances"][0]["InstanceId"]]
        (targets,) = [arn for arn in writer["TargetGroupARNs"] if f"staging-{cell}-writer" in arn]
        health = environment.client("elbv2").describe_target_health(TargetGroupArn=targets)["TargetHealthDescriptions"]
        assert [row["Target"]["Id"] for row in health] == [writer["Instances"][0]["InstanceId"]]
        (cache,) = environment.client("elasticache").describe_replication_groups(ReplicationGroupId=f"staging-{cell}")[
            "ReplicationGroups"
        ]
        assert cache["Status"] == "available"
        alarms = environment.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"staging-{cell}-")["MetricAlarms"]
        assert alarms

    def test_the_path_says_which_cell(self, environment: Environment) -> None:
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

    def test_a_cell_is_not_destroyed_by_leaving_it_out(self, environment: Environment) -> None:
        """A typo would do that, and its data are somebody's."""
        run = environment.run("plan")
        assert run.code == 0, run.output[-3000:]
        assert run.writes == []
        gone = {name for action, kind, name in run.rows if action == "destroy" and kind == "data volume"}
        assert gone == set()

    @pytest.mark.long
    def test_destroy_of_both_cells(self, environment: Environment) -> None:
        run = environment.run("destroy", "-e", f"fleet_destroy={self.name}")
        assert run.code == 0, run.output[-4000:]
        assert environment.what_is_left() == []
