"""EC2 Auto Scaling."""

from __future__ import annotations

from typing import Any

from moto.autoscaling import models, responses
from moto.core.responses import EmptyResult
from moto.ec2.models import instances
from moto.elbv2.models import elbv2_backends

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
    stock_replace = models.FakeAutoScalingGroup.replace_autoscaling_group_instances
    stock_detach = models.AutoScalingBackend.detach_instances

    def replace(self: Any, count_needed: int, propagated_tags: dict[str, str]) -> None:
        stock_replace(self, count_needed, propagated_tags)
        if self.name in self.autoscaling_backend.autoscaling_groups:
            self.autoscaling_backend.update_attached_target_groups(self.name)

    def detach(self: Any, group_name: str, instance_ids: list[str], should_decrement: bool) -> Any:
        for arn in self.autoscaling_groups[group_name].target_group_arns:
            target_group = self.elbv2_backend.target_groups[arn]
            leaving = [target for target in target_group.targets.values() if target["Id"] in instance_ids]
            target_group.deregister(leaving)
        return stock_detach(self, group_name, instance_ids, should_decrement)

    models.FakeAutoScalingGroup.replace_autoscaling_group_instances = replace
    models.AutoScalingBackend.detach_instances = detach


@follow_target_groups.shown_by
def _follow_target_groups(client: Client) -> bool:
    target_group = _probe.target_group(client)
    first, second = _probe.group(client, 2, TargetGroupARNs=[target_group])
    scaling = client("autoscaling")
    client("ec2").terminate_instances(InstanceIds=[first["InstanceId"]])
    scaling.terminate_instance_in_auto_scaling_group(
        InstanceId=second["InstanceId"], ShouldDecrementDesiredCapacity=False
    )
    health = client("elbv2").describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"]
    members = {made["InstanceId"] for made in _probe.instances(client)}
    serving = {target["Target"]["Id"] for target in health if target["TargetHealth"]["State"] != "draining"}
    return serving == members and len(members) == 2


@restores("A group that shrinks deregisters the instances that it terminates")
def deregister_on_scale_in() -> None:
    stock = instances.InstanceBackend.terminate_instances

    def terminate_instances(self: Any, instance_ids: list[str]) -> Any:
        terminated = stock(self, instance_ids)
        elbv2_backends[self.account_id][self.region_name].notify_terminate_instances(instance_ids)
        return terminated

    instances.InstanceBackend.terminate_instances = terminate_instances


@deregister_on_scale_in.shown_by
def _deregister_on_scale_in(client: Client) -> bool:
    target_group = _probe.target_group(client)
    _probe.group(client, 2, TargetGroupARNs=[target_group])
    client("autoscaling").set_desired_capacity(AutoScalingGroupName="probe", DesiredCapacity=1)
    health = client("elbv2").describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"]
    return [row["Target"]["Id"] for row in health] == [made["InstanceId"] for made in _probe.instances(client)]


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
