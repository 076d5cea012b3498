# SPDX-License-Identifier: Apache-2.0
"""The fleet's network: its own VPC with what is in it, or its security groups and endpoints in somebody else's VPC.

Names are taken from what nobody changes by hand, such as a subnet's range, so that a changed tag `Name` is a difference
and not a resource more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import tag_dict
from ansible_collections.chromafleet.aws.plugins.module_utils.security_group_rules import rules

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader

Found = dict[str, dict[str, Any]]

GONE = ("deleting", "deleted", "failed", "rejected", "expired")
GATEWAYS = (
    "GatewayId",
    "NatGatewayId",
    "TransitGatewayId",
    "NetworkInterfaceId",
    "VpcPeeringConnectionId",
    "EgressOnlyInternetGatewayId",
    "CarrierGatewayId",
    "LocalGatewayId",
    "CoreNetworkArn",
)


def read(aws: Reader) -> dict[str, Found]:
    """Every kind of the layer."""
    vpcs = aws.pages("ec2", "describe_vpcs", "Vpcs", Filters=aws.filters)
    subnets = aws.pages("ec2", "describe_subnets", "Subnets", Filters=aws.filters)
    # A VPC that lost its tag is still that of its subnets.
    if untagged := {one["VpcId"] for one in subnets} - {one["VpcId"] for one in vpcs}:
        vpcs += aws.pages("ec2", "describe_vpcs", "Vpcs", VpcIds=sorted(untagged))
    own = [{"Name": "vpc-id", "Values": [one["VpcId"] for one in vpcs]}]
    tables = aws.pages("ec2", "describe_route_tables", "RouteTables", Filters=own) if vpcs else []
    zones = {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in subnets}
    gateways = aws.pages("ec2", "describe_nat_gateways", "NatGateways", Filter=aws.filters)
    gateways = [gateway for gateway in gateways if gateway["State"] not in GONE]
    endpoints = aws.pages("ec2", "describe_vpc_endpoints", "VpcEndpoints", Filters=aws.filters)
    endpoints = [endpoint for endpoint in endpoints if endpoint["State"].lower() not in GONE]
    return {
        "vpcs": _named(_vpc(aws, vpc) for vpc in vpcs),
        "internet_gateways": _internet_gateways(aws),
        "subnets": _named(_subnet(subnet, tables) for subnet in subnets),
        "addresses": _addresses(aws, gateways, zones),
        "nat_gateways": _named(_nat_gateway(gateway, zones) for gateway in gateways),
        "route_tables": _named(_route_table(table) for table in tables if aws.mine(tag_dict(table["Tags"]))),
        "security_groups": _security_groups(aws, own if vpcs else []),
        "gateway_endpoints": _named(_gateway_endpoint(aws, one) for one in endpoints if one.get("RouteTableIds")),
        "interface_endpoints": _named(
            _interface_endpoint(aws, one) for one in endpoints if one["VpcEndpointType"] == "Interface"
        ),
        "flow_logs": _flow_logs(aws),
        "log_groups": _log_groups(aws),
        "roles": _roles(aws),
    }


def _named(pairs: Iterable[tuple[str, dict[str, Any]]]) -> Found:
    """By name; by id what has no name or one that another has already."""
    found: Found = {}
    for name, one in pairs:
        found[name if name and name not in found else one["id"]] = one
    return found


def _vpc(aws: Reader, vpc: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    def attribute(name: str) -> bool:
        answer = aws.call("ec2", "describe_vpc_attribute", VpcId=vpc["VpcId"], Attribute=name)
        return answer[name[0].upper() + name[1:]]["Value"]

    return vpc["VpcId"], {
        "id": vpc["VpcId"],
        "cidr": vpc["CidrBlock"],
        "dns_support": attribute("enableDnsSupport"),
        "dns_hostnames": attribute("enableDnsHostnames"),
        "tags": tag_dict(vpc.get("Tags")),
    }


def _internet_gateways(aws: Reader) -> Found:
    found = aws.pages("ec2", "describe_internet_gateways", "InternetGateways", Filters=aws.filters)
    return {
        gateway["InternetGatewayId"]: {
            "id": gateway["InternetGatewayId"],
            "vpc_id": next((one["VpcId"] for one in gateway["Attachments"]), ""),
            "tags": tag_dict(gateway["Tags"]),
        }
        for gateway in found
    }


def _subnet(subnet: dict[str, Any], tables: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    return subnet["CidrBlock"], {
        "id": subnet["SubnetId"],
        "cidr": subnet["CidrBlock"],
        "vpc_id": subnet["VpcId"],
        "zone": subnet["AvailabilityZone"],
        "map_public": subnet["MapPublicIpOnLaunch"],
        "route_table": next((one["RouteTableId"] for one in tables if subnet["SubnetId"] in associated(one)), ""),
        "tags": tag_dict(subnet["Tags"]),
    }


def _addresses(aws: Reader, gateways: list[dict[str, Any]], zones: dict[str, str]) -> Found:
    """By the zone of the NAT gateway that has the address, or shall have it."""
    used = {
        address.get("AllocationId"): zones.get(gateway["SubnetId"], "")
        for gateway in gateways
        for address in gateway["NatGatewayAddresses"]
    }
    found = aws.pages("ec2", "describe_addresses", "Addresses", Filters=aws.filters)
    found.sort(key=lambda address: address["AllocationId"] not in used)
    return _named(
        (
            used.get(address["AllocationId"]) or tag_dict(address["Tags"]).get("chromafleet:zone", ""),
            {
                "id": address["AllocationId"],
                "public_ip": address["PublicIp"],
                "tags": tag_dict(address["Tags"]),
            },
        )
        for address in found
    )


def _nat_gateway(gateway: dict[str, Any], zones: dict[str, str]) -> tuple[str, dict[str, Any]]:
    return zones.get(gateway["SubnetId"], ""), {
        "id": gateway["NatGatewayId"],
        "vpc_id": gateway["VpcId"],
        "state": gateway["State"],
        "subnet_id": gateway["SubnetId"],
        "tags": tag_dict(gateway["Tags"]),
    }


def associated(table: dict[str, Any]) -> list[str]:
    """The subnets that were given to a route table."""
    return [one["SubnetId"] for one in table["Associations"] if "SubnetId" in one]


def gateway_of(route: dict[str, Any]) -> str:
    """The id of what a route leads to."""
    return next((route[kind] for kind in GATEWAYS if route.get(kind)), "")


def _route_table(table: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Of the routes only those to IPv4 ranges that somebody made: the module changes no others."""
    tags = tag_dict(table["Tags"])
    name = f"{tags.get('chromafleet:tier', '')} {tags.get('chromafleet:zone', '')}".strip()
    return name, {
        "id": table["RouteTableId"],
        "vpc_id": table["VpcId"],
        "subnets": associated(table),
        "routes": [
            {"dest": route["DestinationCidrBlock"], "gateway_id": gateway_of(route)}
            for route in table["Routes"]
            if route.get("Origin") == "CreateRoute" and "DestinationCidrBlock" in route
        ],
        "tags": tags,
    }


def _security_groups(aws: Reader, own: list[dict[str, Any]]) -> Found:
    """This role's groups, and the one that AWS makes with a VPC."""
    names = [f"{aws.fleet}-{who}" for who in ("load-balancer", "node", "endpoint")]
    mine = [*aws.filters, {"Name": "group-name", "Values": names}]
    groups = aws.pages("ec2", "describe_security_groups", "SecurityGroups", Filters=mine)
    if own:
        default = [*own, {"Name": "group-name", "Values": ["default"]}]
        groups += aws.pages("ec2", "describe_security_groups", "SecurityGroups", Filters=default)
    known = {group["GroupId"]: group["GroupName"] for group in groups}
    return _named(
        (
            group["GroupName"],
            {
                "id": group["GroupId"],
                "vpc_id": group["VpcId"],
                "description": group["Description"],
                "rules": rules(group["IpPermissions"], known),
                "rules_egress": rules(group["IpPermissionsEgress"], known),
                "tags": tag_dict(group.get("Tags")),
            },
        )
        for group in groups
    )


def service_of(endpoint: dict[str, Any], region: str) -> str:
    """The short name of an endpoint's service, such as `ecr.api`."""
    return endpoint["ServiceName"].partition(f".{region}.")[2] or endpoint["ServiceName"]


def _gateway_endpoint(aws: Reader, endpoint: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return service_of(endpoint, aws.region), {
        "id": endpoint["VpcEndpointId"],
        "vpc_id": endpoint["VpcId"],
        "route_tables": endpoint["RouteTableIds"],
        "tags": tag_dict(endpoint["Tags"]),
    }


def _interface_endpoint(aws: Reader, endpoint: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return service_of(endpoint, aws.region), {
        "id": endpoint["VpcEndpointId"],
        "vpc_id": endpoint["VpcId"],
        "state": endpoint["State"].lower(),
        "subnets": endpoint["SubnetIds"],
        "security_groups": [group["GroupId"] for group in endpoint["Groups"]],
        "private_dns": endpoint["PrivateDnsEnabled"],
        "tags": tag_dict(endpoint["Tags"]),
    }


def _flow_logs(aws: Reader) -> Found:
    """By destination: a log group's name or a bucket's ARN."""
    found = aws.pages("ec2", "describe_flow_logs", "FlowLogs", Filter=aws.filters)
    return _named(
        (
            flow_log.get("LogGroupName") or flow_log.get("LogDestination", ""),
            {
                "id": flow_log["FlowLogId"],
                "resource_id": flow_log["ResourceId"],
                "destination_type": flow_log["LogDestinationType"],
                "role_arn": flow_log.get("DeliverLogsPermissionArn", ""),
                "traffic_type": flow_log["TrafficType"],
                "aggregation_interval": flow_log["MaxAggregationInterval"],
                "tags": tag_dict(flow_log["Tags"]),
            },
        )
        for flow_log in found
    )


def _log_groups(aws: Reader) -> Found:
    prefix = f"/chromafleet-network/{aws.fleet}/"
    found = aws.pages("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=prefix)
    return {
        group["logGroupName"]: {
            "retention": group.get("retentionInDays", 0),
            "tags": aws.call("logs", "list_tags_log_group", logGroupName=group["logGroupName"])["tags"],
        }
        for group in found
    }


def _roles(aws: Reader) -> Found:
    """The role of the flow logs, with whatever it is allowed."""
    name = f"{aws.fleet}-flow-logs"
    found = aws.call("iam", "get_role", missing=("NoSuchEntity",), RoleName=name)
    if not found:
        return {}
    inline = aws.pages("iam", "list_role_policies", "PolicyNames", RoleName=name)
    managed = aws.pages("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=name)
    return {
        name: {
            "arn": found["Role"]["Arn"],
            "trust": found["Role"]["AssumeRolePolicyDocument"],
            "policies": {
                policy: aws.call("iam", "get_role_policy", RoleName=name, PolicyName=policy)["PolicyDocument"]
                for policy in inline
            },
            "managed_policies": [policy["PolicyArn"] for policy in managed],
            "tags": tag_dict(found["Role"].get("Tags")),
        }
    }
