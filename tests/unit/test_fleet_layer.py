"""The layer fleet of `fleet_info`, from answers as AWS gives them."""

from __future__ import annotations

import pytest
from ansible_collections.chromafleet.aws.plugins.module_utils.fleet_state import fleet

TAGS = [
    {"Key": "chromafleet:fleet", "Value": "demo", "PropagateAtLaunch": True},
    {"Key": "chromafleet:cell", "Value": "main", "PropagateAtLaunch": True},
    {"Key": "chromafleet:role", "Value": "reader", "PropagateAtLaunch": False},
    {"Key": "aws:cloudformation:stack-name", "Value": "s", "PropagateAtLaunch": True},
]
PLAIN = [{"Key": tag["Key"], "Value": tag["Value"]} for tag in TAGS]
GROUP = {
    "AutoScalingGroupName": "demo-main-reader",
    "AutoScalingGroupARN": "arn:group",
    "MinSize": 1,
    "MaxSize": 4,
    "DesiredCapacity": 2,
    "VPCZoneIdentifier": "subnet-b,subnet-a",
    "TargetGroupARNs": ["arn:reader"],
    "HealthCheckType": "ELB",
    "HealthCheckGracePeriod": 1800,
    "LaunchTemplate": {"LaunchTemplateId": "lt-1", "LaunchTemplateName": "demo-main-reader", "Version": "$Latest"},
    "Instances": [
        {
            "InstanceId": "i-1",
            "LifecycleState": "InService",
            "LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "1"},
        }
    ],
    "Tags": TAGS,
}
MIXED = {
    "LaunchTemplate": {
        "LaunchTemplateSpecification": GROUP["LaunchTemplate"],
        "Overrides": [{"InstanceType": "m7i.large"}, {"InstanceType": "r7i.large"}],
    },
    "InstancesDistribution": {
        "OnDemandAllocationStrategy": "lowest-price",
        "OnDemandBaseCapacity": 1,
        "OnDemandPercentageAboveBaseCapacity": 50,
        "SpotAllocationStrategy": "price-capacity-optimized",
    },
}
HOOK = {
    "LifecycleHookName": "drain",
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
    "HeartbeatTimeout": 120,
    "DefaultResult": "CONTINUE",
}
CPU = {
    "PolicyName": "cpu",
    "PolicyType": "TargetTrackingScaling",
    "TargetTrackingConfiguration": {
        "TargetValue": 70.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
    },
}
MEMORY = {
    "PolicyName": "memory",
    "PolicyType": "TargetTrackingScaling",
    "TargetTrackingConfiguration": {
        "TargetValue": 79.5,
        "DisableScaleIn": True,
        "CustomizedMetricSpecification": {
            "MetricName": "mem_used_percent",
            "Namespace": "ChromaFleet",
            "Statistic": "Average",
            "Dimensions": [{"Name": "Role", "Value": "reader"}],
        },
    },
}
DATA = {
    "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "Encrypted": True}}],
    "IamInstanceProfile": {"Arn": "arn:profile"},
    "ImageId": "ami-1",
    "InstanceType": "m7i.large",
    "KeyName": "somebody",
    "MetadataOptions": {"State": "applied", "HttpTokens": "required", "HttpPutResponseHopLimit": 2},
    "Monitoring": {"Enabled": True},
    "SecurityGroupIds": ["sg-1"],
    "TagSpecifications": [{"ResourceType": "instance", "Tags": PLAIN}],
}
VOLUME = {
    "VolumeId": "vol-1",
    "AvailabilityZone": "us-east-1a",
    "VolumeType": "gp3",
    "Size": 20,
    "Iops": 3000,
    "Throughput": 125,
    "Encrypted": True,
    "KmsKeyId": "arn:key",
    "Attachments": [{"InstanceId": "i-1", "State": "attached"}],
    "Tags": PLAIN,
}
ACCOUNT = {
    "describe_auto_scaling_groups": [GROUP],
    "describe_lifecycle_hooks": [HOOK],
    "describe_policies": [CPU, MEMORY, {"PolicyName": "by-hand", "PolicyType": "SimpleScaling"}],
    "describe_scheduled_actions": [{"ScheduledActionName": "night", "Recurrence": "0 1 * * *", "MaxSize": 9}],
    "describe_launch_templates": [
        {
            "LaunchTemplateName": "demo-main-reader",
            "LaunchTemplateId": "lt-1",
            "DefaultVersionNumber": 1,
            "LatestVersionNumber": 2,
            "Tags": PLAIN,
        }
    ],
    "describe_launch_template_versions": [
        {"VersionNumber": 3, "LaunchTemplateData": DATA},
        {"VersionNumber": 2, "LaunchTemplateData": {**DATA, "KeyName": "other"}},
        {"VersionNumber": 1, "LaunchTemplateData": DATA},
    ],
    "describe_volumes": [VOLUME],
    "describe_instances": [
        {"Instances": [{"InstanceId": "i-1", "State": {"Name": "running"}, "InstanceType": "m7i.large", "Tags": PLAIN}]}
    ],
}


class Account:
    """What the layer needs of a Reader."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []
        self.filters = [{"Name": "tag:chromafleet:fleet", "Values": ["demo"]}]

    def pages(self, _service, operation, _key, **arguments):
        self.asked.append((operation, arguments))
        return self.answers.get(operation, [])


def read(**changes):
    return fleet.read(Account({**ACCOUNT, **changes}))


def group(**properties):
    return read(describe_auto_scaling_groups=[{**GROUP, **properties}])["groups"]["demo-main-reader"]


def test_an_empty_account():
    account = Account({})
    found = fleet.read(account)
    assert set(found) == {"groups", "hooks", "instances", "launch_templates", "policies", "schedule", "volumes"}
    assert not any(found.values())
    assert [operation for operation, _ in account.asked] == [
        "describe_auto_scaling_groups",
        "describe_instances",
        "describe_launch_templates",
        "describe_volumes",
    ]


def test_everything_is_asked_for_by_the_fleets_tag():
    account = Account(ACCOUNT)
    fleet.read(account)
    asked = [arguments for operation, arguments in account.asked if "Filters" in arguments]
    assert len(asked) == 4
    assert all(account.filters[0] in arguments["Filters"] for arguments in asked)


def test_a_group():
    found = group()
    assert found["tags"] == {"chromafleet:fleet": "demo", "chromafleet:cell": "main", "chromafleet:role": "reader"}
    assert (found["cell"], found["role"]) == ("main", "reader")
    assert found["subnets"] == ["subnet-b", "subnet-a"]
    assert (found["template"], found["template_version"]) == ("demo-main-reader", "$Latest")
    assert found["unpropagated_tags"] == ["chromafleet:role"]
    assert found["instances"] == [{"id": "i-1", "state": "InService", "template_version": "1"}]
    # What AWS leaves out where it is not set.
    assert found["mixed_instances"] == found["maintenance"] == found["warm_pool"] == {}
    assert found["instance_warmup"] == ""
    assert (found["max_instance_lifetime"], found["capacity_rebalance"]) == (0, False)
    assert found["metrics"] == found["suspended"] == []


def test_a_group_with_all_settings():
    found = group(
        DefaultInstanceWarmup=0,
        InstanceMaintenancePolicy={"MinHealthyPercentage": 100, "MaxHealthyPercentage": 110},
        WarmPoolConfiguration={"MinSize": 2, "MaxGroupPreparedCapacity": 2, "PoolState": "Stopped"},
        EnabledMetrics=[{"Metric": "GroupMinSize", "Granularity": "1Minute"}],
        SuspendedProcesses=[{"ProcessName": "Launch", "SuspensionReason": ""}],
        MaxInstanceLifetime=604800,
        CapacityRebalance=True,
    )
    assert found["instance_warmup"] == 0
    assert found["maintenance"] == {"min_healthy_percentage": 100, "max_healthy_percentage": 110}
    assert found["warm_pool"] == {"min_size": 2, "max_prepared_capacity": 2, "pool_state": "Stopped"}
    assert (found["metrics"], found["suspended"]) == (["GroupMinSize"], ["Launch"])
    assert (found["max_instance_lifetime"], found["capacity_rebalance"]) == (604800, True)


def test_a_warm_pool_that_is_being_deleted_is_none():
    assert group(WarmPoolConfiguration={"MinSize": 2, "Status": "PendingDelete"})["warm_pool"] == {}


def test_a_group_of_several_types_has_its_template_in_the_policy():
    found = group(MixedInstancesPolicy=MIXED, LaunchTemplate={})
    assert (found["template"], found["template_version"]) == ("demo-main-reader", "$Latest")
    assert found["mixed_instances"] == {
        "instance_types": ["m7i.large", "r7i.large"],
        "on_demand_allocation_strategy": "lowest-price",
        "on_demand_base_capacity": 1,
        "on_demand_percentage_above_base_capacity": 50,
        "spot_allocation_strategy": "price-capacity-optimized",
    }


def test_what_belongs_to_a_group():
    found = read()
    assert found["hooks"]["demo-main-reader/drain"]["heartbeat"] == 120
    policies = {name.partition("/")[2]: policy for name, policy in found["policies"].items()}
    assert policies["cpu"]["metric"] == {"predefined": "ASGAverageCPUUtilization"}
    assert (policies["cpu"]["target"], policies["cpu"]["scale_in"]) == ("70", True)
    assert (policies["memory"]["target"], policies["memory"]["scale_in"]) == ("79.5", False)
    assert policies["memory"]["metric"]["dimensions"] == {"Role": "reader"}
    assert (policies["by-hand"]["type"], policies["by-hand"]["metric"]) == ("SimpleScaling", {})
    action = found["schedule"]["demo-main-reader/night"]
    assert (action["min"], action["max"], action["group"]) == (None, 9, "demo-main-reader")


def test_a_launch_template():
    found = read()["launch_templates"]["demo-main-reader"]
    assert found["others"] == ["KeyName"]
    assert (found["version"], found["same_versions"]) == ("3", ["1", "3"])
    assert found["latest_is_default"] is False
    assert found["metadata"] == {"http_tokens": "required", "http_put_response_hop_limit": 2}
    assert found["block_devices"] == [{"device_name": "/dev/xvda", "ebs": {"volume_size": 20, "encrypted": True}}]
    assert (found["instance_profile"], found["detailed_monitoring"]) == ("arn:profile", True)
    assert found["launch_tags"]["instance"]["chromafleet:role"] == "reader"


@pytest.mark.parametrize(("kind", "name"), [("volumes", "vol-1"), ("instances", "i-1")])
def test_what_has_an_id_only(kind, name):
    found = read()[kind][name]
    assert (found["id"], found["cell"], found["role"]) == (name, "main", "reader")


def test_a_volume():
    found = read()["volumes"]["vol-1"]
    assert (found["size"], found["iops"], found["throughput"], found["kms_key_arn"]) == (20, 3000, 125, "arn:key")
    assert found["instances"] == ["i-1"]
