"""The role aws_network from nothing to nothing: every step of its life, in the order of the tests."""

from __future__ import annotations

import json

import pytest
from local_api import REGION, LocalApi
from role_runs import RoleRuns

pytestmark = pytest.mark.long

ANYWHERE = "0.0.0.0/0"
MINE = [{"Name": "tag:chromafleet:fleet", "Values": ["demo"]}]
FLOW_LOGS = "/chromafleet-network/demo/flow-logs"
#: What a network of two zones with one NAT gateway is made of.
PARTS = {
    ("VPC", "demo"),
    ("internet gateway", "demo"),
    *(("subnet", f"10.42.{part}.0/20") for part in (0, 16, 128, 144)),
    *(("security group", name) for name in ("default", "demo-load-balancer", "demo-node")),
    ("elastic IP", "us-east-1a"),
    ("NAT gateway", "us-east-1a"),
    *(("route table", name) for name in ("public", "private us-east-1a", "private us-east-1b")),
    ("gateway endpoint", "s3"),
    ("log group", FLOW_LOGS),
    ("IAM role", "demo-flow-logs"),
    ("flow log", FLOW_LOGS),
}
THREE = {"aws_network_az_count": 3, "aws_network_nat": "per_az"}
NONE = {"aws_network_az_count": 3, "aws_network_nat": "none"}
PRIVATE = [f"private us-east-1{zone}" for zone in "abc"]


@pytest.fixture(scope="module")
def run(aws: LocalApi, tmp_path_factory: pytest.TempPathFactory) -> RoleRuns:
    """The role, in an empty account."""
    account = {"aws_identity_account_id": "123456789012", "aws_identity_partition": "aws"}
    return RoleRuns(
        "aws_network", "network", aws, {"fleet_name": "demo", **account}, tmp_path_factory.mktemp("network")
    )


@pytest.fixture(scope="module")
def ec2(aws: LocalApi):
    return aws.client("ec2")


def tables(ec2) -> dict:
    """The fleet's route tables, by tier and zone."""
    found = {}
    for table in ec2.describe_route_tables(Filters=MINE)["RouteTables"]:
        tags = {tag["Key"]: tag["Value"] for tag in table["Tags"]}
        found[f"{tags['chromafleet:tier']} {tags.get('chromafleet:zone', '')}".strip()] = table
    return found


def ways_out(ec2) -> dict:
    """Where the default route of each private subnet leads to."""
    return {
        name: next((route.get("NatGatewayId") for route in table["Routes"] if "NatGatewayId" in route), None)
        for name, table in tables(ec2).items()
        if name.startswith("private")
    }


def gateways(ec2) -> list[str]:
    found = ec2.describe_nat_gateways(Filter=MINE)["NatGateways"]
    return [gateway["NatGatewayId"] for gateway in found if gateway["State"] == "available"]


def endpoints(ec2) -> set[str]:
    found = ec2.describe_vpc_endpoints(Filters=MINE)["VpcEndpoints"]
    return {one["ServiceName"].partition(f"{REGION}.")[2] for one in found if one["State"] != "deleted"}


def group(ec2, name: str) -> dict:
    return ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [name]}, *MINE])["SecurityGroups"][0]


def test_a_plan_of_an_empty_account_writes_nothing(run: RoleRuns) -> None:
    done = run("--check")
    assert done.code == 0, done.output
    assert done.rows == {("create", *part) for part in PARTS}
    assert done.writes == []


def test_create(run: RoleRuns, ec2) -> None:
    done = run()
    assert done.code == 0, done.output
    assert set(ways_out(ec2).values()) == set(gateways(ec2))
    assert len(gateways(ec2)) == 1
    (vpc,) = ec2.describe_vpcs(Filters=MINE)["Vpcs"]
    default = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}, {"Name": "group-name", "Values": ["default"]}]
    (emptied,) = ec2.describe_security_groups(Filters=default)["SecurityGroups"]
    assert (emptied["IpPermissions"], emptied["IpPermissionsEgress"]) == ([], [])


def test_again_changes_nothing(run: RoleRuns) -> None:
    done = run()
    assert (done.code, done.changed, done.writes) == (0, 0, []), done.output
    # The gather and nothing else.
    assert len(done.calls) <= 25


@pytest.fixture
def drifted(aws: LocalApi, ec2) -> None:
    """What somebody changed by hand."""
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": ANYWHERE}]}
    ec2.authorize_security_group_ingress(GroupId=group(ec2, "demo-node")["GroupId"], IpPermissions=[ssh])
    now = tables(ec2)
    ec2.delete_route(RouteTableId=now["private us-east-1a"]["RouteTableId"], DestinationCidrBlock=ANYWHERE)
    # A subnet that another table has takes the module two calls.
    (association,) = [one for one in now["private us-east-1b"]["Associations"] if "SubnetId" in one]
    ec2.replace_route_table_association(
        AssociationId=association["RouteTableAssociationId"], RouteTableId=now["public"]["RouteTableId"]
    )
    (vpc,) = ec2.describe_vpcs(Filters=MINE)["Vpcs"]
    ec2.delete_tags(Resources=[vpc["VpcId"]], Tags=[{"Key": "chromafleet:fleet"}])
    (address,) = ec2.describe_addresses(Filters=MINE)["Addresses"]
    ec2.create_tags(Resources=[address["AllocationId"]], Tags=[{"Key": "chromafleet:zone", "Value": "nowhere"}])
    ec2.delete_flow_logs(FlowLogIds=[one["FlowLogId"] for one in ec2.describe_flow_logs(Filters=MINE)["FlowLogs"]])
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    aws.client("iam").put_role_policy(
        RoleName="demo-flow-logs", PolicyName="more", PolicyDocument=json.dumps(everything)
    )


@pytest.mark.usefixtures("drifted")
def test_what_was_changed_by_hand_is_named_and_mended(run: RoleRuns, ec2) -> None:
    plan = run("--check")
    (vpc,) = {table["VpcId"] for table in tables(ec2).values()}
    assert plan.rows == {
        ("change", "security group", "demo-node"),
        ("change", "route table", "private us-east-1a"),
        ("change", "route table", "private us-east-1b"),
        ("change", "route table", "public"),
        ("change", "VPC", vpc),
        ("change", "elastic IP", "us-east-1a"),
        ("change", "IAM role", "demo-flow-logs"),
        ("create", "flow log", FLOW_LOGS),
    }
    assert plan.writes == []
    done = run()
    assert done.code == 0, done.output
    assert run("--check").counts == (0, 0, 0, len(PARTS))


def test_a_third_zone_and_a_gateway_in_each(run: RoleRuns, ec2) -> None:
    (before,) = gateways(ec2)
    done = run(**THREE)
    assert done.code == 0, done.output
    assert before in gateways(ec2)
    assert len(set(ways_out(ec2).values())) == len(gateways(ec2)) == 3
    (s3,) = [one for one in ec2.describe_vpc_endpoints(Filters=MINE)["VpcEndpoints"] if one["RouteTableIds"]]
    assert set(s3["RouteTableIds"]) == {tables(ec2)[name]["RouteTableId"] for name in PRIVATE}
    assert run("--check", **THREE).counts[:3] == (0, 0, 0)


def test_without_a_gateway_the_endpoints_come_before_the_routes_go(run: RoleRuns, ec2) -> None:
    done = run(**NONE)
    assert done.code == 0, done.output
    order = [write.partition(":")[2] for write in done.writes]
    assert order.index("CreateVpcEndpoint") < order.index("DeleteRoute") < order.index("DeleteNatGateway")
    assert order.index("DeleteNatGateway") < order.index("ReleaseAddress")
    assert (gateways(ec2), ec2.describe_addresses()["Addresses"]) == ([], [])
    assert set(ways_out(ec2).values()) == {None}
    assert len(endpoints(ec2)) == 11
    only = group(ec2, "demo-endpoint")
    assert only["IpPermissionsEgress"] == []
    (rule,) = only["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"], rule["IpRanges"]) == (443, 443, [])
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [group(ec2, "demo-node")["GroupId"]]
    assert run("--check", **NONE).counts[:3] == (0, 0, 0)


def test_and_back_to_one_gateway(run: RoleRuns, ec2) -> None:
    back = {"aws_network_az_count": 3}
    done = run(**back)
    assert done.code == 0, done.output
    (gateway,) = gateways(ec2)
    assert set(ways_out(ec2).values()) == {gateway}
    assert endpoints(ec2) == {"s3"}
    assert not ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["demo-endpoint"]}])[
        "SecurityGroups"
    ]
    assert run("--check", **back).counts[:3] == (0, 0, 0)


def test_destroy_names_who_still_uses_the_network(run: RoleRuns, ec2) -> None:
    subnet = ec2.describe_subnets(Filters=MINE)["Subnets"][0]["SubnetId"]
    made = ec2.create_network_interface(SubnetId=subnet, Description="Somebody's own")["NetworkInterface"]
    interface = made["NetworkInterfaceId"]
    done = run("-e", '{"__aws_network_tries": 1}', entry="destroy")
    assert done.code == 2
    # YAML doubles an apostrophe.
    told = " ".join(done.output.split()).replace("''", "'")
    assert f"The network can't be removed while {interface} (Somebody's own) use it: remove what these" in told
    assert not [write for write in done.writes if "SecurityGroup" in write or "Subnet" in write]
    ec2.delete_network_interface(NetworkInterfaceId=interface)


def test_an_interrupted_destroy_goes_on(run: RoleRuns) -> None:
    run.api.inject("ec2", "DeleteSubnet", "DependencyViolation", "It has dependencies.")
    assert run(entry="destroy").code == 2
    run.api.heal()
    done = run(entry="destroy")
    assert done.code == 0, done.output
    again = run(entry="destroy")
    assert (again.code, again.changed, again.writes) == (0, 0, [])


def test_nothing_is_left(aws: LocalApi, ec2) -> None:
    assert [vpc for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]] == []
    assert ec2.describe_addresses()["Addresses"] == []
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    assert ec2.describe_flow_logs()["FlowLogs"] == []
    assert ec2.describe_internet_gateways(Filters=MINE)["InternetGateways"] == []
    assert aws.client("logs").describe_log_groups()["logGroups"] == []
    assert aws.client("iam").list_roles()["Roles"] == []


# --- In a VPC that somebody else made --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(ec2) -> str:
    """A platform team's VPC."""
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ec2.create_tags(Resources=[vpc], Tags=[{"Key": "Name", "Value": "shared"}])
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    routes = {tier: ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for tier in ("public", "private")}
    subnets = []
    for number, tier in enumerate(("public", "public", "private", "private")):
        zone = f"{REGION}{'ab'[number % 2]}"
        made = ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=zone)["Subnet"]
        subnets.append(made["SubnetId"])
        ec2.create_tags(Resources=[made["SubnetId"]], Tags=[{"Key": "chromafleet:tier", "Value": tier}])
        ec2.associate_route_table(RouteTableId=routes[tier], SubnetId=made["SubnetId"])
    ec2.create_route(RouteTableId=routes["public"], DestinationCidrBlock=ANYWHERE, GatewayId=gateway)
    return vpc


IN_SHARED = {"aws_network_existing_vpc": {"tags": {"Name": "shared"}}}


def test_an_existing_vpc_without_a_way_out_is_refused(run: RoleRuns, shared: str) -> None:
    done = run(**IN_SHARED)
    assert done.code == 2
    assert "has no default route, and the VPC has no interface endpoint for autoscaling, ec2messages" in done.output
    assert done.writes == []


def test_in_an_existing_vpc_only_groups_and_endpoints_are_made(run: RoleRuns, ec2, shared: str) -> None:
    (table,) = [
        one
        for one in ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [shared]}])["RouteTables"]
        if len(one["Associations"]) == 2 and not [route for route in one["Routes"] if "igw" in str(route)]
    ]
    subnet = ec2.describe_subnets(Filters=[{"Name": "cidr-block", "Values": ["10.0.0.0/24"]}])["Subnets"][0]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=subnet["SubnetId"], AllocationId=address)["NatGateway"]["NatGatewayId"]
    ec2.create_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock=ANYWHERE, NatGatewayId=nat)
    wanted = {**IN_SHARED, "aws_network_interface_endpoints": ["ssm"]}
    plan = run("--check", **wanted)
    assert plan.rows == {
        ("create", "security group", "demo-load-balancer"),
        ("create", "security group", "demo-node"),
        ("create", "security group", "demo-endpoint"),
        ("create", "interface endpoint", "ssm"),
    }
    done = run(**wanted)
    assert done.code == 0, done.output
    assert {write.partition(":")[2] for write in done.writes} <= {
        "CreateSecurityGroup",
        "AuthorizeSecurityGroupIngress",
        "AuthorizeSecurityGroupEgress",
        "RevokeSecurityGroupEgress",
        "CreateVpcEndpoint",
        "CreateTags",
        "DeleteTags",
    }
    again = run(**wanted)
    assert (again.code, again.changed, again.writes) == (0, 0, []), again.output


def test_destroy_leaves_an_existing_vpc_as_it_was(run: RoleRuns, ec2, shared: str) -> None:
    done = run(entry="destroy")
    assert done.code == 0, done.output
    here = [{"Name": "vpc-id", "Values": [shared]}]
    assert len(ec2.describe_subnets(Filters=here)["Subnets"]) == 4
    assert len(ec2.describe_route_tables(Filters=here)["RouteTables"]) == 3
    assert [one["GroupName"] for one in ec2.describe_security_groups(Filters=here)["SecurityGroups"]] == ["default"]
    assert len(ec2.describe_internet_gateways()["InternetGateways"]) == 1
    (nat,) = ec2.describe_nat_gateways(Filter=here)["NatGateways"]
    assert nat["State"] == "available"
