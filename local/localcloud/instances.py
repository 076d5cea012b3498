"""EC2: a systemd container for every instance that the API says is running."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from localcloud import network, pki, volumes
from localcloud.aws import every
from localcloud.docker import docker, inspect, label_args, labelled

log = logging.getLogger("instances")

#: moto may call the root volume otherwise than the image does.
ROOT_DEVICES = ("/dev/sda1", "/dev/xvda")

#: systemd units that an instance has here and needs not on EC2.
HOST = Path(__file__).with_name("host")

#: What systemd and a nested Docker need. Not --privileged: that fails where the host lacks CAP_SYS_RESOURCE.
RUN = (
    "--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE",
    "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
    "--security-opt", "systempaths=unconfined",
    "--env", "container=docker", "--env", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
    "--tmpfs", "/run", "--tmpfs", "/tmp",  # noqa: S108 (the container's)
    "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--cgroupns", "host",
    "--volume", "/var/lib/docker", "--volume", "/var/lib/containerd",
)  # fmt: skip

#: An instance has a metadata service, so it has cloud-init, which the image leaves off.
BOOT = "rm -f /etc/cloud/cloud-init.disabled && exec /lib/systemd/systemd"


def follow() -> None:
    """Make the containers what the API says of the instances and their volumes."""
    said = {found["InstanceId"]: found for found in _instances()}
    for gone in set(labelled("container", instance="")) - set(said):
        terminate(gone)
    for instance_id, instance in said.items():
        there = inspect("container", instance_id)
        if instance["State"]["Name"] == "stopped":
            if there and there["State"]["Running"]:
                docker("stop", instance_id)
        else:
            if not there:
                _create(instance)
            if not (there and there["State"]["Running"]):
                _start(instance_id)
    _follow_volumes({key: value for key, value in said.items() if value["State"]["Name"] == "running"})
    network.sweep()


def terminate(instance_id: str) -> None:
    """Remove an instance's container and what was only its own."""
    log.info("%s: terminated", instance_id)
    docker("rm", "--force", "--volumes", instance_id)


def _instances() -> list[dict[str, Any]]:
    wanted = [{"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}]
    reservations = every("ec2", "describe_instances", "Reservations", Filters=wanted)
    return [instance for reservation in reservations for instance in reservation["Instances"]]


def _create(instance: dict[str, Any]) -> None:
    instance_id, address = instance["InstanceId"], instance["PrivateIpAddress"]
    log.info("%s: starting with %s", instance_id, address)
    docker("create", "--name", instance_id, "--hostname", instance["PrivateDnsName"].split(".")[0], "--pull", "never",
           "--network", network.of_vpc(instance["VpcId"]), "--ip", address, *label_args(instance=instance_id),
           *RUN, *volumes.LOOP_ACCESS, volumes.NODE, "sh", "-c", BOOT)  # fmt: skip


def _start(instance_id: str) -> None:
    """Start a container with what an instance has here, also if it was created by a run that was interrupted then."""
    docker("cp", str(pki.ca_file()), f"{instance_id}:/usr/local/share/ca-certificates/chromafleet-local.crt")
    docker("cp", f"{HOST}/.", f"{instance_id}:/etc/systemd/system")
    docker("start", instance_id)


def _follow_volumes(running: dict[str, dict[str, Any]]) -> None:
    said = every("ec2", "describe_volumes", "Volumes")
    held: dict[str, str] = {}
    for instance_id in running:
        for short in volumes.attached(instance_id):
            held[short] = instance_id
    for volume in said:
        volume_id, short = volume["VolumeId"], volume["VolumeId"].replace("-", "")
        wanted = next((a["InstanceId"] for a in volume["Attachments"] if a["InstanceId"] in running), None)
        if wanted and _is_root(running[wanted], volume_id):
            continue
        holder = held.get(short)
        if holder and holder != wanted:
            if not volumes.detach(volume_id, holder):
                log.warning("%s: detached in the API but still mounted in %s", volume_id, holder)
                continue
            holder = None
        if wanted and not holder:
            log.info("%s: attaching to %s", volume_id, wanted)
            volumes.attach(volume_id, volume["Size"], wanted)
    volumes.sweep({volume["VolumeId"] for volume in said})


def _is_root(instance: dict[str, Any], volume_id: str) -> bool:
    roots = {instance.get("RootDeviceName"), *ROOT_DEVICES}
    devices = instance.get("BlockDeviceMappings", [])
    return any(device["DeviceName"] in roots and device["Ebs"]["VolumeId"] == volume_id for device in devices)
