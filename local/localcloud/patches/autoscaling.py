"""EC2 Auto Scaling."""

from __future__ import annotations

from typing import Any

from moto.autoscaling import models, responses
from moto.core.responses import EmptyResult

from localcloud.patches import Client, _probe, restores


@restores("A group spreads its instances over all of its subnets")
def spread_over_subnets() -> None:
    stock = models.FakeAutoScalingGroup.replace_autoscaling_group_instances

    def replace(self: Any, count_needed: int, propagated_tags: dict[str, str]) -> None:
        every = self.vpc_zone_identifier
        subnets = every.split(",") if every else [None]
        for _ in range(count_needed):
            used = [state.instance.subnet_id for state in self.instance_states]
            self.vpc_zone_identifier = min(subnets, key=used.count)
            try:
                stock(self, 1, dict(propagated_tags))
            finally:
                self.vpc_zone_identifier = every

    models.FakeAutoScalingGroup.replace_autoscaling_group_instances = replace


@spread_over_subnets.shown_by
def _spread_over_subnets(client: Client) -> bool:
    return len({made["AvailabilityZone"] for made in _probe.group(client, 2)}) == 2


@restores("An instance that replaces another joins the group's target groups, and one that left is deregistered")
def follow_target_groups() -> None:
    stock_update = models.AutoScalingBackend.update_attached_target_groups
    stock_replace = models.FakeAutoScalingGroup.replace_autoscaling_group_instances

    def update(self: Any, group_name: str) -> None:
        stock_update(self, group_name)
        group = self.autoscaling_groups[group_name]
        members = {state.instance.id for state in group.instance_states}
        for arn in group.target_group_arns:
            target_group = self.elbv2_backend.target_groups[arn]
            left = [
                target for target in target_group.targets.values() if _left(self, group_name, target["Id"], members)
            ]
            target_group.deregister(left)

    def _left(backend: Any, group_name: str, target: str, members: set[str]) -> bool:
        instance = backend.ec2_backend.get_instance_by_id(target)
        if target in members or instance is None:
            return False
        return any(tag["key"] == models.ASG_NAME_TAG and tag["value"] == group_name for tag in instance.get_tags())

    def replace(self: Any, count_needed: int, propagated_tags: dict[str, str]) -> None:
        stock_replace(self, count_needed, propagated_tags)
        if self.name in self.autoscaling_backend.autoscaling_groups:
            self.autoscaling_backend.update_attached_target_groups(self.name)

    models.AutoScalingBackend.update_attached_target_groups = update
    models.FakeAutoScalingGroup.replace_autoscaling_group_instances = replace


@follow_target_groups.shown_by
def _follow_target_groups(client: Client) -> bool:
    target_group = _probe.target_group(client)
    old = _probe.group(client, 2, TargetGroupARNs=[target_group])
    client("ec2").terminate_instances(InstanceIds=[old[0]["InstanceId"]])
    client("autoscaling").set_desired_capacity(AutoScalingGroupName="probe", DesiredCapacity=1)
    health = client("elbv2").describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"]
    members = {made["InstanceId"] for made in _probe.instances(client)}
    serving = {target["Target"]["Id"] for target in health if target["TargetHealth"]["State"] != "draining"}
    return serving == members and len(members) == 1


@restores("DisableMetricsCollection exists")
def disable_metrics_collection() -> None:
    def disable(self: Any) -> EmptyResult:
        self.autoscaling_backend.autoscaling_groups[self._get_param("AutoScalingGroupName")].metrics = []
        return EmptyResult()

    responses.AutoScalingResponse.disable_metrics_collection = disable


@disable_metrics_collection.shown_by
def _disable_metrics_collection(client: Client) -> bool:
    _probe.group(client, 0)
    client("autoscaling").disable_metrics_collection(AutoScalingGroupName="probe")
    return True
