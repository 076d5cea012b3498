"""The modules of the network, in this process: `vpc_endpoint`, `ec2_vpc_flow_log` and `existing_vpc_info`."""

from __future__ import annotations

import pytest
from ansible_collections.chromafleet.aws.plugins.module_utils.vpc_shape import Need, Shape, Subnet, shape_faults
from module_runs import REGION, client

SERVICE = f"com.amazonaws.{REGION}"
ANYWHERE = "0.0.0.0/0"


@pytest.fixture
def ec2(empty_account):
    return empty_account("ec2")


@pytest.fixture
def vpc(ec2):
    return ec2.create_vpc(CidrBlock="10.42.0.0/16")["Vpc"]["VpcId"]


@pytest.fixture
def subnets(ec2, vpc):
    """Four: public and private, in two zones."""
    return [
        ec2.create_subnet(
            VpcId=vpc,
            CidrBlock=f"10.42.{number}.0/24",
            AvailabilityZone=f"{REGION}{zone}",
            TagSpecifications=[{"ResourceType": "subnet", "Tags": [{"Key": "chromafleet:tier", "Value": tier}]}],
        )["Subnet"]["SubnetId"]
        for number, (tier, zone) in enumerate((tier, zone) for tier in ("public", "private") for zone in "ab")
    ]


@pytest.fixture
def recorded(record):
    """An account that gives recorded answers."""
    return record("ec2")


# --- vpc_endpoint --------------------------------------------------------------------------------------------------


@pytest.fixture
def interface(ec2, vpc, subnets):
    group = ec2.create_security_group(GroupName="endpoint", Description="endpoint", VpcId=vpc)["GroupId"]
    return {
        "vpc_id": vpc,
        "service": f"{SERVICE}.ecr.api",
        "subnet_ids": subnets[2:],
        "security_group_ids": [group],
        "private_dns": True,
        "tags": {"a": "1"},
    }


def test_an_endpoint_is_made_once(run_module, ec2, interface):
    assert run_module("vpc_endpoint", check=True, **interface)["changed"]
    assert ec2.describe_vpc_endpoints()["VpcEndpoints"] == []
    made = run_module("vpc_endpoint", **interface)
    assert made["changed"]
    assert made["vpc_endpoint"]["tags"] == {"a": "1"}
    assert made["diff"]["after"]["subnet_ids"] == sorted(interface["subnet_ids"])
    again = run_module("vpc_endpoint", **interface)
    assert (again["changed"], again["diff"]) == (False, {"before": {}, "after": {}})
    assert again["vpc_endpoint"]["vpc_endpoint_id"] == made["vpc_endpoint"]["vpc_endpoint_id"]


def test_what_an_endpoint_has_becomes_exactly_what_is_wanted(run_module, ec2, vpc, subnets, interface):
    run_module("vpc_endpoint", **interface)
    other = ec2.create_security_group(GroupName="other", Description="other", VpcId=vpc)["GroupId"]
    wanted = {**interface, "subnet_ids": [subnets[1], subnets[2]], "security_group_ids": [other], "tags": {"b": "2"}}
    plan = run_module("vpc_endpoint", check=True, **wanted)
    assert set(plan["diff"]["after"]) == {"subnet_ids", "security_group_ids", "tags"}
    assert not run_module("vpc_endpoint", **interface)["changed"]
    assert run_module("vpc_endpoint", **wanted)["changed"]
    (endpoint,) = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    assert set(endpoint["SubnetIds"]) == set(wanted["subnet_ids"])
    assert [group["GroupId"] for group in endpoint["Groups"]] == [other]
    assert endpoint["Tags"] == [{"Key": "b", "Value": "2"}]
    assert not run_module("vpc_endpoint", **wanted)["changed"]


def test_a_gateway_endpoint_changes_its_route_tables(run_module, ec2, vpc):
    one, other = (ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in range(2))
    gateway = {"vpc_id": vpc, "service": f"{SERVICE}.s3", "type": "Gateway"}
    run_module("vpc_endpoint", **gateway, route_table_ids=[one])
    assert run_module("vpc_endpoint", **gateway, route_table_ids=[other])["changed"]
    (endpoint,) = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    assert endpoint["RouteTableIds"] == [other]
    # What is not given stays.
    assert not run_module("vpc_endpoint", **gateway)["changed"]


def test_an_endpoint_is_deleted_once(run_module, ec2, interface):
    made = run_module("vpc_endpoint", **interface)["vpc_endpoint"]["vpc_endpoint_id"]
    gone = {"state": "absent", "vpc_endpoint_id": made}
    assert run_module("vpc_endpoint", check=True, **gone)["changed"]
    assert not run_module("vpc_endpoint", **interface)["changed"]
    assert run_module("vpc_endpoint", **gone)["changed"]
    assert not run_module("vpc_endpoint", **gone)["changed"]
    assert not run_module("vpc_endpoint", state="absent", vpc_endpoint_id="vpce-0123456789abcdef0")["changed"]


ENDPOINT = {
    "VpcEndpointId": "vpce-1",
    "VpcEndpointType": "Interface",
    "State": "available",
    "SubnetIds": ["subnet-1"],
    "Groups": [{"GroupId": "sg-1", "GroupName": "endpoint"}],
    "PrivateDnsEnabled": False,
    "Tags": [],
}


def test_private_dns_is_switched_on(run_module, recorded):
    recorded.add_response("describe_vpc_endpoints", {"VpcEndpoints": [ENDPOINT]})
    recorded.add_response(
        "modify_vpc_endpoint", {"Return": True}, {"VpcEndpointId": "vpce-1", "PrivateDnsEnabled": True}
    )
    recorded.add_response("describe_vpc_endpoints", {"VpcEndpoints": [{**ENDPOINT, "PrivateDnsEnabled": True}]})
    done = run_module(
        "vpc_endpoint", vpc_id="vpc-1", service=f"{SERVICE}.ssm", subnet_ids=["subnet-1"], private_dns=True
    )
    assert done["diff"] == {"before": {"private_dns": False}, "after": {"private_dns": True}}


def test_an_endpoint_that_is_going_away_is_none(run_module, recorded):
    recorded.add_response("describe_vpc_endpoints", {"VpcEndpoints": [{**ENDPOINT, "State": "deleting"}]})
    assert not run_module("vpc_endpoint", state="absent", vpc_endpoint_id="vpce-1")["changed"]


def test_an_endpoint_that_cannot_be_deleted(run_module, recorded):
    recorded.add_response("describe_vpc_endpoints", {"VpcEndpoints": [ENDPOINT]})
    fault = {"ResourceId": "vpce-1", "Error": {"Code": "OperationNotPermitted", "Message": "It is managed."}}
    recorded.add_response("delete_vpc_endpoints", {"Unsuccessful": [fault]})
    done = run_module("vpc_endpoint", state="absent", vpc_endpoint_id="vpce-1")
    assert done["msg"] == "The VPC endpoint vpce-1 can't be deleted: It is managed."


def test_a_refused_endpoint(run_module, recorded):
    recorded.add_client_error("describe_vpc_endpoints", "UnauthorizedOperation", "not you")
    done = run_module("vpc_endpoint", vpc_id="vpc-1", service=f"{SERVICE}.ssm")
    assert f"Failed to manage the VPC endpoint {SERVICE}.ssm" in done["msg"]
    assert "not you" in done["msg"]


# --- ec2_vpc_flow_log ----------------------------------------------------------------------------------------------

ROLE = "arn:aws:iam::123456789012:role/flow-logs"


@pytest.fixture
def to_group(vpc):
    client("logs").create_log_group(logGroupName="/flow")
    return {"resource_id": vpc, "log_group": "/flow", "role_arn": ROLE, "tags": {"a": "1"}}


def flow_logs(ec2):
    return ec2.describe_flow_logs()["FlowLogs"]


def test_a_flow_log_is_made_once(run_module, ec2, vpc, to_group):
    assert run_module("ec2_vpc_flow_log", check=True, **to_group)["changed"]
    assert flow_logs(ec2) == []
    made = run_module("ec2_vpc_flow_log", **to_group)
    assert made["changed"]
    assert (made["flow_log"]["resource_id"], made["flow_log"]["tags"]) == (vpc, {"a": "1"})
    again = run_module("ec2_vpc_flow_log", **to_group)
    assert (again["changed"], again["flow_log"]["flow_log_id"]) == (False, made["flow_log"]["flow_log_id"])


def test_of_a_flow_log_only_the_tags_change(run_module, ec2, to_group):
    before = run_module("ec2_vpc_flow_log", **to_group)["flow_log"]["flow_log_id"]
    done = run_module("ec2_vpc_flow_log", **{**to_group, "tags": {"b": "2"}})
    assert done["diff"] == {"before": {"tags": {"a": "1"}}, "after": {"tags": {"b": "2"}}}
    assert (done["flow_log"]["flow_log_id"], done["flow_log"]["tags"]) == (before, {"b": "2"})
    assert not run_module("ec2_vpc_flow_log", **{**to_group, "tags": None})["changed"]


def test_a_flow_log_that_differs_otherwise_is_replaced(run_module, ec2, to_group):
    before = run_module("ec2_vpc_flow_log", **to_group)["flow_log"]["flow_log_id"]
    wanted = {**to_group, "traffic_type": "REJECT", "aggregation_interval": 60}
    assert set(run_module("ec2_vpc_flow_log", check=True, **wanted)["diff"]["after"]) == {
        "traffic_type",
        "aggregation_interval",
    }
    assert [one["FlowLogId"] for one in flow_logs(ec2)] == [before]
    assert run_module("ec2_vpc_flow_log", **wanted)["changed"]
    (after,) = flow_logs(ec2)
    assert after["FlowLogId"] != before
    assert (after["TrafficType"], after["MaxAggregationInterval"]) == ("REJECT", 60)
    assert after["Tags"] == [{"Key": "a", "Value": "1"}]


def test_a_flow_log_to_a_bucket_stands_beside_the_other(run_module, ec2, vpc, to_group):
    client("s3").create_bucket(Bucket="company-logs")
    run_module("ec2_vpc_flow_log", **to_group)
    to_bucket = {"resource_id": vpc, "bucket_arn": "arn:aws:s3:::company-logs"}
    assert run_module("ec2_vpc_flow_log", **to_bucket)["changed"]
    assert not run_module("ec2_vpc_flow_log", **to_bucket)["changed"]
    assert len(flow_logs(ec2)) == 2
    assert run_module("ec2_vpc_flow_log", state="absent", **to_bucket)["changed"]
    assert [one["LogGroupName"] for one in flow_logs(ec2)] == ["/flow"]


def test_a_bucket_that_is_missing(run_module, ec2, vpc):
    done = run_module("ec2_vpc_flow_log", resource_id=vpc, bucket_arn="arn:aws:s3:::nobodys")
    assert done["msg"].startswith(f"The traffic of {vpc} can't be logged: ")


def test_a_flow_log_is_deleted_once(run_module, ec2, to_group):
    gone = {"state": "absent", "flow_log_id": run_module("ec2_vpc_flow_log", **to_group)["flow_log"]["flow_log_id"]}
    assert run_module("ec2_vpc_flow_log", check=True, **gone)["changed"]
    assert len(flow_logs(ec2)) == 1
    assert run_module("ec2_vpc_flow_log", **gone)["changed"]
    assert not run_module("ec2_vpc_flow_log", **gone)["changed"]
    assert flow_logs(ec2) == []


def test_waits_until_ec2_knows_the_role(run_module, recorded):
    new = {"resource_id": "vpc-1", "log_group": "/flow", "role_arn": ROLE}
    recorded.add_response("describe_flow_logs", {"FlowLogs": []})
    for _ in range(2):
        recorded.add_client_error("create_flow_logs", "InvalidParameter", "Unable to assume given IAM role")
    recorded.add_response("create_flow_logs", {"FlowLogIds": ["fl-1"], "Unsuccessful": []})
    recorded.add_response("describe_flow_logs", {"FlowLogs": [{"FlowLogId": "fl-1"}]})
    assert run_module("ec2_vpc_flow_log", **new)["flow_log"]["flow_log_id"] == "fl-1"


def test_but_not_for_ever(run_module, recorded):
    recorded.add_response("describe_flow_logs", {"FlowLogs": []})
    for _ in range(12):
        recorded.add_client_error("create_flow_logs", "InvalidParameter", "Unable to assume given IAM role")
    done = run_module("ec2_vpc_flow_log", resource_id="vpc-1", log_group="/flow", role_arn=ROLE)
    assert "Failed to manage the flow log of vpc-1" in done["msg"]
    assert "Unable to assume given IAM role" in done["msg"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"resource_id": "vpc-1", "log_group": "/flow"}, "log_group needs role_arn"),
        ({"resource_id": "i-1", "bucket_arn": "arn"}, "resource_id is 'i-1', but must be the id of a VPC (vpc-...)"),
        ({"resource_id": "vpc-1", "flow_log_id": "fl-1"}, "flow_log_id only names a flow log that shall be absent"),
        ({"resource_id": "vpc-1"}, "one of the following is required: flow_log_id, log_group, bucket_arn"),
    ],
)
def test_bad_arguments_of_a_flow_log(run_module, arguments, sentence):
    assert sentence in run_module("ec2_vpc_flow_log", **arguments)["msg"]


# --- existing_vpc_info: what it finds ------------------------------------------------------------------------------


@pytest.fixture
def shared(ec2, vpc, subnets):
    """A VPC in which a fleet can live."""
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "shared"}])
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    (main,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    ec2.create_route(RouteTableId=main["RouteTableId"], DestinationCidrBlock=ANYWHERE, GatewayId=gateway)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=subnets[0], AllocationId=address)["NatGateway"]["NatGatewayId"]
    private = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=private, DestinationCidrBlock=ANYWHERE, NatGatewayId=nat)
    for subnet in subnets[2:]:
        ec2.associate_route_table(RouteTableId=private, SubnetId=subnet)
    return vpc


def test_a_vpc_by_its_tags(run_module, shared, subnets):
    found = run_module("existing_vpc_info", fleet="demo", tags={"Name": "shared"}, services=["ssm"])
    assert (found["vpc_id"], found["faults"], found["changed"]) == (shared, [], False)
    zones = [f"{REGION}{zone}" for zone in "ab"]
    for tier, ids in (("public", subnets[:2]), ("private", subnets[2:])):
        assert found[f"{tier}_subnets"] == [
            {"id": one, "availability_zone": zone} for one, zone in zip(ids, zones, strict=True)
        ]


def test_subnets_by_their_ids(run_module, ec2, shared, subnets):
    ec2.delete_tags(Resources=subnets, Tags=[{"Key": "chromafleet:tier"}])
    given = {"public_subnet_ids": subnets[:2], "private_subnet_ids": subnets[2:]}
    assert run_module("existing_vpc_info", fleet="demo", vpc_id=shared, **given)["faults"] == []
    without = run_module("existing_vpc_info", fleet="demo", vpc_id=shared)["faults"]
    assert [fault.partition(" has ")[2][:15] for fault in without] == ["public subnets ", "private subnets"]


def test_none_and_several(run_module, ec2, shared):
    none = run_module("existing_vpc_info", fleet="demo", vpc_id="vpc-0123456789abcdef0")
    (fault,) = none["faults"]
    assert fault == (
        "aws_network_existing_vpc names the VPC vpc-0123456789abcdef0, but there is none in us-east-1: correct it, or "
        "unset it to have one made."
    )
    twin = ec2.create_vpc(CidrBlock="10.43.0.0/16")["Vpc"]["VpcId"]
    ec2.create_tags(Resources=[twin], Tags=[{"Key": "Name", "Value": "shared"}])
    several = run_module("existing_vpc_info", fleet="demo", tags={"Name": "shared"})
    assert several["vpc_id"] == ""
    (fault,) = several["faults"]
    assert fault == (
        'aws_network_existing_vpc names the VPC with the tags {"Name": "shared"}, but 2 VPCs are like that '
        f"({', '.join(sorted([shared, twin]))}): set aws_network_existing_vpc.id to the one that is meant."
    )


def test_the_fleets_own_addresses_and_endpoints_are_not_in_its_way(run_module, ec2, shared, subnets):
    tag = [{"Key": "chromafleet:fleet", "Value": "demo"}]
    group = ec2.create_security_group(GroupName="demo-node", Description="x", VpcId=shared)["GroupId"]
    ec2.create_tags(Resources=[group], Tags=tag)
    for _ in range(3):
        ec2.create_network_interface(SubnetId=subnets[2], Groups=[group])
    endpoint = {"VpcId": shared, "ServiceName": f"{SERVICE}.ssm", "VpcEndpointType": "Interface"}
    made = ec2.create_vpc_endpoint(**endpoint, SubnetIds=subnets[2:], SecurityGroupIds=[group])["VpcEndpoint"]
    free = ec2.describe_subnets(SubnetIds=[subnets[2]])["Subnets"][0]["AvailableIpAddressCount"]
    asked = {"fleet": "demo", "vpc_id": shared, "private_addresses": free + 3, "interface_endpoints": ["ssm"]}
    (taken,) = [fault for fault in run_module("existing_vpc_info", **asked)["faults"] if "free addresses" not in fault]
    assert taken.startswith(f"aws_network_interface_endpoints has ssm, but the VPC {shared} has an endpoint")
    ec2.create_tags(Resources=[made["VpcEndpointId"]], Tags=tag)
    faults = run_module("existing_vpc_info", **asked)["faults"]
    assert not [fault for fault in faults if subnets[2] in fault or "endpoint" in fault]


# --- existing_vpc_info: what it refuses ----------------------------------------------------------------------------


def shape(**changes):
    """A VPC in which a fleet can live, with changes: of the VPC, or of a subnet by its id's last part."""
    subnets = {
        f"{tier}_{zone}": {"tier": tier, "zone": f"us-east-1{zone}", "gateway": gateway}
        for tier, gateway in (("public", "igw-1"), ("private", "nat-1"))
        for zone in "ab"
    }
    for name, change in changes.pop("subnets", {}).items():
        subnets[name] = {**subnets.get(name, {}), **change}
    made = [
        Subnet(**{"id": f"subnet-{name}", "cidr": "10.0.0.0/24", "free": 100, **one}) for name, one in subnets.items()
    ]
    return Shape(**{"id": "vpc-1", "dns_support": True, "dns_hostnames": True, "subnets": made, **changes})


NEED = Need({"public": 9, "private": 20}, ["ssm", "logs"], [])
NOWHERE = {"subnets": {f"private_{zone}": {"gateway": "", "s3": True} for zone in "ab"}}
FAULTS = {
    "DNS support": (
        shape(dns_support=False),
        (
            "The VPC vpc-1 has DNS support switched off, but the nodes find AWS's endpoints and the cache by name: set "
            "its attribute enableDnsSupport to true."
        ),
    ),
    "DNS hostnames": (
        shape(dns_hostnames=False),
        (
            "The VPC vpc-1 has DNS hostnames switched off, but the nodes find AWS's endpoints and the cache by name: "
            "set its attribute enableDnsHostnames to true."
        ),
    ),
    "two in a zone": (
        shape(subnets={"public_c": {"tier": "public", "zone": "us-east-1a", "gateway": "igw-1"}}),
        (
            "The public subnets subnet-public_a, subnet-public_c are all in us-east-1a, but the fleet takes one for "
            "each availability zone: name one for each zone in aws_network_existing_vpc.public_subnet_ids."
        ),
    ),
    "one private zone": (
        shape(subnets={"private_b": {"tier": "other"}}),
        (
            "The VPC vpc-1 has private subnets in 1 availability zones (us-east-1a), but the fleet needs 2 or 3: tag "
            "one in each zone with chromafleet:tier: private, or list them in "
            "aws_network_existing_vpc.private_subnet_ids."
        ),
    ),
    "a zone without a public subnet": (
        shape(subnets={"private_b": {"zone": "us-east-1c"}}),
        (
            "The private subnet subnet-private_b is in us-east-1c, where the fleet has no public subnet, so that the "
            "load balancer would send nothing there: add a public subnet in that zone, or leave this one out."
        ),
    ),
    "few public addresses": (
        shape(subnets={"public_a": {"free": 7}}),
        (
            "The public subnet subnet-public_a (10.0.0.0/24) has 7 free addresses, but the fleet may need 9 in it: "
            "name a larger subnet, or free addresses in this one."
        ),
    ),
    "few private addresses": (
        shape(subnets={"private_b": {"free": 19}}),
        "The private subnet subnet-private_b (10.0.0.0/24) has 19 free addresses, but the fleet may need 20 in it",
    ),
    "a public subnet that isn't": (
        shape(subnets={"public_b": {"gateway": "nat-1"}}),
        (
            "The public subnet subnet-public_b has its default route to nat-1, but the load balancer is reached from "
            "the internet: route 0.0.0.0/0 to the VPC's internet gateway."
        ),
    ),
    "a public subnet with no route": (
        shape(subnets={"public_b": {"gateway": ""}}),
        "The public subnet subnet-public_b has its default route to nowhere, but",
    ),
    "a private subnet that isn't": (
        shape(subnets={"private_a": {"gateway": "igw-1"}}),
        (
            "The private subnet subnet-private_a has its default route to the internet gateway igw-1, but the nodes "
            "have no public address: route 0.0.0.0/0 to a NAT gateway."
        ),
    ),
    "no way out": (
        shape(subnets={"private_a": {"gateway": "", "s3": True}}, services={"logs"}),
        (
            "The private subnet subnet-private_a has no default route, and the VPC has no interface endpoint for ssm: "
            "route 0.0.0.0/0 to a NAT gateway, or list these services in aws_network_interface_endpoints."
        ),
    ),
    "no way to S3": (
        shape(subnets={"private_a": {"gateway": ""}}, services={"logs", "ssm"}),
        (
            "The private subnet subnet-private_a has neither a default route nor a gateway endpoint for S3: add one of "
            "the two to its route table."
        ),
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_in_the_way_is_one_sentence(case):
    made, sentence = FAULTS[case]
    (fault,) = shape_faults(made, NEED, {"public": [], "private": []})
    assert fault.startswith(sentence)


def test_a_subnet_of_another_vpc():
    (fault,) = shape_faults(shape(), NEED, {"public": ["subnet-public_a", "subnet-9"], "private": []})
    assert fault == (
        "aws_network_existing_vpc.public_subnet_ids has subnet-9, which the VPC vpc-1 doesn't have: list subnets of "
        "that VPC."
    )


@pytest.mark.parametrize(
    ("made", "endpoints"),
    [
        (shape(), []),
        (shape(**NOWHERE, services={"ssm", "logs"}), []),
        (shape(**NOWHERE, services={"ssm"}), ["logs"]),
        (shape(subnets={"private_a": {"gateway": "tgw-1"}}), []),
    ],
)
def test_nothing_is_in_the_way(made, endpoints):
    need = Need(NEED.addresses, NEED.services, endpoints)
    assert shape_faults(made, need, {"public": [], "private": []}) == []
