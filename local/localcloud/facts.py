"""What the instance metadata service tells of an instance, by its path: all of it is what the API says."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from localcloud.settings import ACCOUNT_ID

#: Makes a boto3 client of a service.
Clients = Callable[[str], Any]

ALIVE = ["pending", "running", "stopping"]


def instance_at(address: str, clients: Clients) -> dict[str, Any] | None:
    """The instance that has a private address now, as DescribeInstances tells it; None if none has it."""
    wanted = [{"Name": "private-ip-address", "Values": [address]}, {"Name": "instance-state-name", "Values": ALIVE}]
    reservations = clients("ec2").describe_instances(Filters=wanted)["Reservations"]
    return next((instance for reservation in reservations for instance in reservation["Instances"]), None)


def role_of(instance: dict[str, Any], clients: Clients) -> dict[str, Any] | None:
    """The role in the instance's profile, as IAM tells it; None without a profile, or with an empty one."""
    if "IamInstanceProfile" not in instance:
        return None
    name = instance["IamInstanceProfile"]["Arn"].rpartition("/")[2]
    roles = clients("iam").get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Roles"]
    return roles[0] if roles else None


def facts(instance: dict[str, Any], clients: Clients) -> dict[str, str | bytes]:
    """Path -> what is told, of everything but the credentials."""
    zone = instance["Placement"]["AvailabilityZone"]
    told = {
        "latest/meta-data/ami-id": instance["ImageId"],
        "latest/meta-data/hostname": instance["PrivateDnsName"],
        "latest/meta-data/instance-id": instance["InstanceId"],
        "latest/meta-data/instance-type": instance["InstanceType"],
        "latest/meta-data/local-hostname": instance["PrivateDnsName"],
        "latest/meta-data/local-ipv4": instance["PrivateIpAddress"],
        "latest/meta-data/mac": instance["NetworkInterfaces"][0]["MacAddress"],
        "latest/meta-data/placement/availability-zone": zone,
        "latest/meta-data/placement/region": zone[:-1],
        "latest/dynamic/instance-identity/document": _identity(instance),
    }
    if instance["MetadataOptions"]["InstanceMetadataTags"] == "enabled":
        told |= {f"latest/meta-data/tags/instance/{tag['Key']}": tag["Value"] for tag in instance.get("Tags", [])}
    return told | _user_data(instance, clients) | _lifecycle(instance, clients)


def _identity(instance: dict[str, Any]) -> str:
    zone = instance["Placement"]["AvailabilityZone"]
    document = {
        "accountId": ACCOUNT_ID,
        "architecture": instance["Architecture"],
        "availabilityZone": zone,
        "imageId": instance["ImageId"],
        "instanceId": instance["InstanceId"],
        "instanceType": instance["InstanceType"],
        "pendingTime": f"{instance['LaunchTime']:%Y-%m-%dT%H:%M:%SZ}",
        "privateIp": instance["PrivateIpAddress"],
        "region": zone[:-1],
        "version": "2017-09-30",
    }
    return json.dumps(document, indent=2)


def _user_data(instance: dict[str, Any], clients: Clients) -> dict[str, bytes]:
    """As it was given: cloud-init takes it compressed too."""
    told = clients("ec2").describe_instance_attribute(InstanceId=instance["InstanceId"], Attribute="userData")
    data = told["UserData"].get("Value")
    return {"latest/user-data": base64.b64decode(data)} if data else {}


def _lifecycle(instance: dict[str, Any], clients: Clients) -> dict[str, str]:
    """Only an instance of a group has it; here a group has nothing in transition, so the target is where it is."""
    told = clients("autoscaling").describe_auto_scaling_instances(InstanceIds=[instance["InstanceId"]])
    states = [one["LifecycleState"] for one in told["AutoScalingInstances"]]
    return {"latest/meta-data/autoscaling/target-lifecycle-state": states[0]} if states else {}
