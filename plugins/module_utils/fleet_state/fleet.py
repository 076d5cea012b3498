# SPDX-License-Identifier: Apache-2.0
"""The cells' instances: launch templates, auto-scaling groups with what scales them, and the volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import tag_dict
from ansible_collections.chromafleet.aws.plugins.module_utils.launch_templates import (
    specification,
    versions_like_latest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader

Found = dict[str, dict[str, Any]]

# What a launch template of ours may hold; anything else was added by somebody.
TEMPLATE_KEYS = {
    "BlockDeviceMappings",
    "IamInstanceProfile",
    "ImageId",
    "InstanceType",
    "MetadataOptions",
    "Monitoring",
    "SecurityGroupIds",
    "TagSpecifications",
    "UserData",
}
INSTANCE_STATES = ["pending", "running", "shutting-down", "stopping", "stopped"]
VOLUME_STATES = ["creating", "available", "in-use"]


def read(aws: Reader) -> dict[str, Found]:
    """`groups` and `launch_templates` by name, what belongs to a group by `group/name`, the rest by id."""
    groups = aws.pages("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", Filters=aws.filters)
    names = [group["AutoScalingGroupName"] for group in groups]
    return {
        "groups": {group["AutoScalingGroupName"]: _group(group) for group in groups},
        "hooks": dict(found for name in names for found in _hooks(aws, name)),
        "instances": dict(_instances(aws)),
        "launch_templates": dict(_launch_templates(aws)),
        "policies": dict(found for name in names for found in _policies(aws, name)),
        "schedule": dict(found for name in names for found in _schedule(aws, name)),
        "volumes": dict(_volumes(aws)),
    }


def _whose(tags: dict[str, str]) -> dict[str, Any]:
    return {"cell": tags.get("chromafleet:cell", ""), "role": tags.get("chromafleet:role", ""), "tags": tags}


def _group(group: dict[str, Any]) -> dict[str, Any]:
    policy = group.get("MixedInstancesPolicy")
    template = specification(group)
    return {
        **_whose(tag_dict(group["Tags"])),
        "arn": group["AutoScalingGroupARN"],
        "min": group["MinSize"],
        "max": group["MaxSize"],
        "desired": group["DesiredCapacity"],
        "subnets": group.get("VPCZoneIdentifier", "").split(","),
        "target_groups": group.get("TargetGroupARNs", []),
        "health_check": group["HealthCheckType"],
        "grace_period": group.get("HealthCheckGracePeriod", 0),
        "template": template.get("LaunchTemplateName", ""),
        "template_version": template.get("Version", ""),
        "mixed_instances": _mixed_instances(policy) if policy else {},
        "capacity_rebalance": group.get("CapacityRebalance", False),
        "instance_warmup": group.get("DefaultInstanceWarmup", ""),
        "maintenance": camel_dict_to_snake_dict(group.get("InstanceMaintenancePolicy") or {}),
        "max_instance_lifetime": group.get("MaxInstanceLifetime", 0),
        "warm_pool": _warm_pool(group.get("WarmPoolConfiguration") or {}),
        "metrics": [enabled["Metric"] for enabled in group.get("EnabledMetrics", [])],
        "suspended": [process["ProcessName"] for process in group.get("SuspendedProcesses", [])],
        "unpropagated_tags": [tag["Key"] for tag in group["Tags"] if not tag["PropagateAtLaunch"]],
        "instances": [
            {
                "id": instance["InstanceId"],
                "state": instance["LifecycleState"],
                "template_version": instance.get("LaunchTemplate", {}).get("Version", ""),
            }
            for instance in group.get("Instances", [])
        ],
    }


def _mixed_instances(policy: dict[str, Any]) -> dict[str, Any]:
    distribution = policy.get("InstancesDistribution", {})
    return {
        "instance_types": [override.get("InstanceType", "") for override in policy["LaunchTemplate"]["Overrides"]],
        "on_demand_allocation_strategy": distribution.get("OnDemandAllocationStrategy", ""),
        "on_demand_base_capacity": distribution.get("OnDemandBaseCapacity", 0),
        "on_demand_percentage_above_base_capacity": distribution.get("OnDemandPercentageAboveBaseCapacity", 100),
        "spot_allocation_strategy": distribution.get("SpotAllocationStrategy", ""),
    }


def _warm_pool(pool: dict[str, Any]) -> dict[str, Any]:
    if not pool or pool.get("Status") == "PendingDelete":
        return {}
    return {
        "min_size": pool.get("MinSize", 0),
        "max_prepared_capacity": pool.get("MaxGroupPreparedCapacity", ""),
        "pool_state": pool.get("PoolState", ""),
    }


def _hooks(aws: Reader, group: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for hook in aws.pages("autoscaling", "describe_lifecycle_hooks", "LifecycleHooks", AutoScalingGroupName=group):
        yield (
            f"{group}/{hook['LifecycleHookName']}",
            {
                "group": group,
                "hook": hook["LifecycleHookName"],
                "transition": hook["LifecycleTransition"],
                "heartbeat": hook["HeartbeatTimeout"],
                "default_result": hook["DefaultResult"],
            },
        )


def _policies(aws: Reader, group: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for policy in aws.pages("autoscaling", "describe_policies", "ScalingPolicies", AutoScalingGroupName=group):
        tracking = policy.get("TargetTrackingConfiguration", {})
        yield (
            f"{group}/{policy['PolicyName']}",
            {
                "group": group,
                "policy": policy["PolicyName"],
                "type": policy["PolicyType"],
                "metric": _metric(tracking),
                "target": f"{tracking.get('TargetValue', 0):g}",
                "scale_in": not tracking.get("DisableScaleIn", False),
            },
        )


def _metric(tracking: dict[str, Any]) -> dict[str, Any]:
    if predefined := tracking.get("PredefinedMetricSpecification"):
        label = predefined.get("ResourceLabel")
        return {"predefined": predefined["PredefinedMetricType"], **({"resource_label": label} if label else {})}
    if custom := tracking.get("CustomizedMetricSpecification"):
        return {
            "namespace": custom.get("Namespace", ""),
            "name": custom.get("MetricName", ""),
            "statistic": custom.get("Statistic", ""),
            "dimensions": {part["Name"]: part["Value"] for part in custom.get("Dimensions", [])},
        }
    return {}


def _schedule(aws: Reader, group: str) -> Iterator[tuple[str, dict[str, Any]]]:
    actions = aws.pages(
        "autoscaling", "describe_scheduled_actions", "ScheduledUpdateGroupActions", AutoScalingGroupName=group
    )
    for action in actions:
        yield (
            f"{group}/{action['ScheduledActionName']}",
            {
                "group": group,
                "action": action["ScheduledActionName"],
                "recurrence": action.get("Recurrence", ""),
                "time_zone": action.get("TimeZone", ""),
                "min": action.get("MinSize"),
                "max": action.get("MaxSize"),
                "desired": action.get("DesiredCapacity"),
            },
        )


def _launch_templates(aws: Reader) -> Iterator[tuple[str, dict[str, Any]]]:
    for template in aws.pages("ec2", "describe_launch_templates", "LaunchTemplates", Filters=aws.filters):
        versions = aws.pages(
            "ec2",
            "describe_launch_template_versions",
            "LaunchTemplateVersions",
            LaunchTemplateId=template["LaunchTemplateId"],
        )
        newest, alike = versions_like_latest(versions)
        yield (
            template["LaunchTemplateName"],
            {
                **_whose(tag_dict(template.get("Tags"))),
                **_launch_data(newest["LaunchTemplateData"]),
                "id": template["LaunchTemplateId"],
                "version": str(newest["VersionNumber"]),
                "same_versions": alike,
                "latest_is_default": template["DefaultVersionNumber"] == template["LatestVersionNumber"],
            },
        )


def _launch_data(data: dict[str, Any]) -> dict[str, Any]:
    tags = {spec["ResourceType"]: tag_dict(spec["Tags"]) for spec in data.get("TagSpecifications", [])}
    profile = data.get("IamInstanceProfile", {})
    metadata = camel_dict_to_snake_dict(data.get("MetadataOptions", {}))
    metadata.pop("state", None)  # says whether the options are applied yet, of an instance
    return {
        "image_id": data.get("ImageId", ""),
        "instance_type": data.get("InstanceType", ""),
        "instance_profile": profile.get("Arn") or profile.get("Name", ""),
        "security_groups": data.get("SecurityGroupIds", []),
        "block_devices": [camel_dict_to_snake_dict(device) for device in data.get("BlockDeviceMappings", [])],
        "detailed_monitoring": data.get("Monitoring", {}).get("Enabled", False),
        "metadata": metadata,
        "user_data": data.get("UserData", ""),
        "launch_tags": tags,
        "others": sorted(set(data) - TEMPLATE_KEYS),
    }


def _volumes(aws: Reader) -> Iterator[tuple[str, dict[str, Any]]]:
    filters = [*aws.filters, {"Name": "status", "Values": VOLUME_STATES}]
    for volume in aws.pages("ec2", "describe_volumes", "Volumes", Filters=filters):
        yield (
            volume["VolumeId"],
            {
                **_whose(tag_dict(volume.get("Tags"))),
                "id": volume["VolumeId"],
                "zone": volume["AvailabilityZone"],
                "type": volume["VolumeType"],
                "size": volume["Size"],
                "iops": volume.get("Iops", ""),
                "throughput": volume.get("Throughput", ""),
                "encrypted": volume["Encrypted"],
                "kms_key_arn": volume.get("KmsKeyId", ""),
                "instances": [attachment["InstanceId"] for attachment in volume.get("Attachments", [])],
            },
        )


def _instances(aws: Reader) -> Iterator[tuple[str, dict[str, Any]]]:
    filters = [*aws.filters, {"Name": "instance-state-name", "Values": INSTANCE_STATES}]
    for reservation in aws.pages("ec2", "describe_instances", "Reservations", Filters=filters):
        for instance in reservation["Instances"]:
            yield (
                instance["InstanceId"],
                {
                    **_whose(tag_dict(instance.get("Tags"))),
                    "id": instance["InstanceId"],
                    "state": instance["State"]["Name"],
                    "instance_type": instance["InstanceType"],
                },
            )
