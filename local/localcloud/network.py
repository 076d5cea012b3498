"""A Docker network for each VPC that something lives in, with the VPC's own addresses."""

from __future__ import annotations

import ipaddress
import threading

from localcloud.aws import every
from localcloud.docker import DockerError, docker, inspect, label_args, labelled
from localcloud.settings import ECR_HOST, PREFIX

REGISTRY = f"{PREFIX}-registry"
_lock = threading.Lock()


def of_vpc(vpc_id: str) -> str:
    """The network of a VPC, made when it isn't there; the registry answers in it under ECR's name."""
    name = f"{PREFIX}-{vpc_id}"
    with _lock:
        if inspect("network", name):
            return name
        (vpc,) = every("ec2", "describe_vpcs", "Vpcs", VpcIds=[vpc_id])
        cidr = ipaddress.ip_network(vpc["CidrBlock"])
        # Instances have the addresses that the API gave them; everything else gets one of the last 254.
        spare = list(cidr.subnets(new_prefix=24))[-1] if cidr.prefixlen < 24 else cidr
        try:
            docker("network", "create", "--subnet", str(cidr), "--ip-range", str(spare), *label_args(vpc=vpc_id), name)
        except DockerError as error:
            raise DockerError(
                f"No Docker network for {vpc_id} with {cidr}: {error}. If the addresses overlap another network "
                "of this machine, set aws_network_cidr in inventories/local to a free range."
            ) from None
        if inspect("container", REGISTRY):
            docker("network", "connect", "--alias", ECR_HOST, name, REGISTRY)
    return name


def sweep() -> None:
    """Remove the networks of VPCs that the API no longer has."""
    names = labelled("network")
    if not names:
        return
    there = {vpc["VpcId"] for vpc in every("ec2", "describe_vpcs", "Vpcs")}
    for name in names:
        if name.removeprefix(f"{PREFIX}-") not in there:
            remove(name)


def remove(name: str) -> None:
    """Disconnect what is in a network and remove it."""
    for container in ((inspect("network", name) or {}).get("Containers") or {}).values():
        docker("network", "disconnect", "--force", name, container["Name"])
    docker("network", "rm", name, check=False)
