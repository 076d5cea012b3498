"""Small accounts for the probes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from localcloud.patches import Client


def network(client: Client) -> tuple[str, list[str]]:
    """A VPC with two subnets in two zones: (vpc id, subnet ids)."""
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"][
            "SubnetId"
        ]
        for n, zone in enumerate("ab")
    ]
    return vpc, subnets


def launch_template(client: Client, **data: Any) -> str:
    """A launch template with an image and a type: its id."""
    ec2 = client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    made = ec2.create_launch_template(
        LaunchTemplateName="probe", LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro", **data}
    )
    return made["LaunchTemplate"]["LaunchTemplateId"]


def group(client: Client, size: int, **more: Any) -> list[dict[str, Any]]:
    """An auto-scaling group `probe` over two subnets: its instances."""
    _, subnets = network(client)
    template = more.pop("template", None) or launch_template(client)
    client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="probe",
        LaunchTemplate={"LaunchTemplateId": template, "Version": "$Latest"},
        MinSize=0,
        MaxSize=9,
        DesiredCapacity=size,
        VPCZoneIdentifier=",".join(subnets),
        **more,
    )
    return instances(client)


def instances(client: Client) -> list[dict[str, Any]]:
    """The instances of the group `probe`."""
    found = client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["probe"])
    return found["AutoScalingGroups"][0]["Instances"]


def target_group(client: Client, **more: Any) -> str:
    """A target group: its ARN."""
    vpc = client("ec2").create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    wanted = {"Name": "probe", "Protocol": "HTTP", "Port": 80, "VpcId": vpc, "HealthCheckPath": "/", **more}
    made = client("elbv2").create_target_group(**wanted)
    return made["TargetGroups"][0]["TargetGroupArn"]


def ringing_alarm(client: Client, name: str = "probe") -> None:
    """An alarm in the state ALARM."""
    client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="N",
        MetricName="M",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    client("cloudwatch").set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")


def refused(call: Callable[[], Any], code: str) -> bool:
    """Whether the API refuses a call with this error code."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"] == code
    return False
