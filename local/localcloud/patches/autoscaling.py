"""EC2 Auto Scaling."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from moto.autoscaling import models, responses
from moto.autoscaling.exceptions import ValidationError
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


@restores("A group keeps its default warm-up, capacity rebalancing, maintenance policy and maximum instance lifetime")
def group_settings() -> None:
    # Parameter -> the attribute, and the value that clears it.
    settings = {
        "DefaultInstanceWarmup": ("default_instance_warmup", -1),
        "MaxInstanceLifetime": ("max_instance_lifetime", 0),
        "InstanceMaintenancePolicy": (
            "instance_maintenance_policy",
            {"MinHealthyPercentage": -1, "MaxHealthyPercentage": -1},
        ),
        "CapacityRebalance": ("capacity_rebalance", None),
    }

    def keeping(stock: Any) -> Any:
        def call(self: Any) -> Any:
            answer, given = stock(self), self._get_params()
            group = self.autoscaling_backend.autoscaling_groups[given["AutoScalingGroupName"]]
            for parameter, (attribute, clear) in settings.items():
                if parameter in given:
                    setattr(group, attribute, None if given[parameter] == clear else given[parameter])
            return answer

        return call

    for operation in ("create_auto_scaling_group", "update_auto_scaling_group"):
        setattr(responses.AutoScalingResponse, operation, keeping(getattr(responses.AutoScalingResponse, operation)))


@group_settings.shown_by
def _group_settings(client: Client) -> bool:
    scaling = client("autoscaling")
    _probe.group(client, 0, DefaultInstanceWarmup=60, MaxInstanceLifetime=86400)
    scaling.update_auto_scaling_group(
        AutoScalingGroupName="probe",
        CapacityRebalance=True,
        MaxInstanceLifetime=0,
        InstanceMaintenancePolicy={"MinHealthyPercentage": 100, "MaxHealthyPercentage": 110},
    )
    (found,) = scaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    return (
        found["DefaultInstanceWarmup"] == 60
        and found["CapacityRebalance"] is True
        and "MaxInstanceLifetime" not in found
        and found["InstanceMaintenancePolicy"]["MaxHealthyPercentage"] == 110
    )


@restores(
    "UpdateAutoScalingGroup leaves the mixed instances policy alone unless it is given another or a launch template"
)
def mixed_instances_stay() -> None:
    stock = models.FakeAutoScalingGroup.update

    def update(self: Any, **given: Any) -> None:
        policy = self.mixed_instances_policy
        stock(self, **given)
        if not (given.get("mixed_instances_policy") or given["launch_template"] or given["launch_config_name"]):
            self.mixed_instances_policy = policy

    models.FakeAutoScalingGroup.update = update


def _mixed_group(client: Client, size: int) -> dict[str, Any]:
    specification = {"LaunchTemplateId": _probe.launch_template(client), "Version": "$Latest"}
    _, subnets = _probe.network(client)
    client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="probe",
        MixedInstancesPolicy={
            "LaunchTemplate": {
                "LaunchTemplateSpecification": specification,
                "Overrides": [{"InstanceType": "t3.micro"}, {"InstanceType": "t3.small"}],
            },
            "InstancesDistribution": {"OnDemandBaseCapacity": 0, "OnDemandPercentageAboveBaseCapacity": 50},
        },
        MinSize=0,
        MaxSize=9,
        DesiredCapacity=size,
        VPCZoneIdentifier=subnets[0],
    )
    return client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]


@mixed_instances_stay.shown_by
def _mixed_instances_stay(client: Client) -> bool:
    _mixed_group(client, 0)
    client("autoscaling").update_auto_scaling_group(AutoScalingGroupName="probe", MaxSize=5)
    return "MixedInstancesPolicy" in client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]


@restores("A group with a mixed instances policy starts as many instances as are desired")
def mixed_instances_count() -> None:
    stock = models.FakeAutoScalingGroup.set_desired_capacity

    def set_desired_capacity(self: Any, new_capacity: int | None) -> None:
        policy = self.mixed_instances_policy
        weighted = policy and any("WeightedCapacity" in one for one in policy["LaunchTemplate"].get("Overrides", []))
        self.mixed_instances_policy = policy if weighted else None
        try:
            stock(self, new_capacity)
        finally:
            self.mixed_instances_policy = policy

    models.FakeAutoScalingGroup.set_desired_capacity = set_desired_capacity


@mixed_instances_count.shown_by
def _mixed_instances_count(client: Client) -> bool:
    return len(_mixed_group(client, 3)["Instances"]) == 3


@restores("Policies, scheduled actions and lifecycle hooks belong to a group, have names of its own and go with it")
def owned_by_a_group() -> None:
    backend = models.AutoScalingBackend
    put_policy, put_action = backend.put_scaling_policy, backend.put_scheduled_update_group_action
    delete_group = backend.delete_auto_scaling_group

    def put_scaling_policy(self: Any, name: str, as_name: str, **more: Any) -> Any:
        others = {key: policy for key, policy in self.policies.items() if key != name}
        made = put_policy(self, name=name, as_name=as_name, **more)
        self.policies = {**others, f"{as_name}/{name}": made}
        return made

    def put_scheduled_update_group_action(self: Any, name: str, scheduled_action_name: str, **more: Any) -> Any:
        made = put_action(self, name=name, scheduled_action_name=scheduled_action_name, **more)
        self.scheduled_actions[f"{name}/{scheduled_action_name}"] = self.scheduled_actions.pop(scheduled_action_name)
        return made

    def delete_policy(self: Any) -> EmptyResult:
        key = f"{self._get_param('AutoScalingGroupName')}/{self._get_param('PolicyName')}"
        self.autoscaling_backend.policies.pop(key, None)
        return EmptyResult()

    def execute_policy(self: Any) -> EmptyResult:
        key = f"{self._get_param('AutoScalingGroupName')}/{self._get_param('PolicyName')}"
        self.autoscaling_backend.policies[key].execute()
        return EmptyResult()

    def delete_scheduled_action(self: Any, auto_scaling_group_name: str, scheduled_action_name: str) -> None:
        if self.scheduled_actions.pop(f"{auto_scaling_group_name}/{scheduled_action_name}", None) is None:
            raise ValidationError("Scheduled action name not found")

    def delete_auto_scaling_group(self: Any, group_name: str) -> None:
        delete_group(self, group_name)
        for owned in (self.policies, self.scheduled_actions, self.lifecycle_hooks):
            for key, one in list(owned.items()):
                if one.auto_scaling_group_name == group_name:
                    del owned[key]

    backend.put_scaling_policy = put_scaling_policy
    backend.put_scheduled_update_group_action = put_scheduled_update_group_action
    backend.delete_scheduled_action = delete_scheduled_action
    backend.delete_auto_scaling_group = delete_auto_scaling_group
    responses.AutoScalingResponse.delete_policy = delete_policy
    responses.AutoScalingResponse.execute_policy = execute_policy


@owned_by_a_group.shown_by
def _owned_by_a_group(client: Client) -> bool:
    scaling = client("autoscaling")
    template = _probe.launch_template(client)
    _, subnets = _probe.network(client)
    for name in ("one", "two"):
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchTemplate={"LaunchTemplateId": template, "Version": "$Latest"},
            MinSize=0,
            MaxSize=1,
            VPCZoneIdentifier=subnets[0],
        )
        scaling.put_scaling_policy(
            AutoScalingGroupName=name,
            PolicyName="p",
            PolicyType="TargetTrackingScaling",
            TargetTrackingConfiguration={
                "TargetValue": 70.0,
                "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
            },
        )
        scaling.put_scheduled_update_group_action(
            AutoScalingGroupName=name, ScheduledActionName="s", Recurrence="0 6 * * *", MinSize=1
        )
        scaling.put_lifecycle_hook(
            AutoScalingGroupName=name,
            LifecycleHookName="h",
            LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
        )
    scaling.delete_auto_scaling_group(AutoScalingGroupName="one", ForceDelete=True)
    left = [
        *scaling.describe_policies()["ScalingPolicies"],
        *scaling.describe_scheduled_actions()["ScheduledUpdateGroupActions"],
        *scaling.describe_lifecycle_hooks(AutoScalingGroupName="one")["LifecycleHooks"],
        *scaling.describe_lifecycle_hooks(AutoScalingGroupName="two")["LifecycleHooks"],
    ]
    return [row["AutoScalingGroupName"] for row in left] == ["two"] * 3


@restores("An instance that no lifecycle hook holds can't end one; here hooks hold none")
def no_lifecycle_action() -> None:
    def refuse(self: Any) -> None:
        raise ValidationError(f"No active Lifecycle Action found with instance ID {self._get_param('InstanceId')}")

    responses.AutoScalingResponse.complete_lifecycle_action = refuse
    responses.AutoScalingResponse.record_lifecycle_action_heartbeat = refuse


@no_lifecycle_action.shown_by
def _no_lifecycle_action(client: Client) -> bool:
    made = _probe.group(client, 1)[0]
    autoscaling, hook = client("autoscaling"), {"LifecycleHookName": "drain", "AutoScalingGroupName": "probe"}
    try:
        autoscaling.record_lifecycle_action_heartbeat(**hook, InstanceId=made["InstanceId"])
    except ClientError as error:
        return error.response["Error"]["Code"] == "ValidationError"
    return False
