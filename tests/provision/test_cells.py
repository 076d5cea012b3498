"""A fleet of two cells: each a database of its own, told apart by the tenant in the path."""

from __future__ import annotations

import json

import pytest
from lifecycle import Environment

CELLS = [{"name": "main", "tenants": []}, {"name": "acme", "tenants": ["acme", "acme-test"]}]
OPTIONS = ("-e", json.dumps({"fleet_cells": CELLS}))


class TestCells:
    """Each test goes on from where the one before it ended."""

    name = "staging"

    def test_create(self, environment: Environment) -> None:
        run = environment.run("provision", *OPTIONS)
        assert run.code == 0, run.output[-4000:]

    def test_create_again(self, environment: Environment) -> None:
        run = environment.run("provision", *OPTIONS)
        assert run.code == 0, run.output[-4000:]
        assert run.changed == 0
        assert run.writes == []

    @pytest.mark.parametrize("cell", [cell["name"] for cell in CELLS])
    def test_a_cell_has_everything_of_its_own(self, environment: Environment, cell: str) -> None:
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

    def test_a_cell_is_taken_away(self, environment: Environment) -> None:
        """Not by leaving it out, which a typo would do: its data are somebody's."""
        run = environment.run("plan")
        assert run.code == 0, run.output[-3000:]
        assert run.writes == []
        gone = {name for action, kind, name in run.rows if action == "destroy" and kind == "data volume"}
        assert gone == set()

    def test_destroy(self, environment: Environment) -> None:
        run = environment.run("destroy", "-e", f"fleet_destroy={self.name}")
        assert run.code == 0, run.output[-4000:]
        assert environment.what_is_left() == []
