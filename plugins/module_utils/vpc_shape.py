# SPDX-License-Identifier: Apache-2.0
"""Whether a fleet can live in a VPC that somebody else made: one sentence for each thing that is in the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import tag_dict
from ansible_collections.chromafleet.aws.plugins.module_utils.fleet_state.network import (
    GONE,
    associated,
    gateway_of,
    service_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader

VARIABLE = "aws_network_existing_vpc"
TIERS = ("public", "private")
ANYWHERE = "0.0.0.0/0"


@dataclass
class Subnet:
    """What matters of a subnet."""

    id: str
    tier: str
    zone: str
    cidr: str
    free: int
    gateway: str = ""
    s3: bool = False


@dataclass
class Shape:
    """What matters of a VPC."""

    id: str
    dns_support: bool
    dns_hostnames: bool
    subnets: list[Subnet]
    #: The services that can be reached by an interface endpoint, and which of those endpoints are not the fleet's.
    services: set[str] = field(default_factory=set)
    foreign_services: set[str] = field(default_factory=set)

    def tier(self, name: str) -> list[Subnet]:
        """The subnets of a tier, by zone."""
        return sorted((one for one in self.subnets if one.tier == name), key=lambda one: one.zone)


@dataclass
class Need:
    """What the fleet needs of a VPC."""

    #: Free addresses of each subnet, by tier.
    addresses: dict[str, int]
    #: The services that a node calls.
    services: list[str]
    #: The services that the fleet makes an interface endpoint for.
    endpoints: list[str]


def find_vpcs(aws: Reader, vpc_id: str | None, tags: dict[str, str] | None) -> list[dict[str, Any]]:
    """The VPCs with this id, or with all of these tags."""
    filters = [{"Name": "vpc-id", "Values": [vpc_id]}] if vpc_id else []
    filters += [{"Name": f"tag:{key}", "Values": [str(value)]} for key, value in (tags or {}).items()]
    return aws.pages("ec2", "describe_vpcs", "Vpcs", Filters=filters)


def read_shape(aws: Reader, vpc_id: str, given: dict[str, list[str]]) -> Shape:
    """Read the VPC; a tier's subnets are those that are given, else those that are tagged with it."""
    here = [{"Name": "vpc-id", "Values": [vpc_id]}]
    tables = aws.pages("ec2", "describe_route_tables", "RouteTables", Filters=here)
    endpoints = aws.pages("ec2", "describe_vpc_endpoints", "VpcEndpoints", Filters=here)
    endpoints = [one for one in endpoints if one["State"].lower() not in GONE]
    named = [one for one in endpoints if one["VpcEndpointType"] == "Interface" and one["PrivateDnsEnabled"]]
    s3_tables = {
        table for one in endpoints if service_of(one, aws.region) == "s3" for table in one.get("RouteTableIds", [])
    }
    ours = _own_addresses(aws, vpc_id)
    return Shape(
        id=vpc_id,
        dns_support=_attribute(aws, vpc_id, "enableDnsSupport"),
        dns_hostnames=_attribute(aws, vpc_id, "enableDnsHostnames"),
        subnets=[
            _subnet(one, tier, tables, s3_tables, ours)
            for one in aws.pages("ec2", "describe_subnets", "Subnets", Filters=here)
            for tier in TIERS
            if _has_tier(one, tier, given[tier])
        ],
        services={service_of(one, aws.region) for one in named},
        foreign_services={service_of(one, aws.region) for one in named if not aws.mine(tag_dict(one["Tags"]))},
    )


def _attribute(aws: Reader, vpc_id: str, name: str) -> bool:
    answer = aws.call("ec2", "describe_vpc_attribute", VpcId=vpc_id, Attribute=name)
    return answer[name[0].upper() + name[1:]]["Value"]


def _has_tier(subnet: dict[str, Any], tier: str, given: list[str]) -> bool:
    if given:
        return subnet["SubnetId"] in given
    return tag_dict(subnet.get("Tags")).get("chromafleet:tier") == tier


def _own_addresses(aws: Reader, vpc_id: str) -> Counter[str]:
    """How many addresses of each subnet the fleet has already: they count as free for it."""
    here = {"Name": "vpc-id", "Values": [vpc_id]}
    groups = aws.pages("ec2", "describe_security_groups", "SecurityGroups", Filters=[*aws.filters, here])
    if not groups:
        return Counter()
    held = {"Name": "group-id", "Values": [group["GroupId"] for group in groups]}
    interfaces = aws.pages("ec2", "describe_network_interfaces", "NetworkInterfaces", Filters=[here, held])
    return Counter(one["SubnetId"] for one in interfaces)


def _subnet(
    subnet: dict[str, Any], tier: str, tables: list[dict[str, Any]], s3_tables: set[str], ours: Counter[str]
) -> Subnet:
    """A subnet without a route table of its own has the VPC's main one."""
    explicit = [one for one in tables if subnet["SubnetId"] in associated(one)]
    main = [one for one in tables if any(other["Main"] for other in one["Associations"])]
    table = next(iter(explicit + main), {})
    routes = [route for route in table.get("Routes", []) if route.get("DestinationCidrBlock") == ANYWHERE]
    return Subnet(
        id=subnet["SubnetId"],
        tier=tier,
        zone=subnet["AvailabilityZone"],
        cidr=subnet["CidrBlock"],
        free=subnet["AvailableIpAddressCount"] + ours[subnet["SubnetId"]],
        gateway=next((gateway_of(route) for route in routes if route.get("State") == "active"), ""),
        s3=table.get("RouteTableId") in s3_tables,
    )


def match_fault(found: list[str], what: str, region: str) -> str:
    """Why the VPC is not exactly one; empty when it is."""
    if len(found) == 1:
        return ""
    if not found:
        return (
            f"{VARIABLE} names the VPC {what}, but there is none in {region}: correct it, or unset it to have one made."
        )
    return (
        f"{VARIABLE} names the VPC {what}, but {len(found)} VPCs are like that ({', '.join(sorted(found))}): "
        f"set {VARIABLE}.id to the one that is meant."
    )


def shape_faults(shape: Shape, need: Need, given: dict[str, list[str]]) -> list[str]:
    """All that is in the way."""
    return [
        *_dns_faults(shape),
        *(fault for tier in TIERS for fault in _tier_faults(shape, tier, given[tier])),
        *_zone_faults(shape),
        *_address_faults(shape, need),
        *_public_faults(shape),
        *_private_faults(shape, need),
        *_endpoint_faults(shape, need),
    ]


def _dns_faults(shape: Shape) -> Iterator[str]:
    for name, attribute, on in (
        ("DNS support", "enableDnsSupport", shape.dns_support),
        ("DNS hostnames", "enableDnsHostnames", shape.dns_hostnames),
    ):
        if not on:
            yield (
                f"The VPC {shape.id} has {name} switched off, but the nodes find AWS's endpoints and the cache by "
                f"name: set its attribute {attribute} to true."
            )


def _tier_faults(shape: Shape, tier: str, given: list[str]) -> Iterator[str]:
    subnets = shape.tier(tier)
    option = f"{VARIABLE}.{tier}_subnet_ids"
    if strangers := [one for one in given if one not in [subnet.id for subnet in subnets]]:
        yield f"{option} has {_listed(strangers)}, which the VPC {shape.id} doesn't have: list subnets of that VPC."
        return
    zones = Counter(subnet.zone for subnet in subnets)
    for zone, count in sorted(zones.items()):
        if count > 1:
            twice = _listed(subnet.id for subnet in subnets if subnet.zone == zone)
            yield (
                f"The {tier} subnets {twice} are all in {zone}, but the fleet takes one for each availability zone: "
                f"name one for each zone in {option}."
            )
    if len(zones) not in (2, 3):
        yield (
            f"The VPC {shape.id} has {tier} subnets in {len(zones)} availability zones ({_listed(zones) or 'none'}), "
            f"but the fleet needs 2 or 3: tag one in each zone with chromafleet:tier: {tier}, or list them in {option}."
        )


def _zone_faults(shape: Shape) -> Iterator[str]:
    public = {subnet.zone for subnet in shape.tier("public")}
    for subnet in shape.tier("private"):
        if public and subnet.zone not in public:
            yield (
                f"The private subnet {subnet.id} is in {subnet.zone}, where the fleet has no public subnet, so that "
                "the load balancer would send nothing there: add a public subnet in that zone, or leave this one out."
            )


def _address_faults(shape: Shape, need: Need) -> Iterator[str]:
    for tier in TIERS:
        for subnet in shape.tier(tier):
            if subnet.free < need.addresses[tier]:
                yield (
                    f"The {tier} subnet {subnet.id} ({subnet.cidr}) has {subnet.free} free addresses, but the fleet "
                    f"may need {need.addresses[tier]} in it: name a larger subnet, or free addresses in this one."
                )


def _public_faults(shape: Shape) -> Iterator[str]:
    for subnet in shape.tier("public"):
        if not subnet.gateway.startswith("igw-"):
            yield (
                f"The public subnet {subnet.id} has its default route to {subnet.gateway or 'nowhere'}, but the load "
                "balancer is reached from the internet: route 0.0.0.0/0 to the VPC's internet gateway."
            )


def _private_faults(shape: Shape, need: Need) -> Iterator[str]:
    missing = sorted(set(need.services) - shape.services - set(need.endpoints))
    for subnet in shape.tier("private"):
        if subnet.gateway.startswith("igw-"):
            yield (
                f"The private subnet {subnet.id} has its default route to the internet gateway {subnet.gateway}, but "
                "the nodes have no public address: route 0.0.0.0/0 to a NAT gateway."
            )
        elif not subnet.gateway and missing:
            yield (
                f"The private subnet {subnet.id} has no default route, and the VPC has no interface endpoint for "
                f"{_listed(missing)}: route 0.0.0.0/0 to a NAT gateway, or list these services in "
                "aws_network_interface_endpoints."
            )
        if not subnet.gateway and not subnet.s3:
            yield (
                f"The private subnet {subnet.id} has neither a default route nor a gateway endpoint for S3: add one of "
                "the two to its route table."
            )


def _endpoint_faults(shape: Shape, need: Need) -> Iterator[str]:
    if taken := sorted(shape.foreign_services & set(need.endpoints)):
        yield (
            f"aws_network_interface_endpoints has {_listed(taken)}, but the VPC {shape.id} has an endpoint with "
            "private DNS for that already: take it off the list, and let the nodes in by the endpoint's security group."
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
