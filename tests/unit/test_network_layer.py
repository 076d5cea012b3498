"""The layer `network`: what is read of it, how its ranges are cut, and what the role refuses."""

from __future__ import annotations

import json
from types import SimpleNamespace

import boto3
import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.chromafleet.aws.plugins.filter.ids_by_name import ids_by_name
from ansible_collections.chromafleet.aws.plugins.filter.zone_ranges import zone_ranges
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader
from ansible_collections.chromafleet.aws.plugins.module_utils.fleet_state import network
from ansible_runs import ROOT, run_ansible
from moto import mock_aws

REGION = "us-east-1"
FLEET = {"Key": "chromafleet:fleet", "Value": "demo"}
ANYWHERE = "0.0.0.0/0"
EXTRA = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
KINDS = """
addresses flow_logs gateway_endpoints interface_endpoints internet_gateways log_groups nat_gateways roles route_tables
security_groups subnets vpcs
"""
NONE = {kind: {} for kind in KINDS.split()}


def client(service):
    return boto3.client(service, region_name=REGION, aws_access_key_id="local", aws_secret_access_key="local")


def read():
    return network.read(Reader(SimpleNamespace(region=REGION, client=client), "demo"))


def tagged(kind, **tags):
    return [{"ResourceType": kind, "Tags": [FLEET, *({"Key": key, "Value": tags[key]} for key in tags)]}]


@pytest.fixture
def ec2():
    with mock_aws():
        yield client("ec2")


@pytest.fixture
def vpc(ec2):
    return ec2.create_vpc(CidrBlock="10.42.0.0/16", TagSpecifications=tagged("vpc", Name="demo"))["Vpc"]["VpcId"]


@pytest.fixture
def subnet(ec2, vpc):
    made = ec2.create_subnet(
        VpcId=vpc, CidrBlock="10.42.0.0/20", AvailabilityZone="us-east-1a", TagSpecifications=tagged("subnet")
    )
    return made["Subnet"]["SubnetId"]


def security_group(ec2, vpc, name):
    return ec2.create_security_group(
        GroupName=name, Description=name, VpcId=vpc, TagSpecifications=tagged("security-group")
    )["GroupId"]


# --- The reader ----------------------------------------------------------------------------------------------------


def test_an_empty_account_has_every_kind_and_nothing_in_it(ec2):
    assert read() == NONE


def test_a_vpc_that_lost_its_tag_is_that_of_its_subnets(ec2, vpc, subnet):
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    ec2.delete_tags(Resources=[vpc], Tags=[{"Key": FLEET["Key"]}])
    assert read()["vpcs"] == {
        vpc: {
            "id": vpc,
            "cidr": "10.42.0.0/16",
            "dns_support": True,
            "dns_hostnames": True,
            "tags": {"Name": "demo"},
        }
    }


def test_a_subnet_goes_by_its_range_and_tells_its_table(ec2, vpc, subnet):
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    assert read()["subnets"]["10.42.0.0/20"]["route_table"] == ""
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    found = read()["subnets"]["10.42.0.0/20"]
    assert (found["id"], found["zone"], found["route_table"]) == (subnet, "us-east-1a", table)


def test_two_of_one_name_are_told_apart(ec2, vpc, subnet):
    other = ec2.create_vpc(CidrBlock="10.42.0.0/16", TagSpecifications=tagged("vpc"))["Vpc"]["VpcId"]
    twin = ec2.create_subnet(VpcId=other, CidrBlock="10.42.0.0/20", TagSpecifications=tagged("subnet"))["Subnet"]
    names = set(read()["subnets"])
    assert len(names) == 2
    assert "10.42.0.0/20" in names
    assert names & {subnet, twin["SubnetId"]}


def test_rules_one_by_one_in_the_modules_words(ec2, vpc):
    balancer, node = (security_group(ec2, vpc, f"demo-{who}") for who in ("load-balancer", "node"))
    stranger = ec2.create_security_group(GroupName="other", Description="other", VpcId=vpc)["GroupId"]
    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    ec2.authorize_security_group_ingress(
        GroupId=node,
        IpPermissions=[
            {**https, "UserIdGroupPairs": [{"GroupId": balancer, "Description": "Load balancer"}]},
            {**https, "UserIdGroupPairs": [{"GroupId": stranger}]},
            {**https, "IpRanges": [{"CidrIp": ANYWHERE}, {"CidrIp": "10.0.0.0/8", "Description": "Office"}]},
            {**https, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
        ],
    )
    ports = {"proto": "tcp", "from_port": 443, "to_port": 443}
    found = read()["security_groups"]
    rules = found["demo-node"]["rules"]
    assert sorted(rules, key=json.dumps) == sorted(
        [
            {**ports, "group_name": "demo-load-balancer", "rule_desc": "Load balancer"},
            {**ports, "group_id": stranger},
            {**ports, "cidr_ip": ANYWHERE},
            {**ports, "cidr_ip": "10.0.0.0/8", "rule_desc": "Office"},
            {**ports, "cidr_ipv6": "::/0"},
        ],
        key=json.dumps,
    )
    assert found["demo-node"]["rules_egress"] == [{"proto": "-1", "cidr_ip": ANYWHERE}]


def test_groups_of_other_layers_are_not_the_networks(ec2, vpc):
    security_group(ec2, vpc, "demo-main-cache")
    assert set(read()["security_groups"]) == {"default"}


def test_routes_are_those_that_somebody_made(ec2, vpc, subnet):
    tags = {"chromafleet:tier": "private", "chromafleet:zone": "us-east-1a"}
    table = ec2.create_route_table(VpcId=vpc, TagSpecifications=tagged("route-table", **tags))["RouteTable"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.create_route(RouteTableId=table["RouteTableId"], DestinationCidrBlock=ANYWHERE, GatewayId=gateway)
    ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName=f"com.amazonaws.{REGION}.s3",
        VpcEndpointType="Gateway",
        RouteTableIds=[table["RouteTableId"]],
        TagSpecifications=tagged("vpc-endpoint"),
    )
    ec2.associate_route_table(RouteTableId=table["RouteTableId"], SubnetId=subnet)
    found = read()
    private = found["route_tables"]["private us-east-1a"]
    assert private["routes"] == [{"dest": ANYWHERE, "gateway_id": gateway}]
    assert private["subnets"] == [subnet]
    assert found["gateway_endpoints"]["s3"]["route_tables"] == [table["RouteTableId"]]


def test_a_gateway_and_its_address_go_by_their_zone_and_not_when_deleted(ec2, vpc, subnet):
    address = ec2.allocate_address(
        Domain="vpc", TagSpecifications=tagged("elastic-ip", **{"chromafleet:zone": "us-east-1x"})
    )["AllocationId"]
    # A run was killed before it made this one's gateway.
    spare = ec2.allocate_address(
        Domain="vpc", TagSpecifications=tagged("elastic-ip", **{"chromafleet:zone": "us-east-1b"})
    )["AllocationId"]
    gateway = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address, TagSpecifications=tagged("natgateway"))
    gateway = gateway["NatGateway"]["NatGatewayId"]
    found = read()
    assert {zone: one["id"] for zone, one in found["addresses"].items()} == {"us-east-1a": address, "us-east-1b": spare}
    assert {zone: one["id"] for zone, one in found["nat_gateways"].items()} == {"us-east-1a": gateway}
    ec2.delete_nat_gateway(NatGatewayId=gateway)
    assert read()["nat_gateways"] == {}


def test_interface_endpoints(ec2, vpc, subnet):
    group = security_group(ec2, vpc, "demo-endpoint")
    made = ec2.create_vpc_endpoint(
        VpcId=vpc,
        ServiceName=f"com.amazonaws.{REGION}.ecr.api",
        VpcEndpointType="Interface",
        SubnetIds=[subnet],
        SecurityGroupIds=[group],
        TagSpecifications=tagged("vpc-endpoint"),
    )["VpcEndpoint"]["VpcEndpointId"]
    found = read()
    endpoint = found["interface_endpoints"]["ecr.api"]
    assert (endpoint["subnets"], endpoint["security_groups"], endpoint["private_dns"]) == ([subnet], [group], True)
    assert found["gateway_endpoints"] == {}
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made])
    assert read()["interface_endpoints"] == {}


def test_flow_logs_with_their_log_group_and_all_that_their_role_may(ec2, vpc):
    iam, logs, name = client("iam"), client("logs"), "/chromafleet-network/demo/flow-logs"
    logs.create_log_group(logGroupName=name, tags={"a": "b"})
    logs.put_retention_policy(logGroupName=name, retentionInDays=30)
    logs.create_log_group(logGroupName="/chromafleet-network/demo2/flow-logs")
    role = iam.create_role(RoleName="demo-flow-logs", AssumeRolePolicyDocument='{"Version": "2012-10-17"}')["Role"]
    iam.put_role_policy(RoleName="demo-flow-logs", PolicyName="extra", PolicyDocument=json.dumps(EXTRA))
    policy = iam.create_policy(PolicyName="all", PolicyDocument=json.dumps(EXTRA))["Policy"]
    iam.attach_role_policy(RoleName="demo-flow-logs", PolicyArn=policy["Arn"])
    ec2.create_flow_logs(
        ResourceIds=[vpc],
        ResourceType="VPC",
        TrafficType="ALL",
        LogGroupName=name,
        DeliverLogsPermissionArn=role["Arn"],
        TagSpecifications=tagged("vpc-flow-log"),
    )
    found = read()
    assert found["log_groups"] == {name: {"retention": 30, "tags": {"a": "b"}}}
    assert found["roles"]["demo-flow-logs"]["policies"] == {"extra": EXTRA}
    assert found["roles"]["demo-flow-logs"]["managed_policies"] == [policy["Arn"]]
    flow_log = found["flow_logs"][name]
    assert (flow_log["resource_id"], flow_log["role_arn"], flow_log["traffic_type"]) == (vpc, role["Arn"], "ALL")


# --- The filters ---------------------------------------------------------------------------------------------------


def test_ranges_of_the_zones():
    assert zone_ranges("10.42.0.0/16", {}, ["b", "c", "d"], 2) == [
        {"name": "b", "public": "10.42.0.0/20", "private": "10.42.128.0/20"},
        {"name": "c", "public": "10.42.16.0/20", "private": "10.42.144.0/20"},
    ]


@pytest.mark.parametrize(
    ("known", "names"),
    [
        ({"10.42.0.0/20": "c"}, ["c", "a", "b"]),
        ({"10.42.144.0/20": "b"}, ["a", "b", "c"]),
        ({"10.42.0.0/20": "c", "10.42.16.0/20": "a", "10.42.32.0/20": "b"}, ["c", "a", "b"]),
    ],
)
def test_a_subnet_that_exists_keeps_its_zone(known, names):
    found = {range_: {"zone": zone} for range_, zone in known.items()}
    assert [zone["name"] for zone in zone_ranges("10.42.0.0/16", found, ["a", "b", "c"])] == names


def test_without_zones_to_choose_from_only_the_known_ones():
    assert [zone["name"] for zone in zone_ranges("10.42.0.0/16", {"10.42.128.0/20": {"zone": "b"}})] == ["b"]


def test_what_is_no_range():
    with pytest.raises(AnsibleFilterError, match=r"10\.42\.0\.0 to is no range of IPv4"):
        zone_ranges("10.42.0.0 to", {})


def test_ids_of_what_was_found_and_made():
    made = {"results": [{"item": {"name": "b"}, "vpc": {"id": "2"}}, {"item": {"name": "a"}, "vpc": {"id": "3"}}]}
    assert ids_by_name({"a": {"id": "1"}}, made, "vpc.id") == {"a": "3", "b": "2"}
    assert ids_by_name({"a": {"id": "1"}}, {"skipped": True}, "vpc.id") == {"a": "1"}


# --- What the role refuses before it calls AWS -----------------------------------------------------------------------

VPC = {"cidr": "10.42.0.0/16"}
IN_A_AND_B = {
    "vpcs": {"vpc-1": VPC},
    "subnets": {
        "10.42.0.0/20": {"id": "subnet-1", "zone": "us-east-1a"},
        "10.42.16.0/20": {"id": "subnet-2", "zone": "us-east-1b"},
    },
}
INPUT = {
    "aws_network_name": "demo",
    "aws_network_region": "us-east-1",
    "aws_network_account_id": "123456789012",
    "aws_network_tags": {"chromafleet:fleet": "demo"},
    "aws_network_found": NONE,
}


def found(**some):
    return {"aws_network_found": NONE | some}


REFUSED = {
    "a name too long": (
        {"aws_network_name": "x" * 60, "aws_network_tags": {"chromafleet:fleet": "x" * 60}},
        "with 70 characters, but IAM allows 64: shorten it to 54.",
    ),
    "tags of nobody": (
        {"aws_network_tags": {"team": "search"}},
        (
            "aws_network_tags must hold chromafleet:fleet: demo, by which the network is found again, but is "
            '{"team": "search"}.'
        ),
    ),
    "no range": (
        {"aws_network_cidr": "ten"},
        "aws_network_cidr is ten, but must be an IPv4 range of /16 to /20 that begins at its first address",
    ),
    "an address in the range": ({"aws_network_cidr": "10.42.0.1/16"}, "aws_network_cidr is 10.42.0.1/16, but must be"),
    "a range too large": ({"aws_network_cidr": "10.0.0.0/8"}, "aws_network_cidr is 10.0.0.0/8, but must be"),
    "a range too small": ({"aws_network_cidr": "10.42.0.0/21"}, "aws_network_cidr is 10.42.0.0/21, but must be"),
    "subnets too small": (
        {"aws_network_cidr": "10.42.0.0/20", "aws_network_private_addresses": 250, "aws_network_nat": "none"},
        (
            "aws_network_cidr is 10.42.0.0/20, which leaves 251 addresses for each private subnet, but the fleet may "
            "need 260 (250 for nodes and cache, 10 for endpoints): "
            "take a larger range, such as a /16, or fewer readers."
        ),
    ),
    "nobody may come": (
        {"aws_network_allowed_cidrs": []},
        "aws_network_allowed_cidrs is empty, so that nobody could reach the fleet",
    ),
    "a client that is no range": (
        {"aws_network_allowed_cidrs": ["10.0.0.0/8", "203.0.113.7/24"]},
        "aws_network_allowed_cidrs has 203.0.113.7/24, which is no IPv4 range in CIDR notation",
    ),
    "a client twice": (
        {"aws_network_allowed_cidrs": ["10.0.0.0/8", "10.0.0.0/8"]},
        "aws_network_allowed_cidrs has a range twice: 10.0.0.0/8, 10.0.0.0/8.",
    ),
    "zones of another region": (
        {"aws_network_availability_zones": ["us-east-1a", "eu-central-1a"]},
        "aws_network_availability_zones has eu-central-1a, which is not in us-east-1: use zones such as us-east-1a.",
    ),
    "a zone twice": (
        {"aws_network_availability_zones": ["us-east-1a", "us-east-1a"]},
        "aws_network_availability_zones has a zone twice: us-east-1a, us-east-1a.",
    ),
    "one zone": (
        {"aws_network_availability_zones": ["us-east-1a"]},
        "The network needs 2 or 3 availability zones, but 1 were found: us-east-1a.",
    ),
    "four zones in count": (
        {"aws_network_az_count": 4},
        "value of aws_network_az_count must be one of: 2, 3, got: 4",
    ),
    "a zone taken away": (
        {"aws_network_availability_zones": ["us-east-1b", "us-east-1c"], **found(**IN_A_AND_B)},
        (
            "aws_network_availability_zones is us-east-1b, us-east-1c, but the fleet has subnets in us-east-1a too, "
            "which instances may be using: list us-east-1a, us-east-1b, and new zones behind them."
        ),
    ),
    "fewer zones": (
        found(vpcs=IN_A_AND_B["vpcs"], subnets=IN_A_AND_B["subnets"] | {"10.42.160.0/20": {"zone": "us-east-1c"}}),
        (
            "aws_network_az_count is 2, but the fleet has subnets in us-east-1a, us-east-1b, us-east-1c, which "
            "instances may be using: set it to 3."
        ),
    ),
    "no way out at all": (
        {"aws_network_nat": "none", "aws_network_interface_endpoints": ["ssm", "logs"]},
        (
            "aws_network_nat is none, but aws_network_interface_endpoints lacks ecr.api, ecr.dkr, secretsmanager, "
            "ssmmessages, ec2messages, monitoring, sts, autoscaling, without which a node can't"
        ),
    ),
    "an unknown way out": (
        {"aws_network_nat": "two", "aws_network_interface_endpoints": []},
        "value of aws_network_nat must be one of: single, per_az, none, got: two",
    ),
    "an unknown service": (
        {"aws_network_interface_endpoints": ["s4"]},
        "value of aws_network_interface_endpoints must be one or more of: ecr.api",
    ),
    "an id and tags": (
        {"aws_network_existing_vpc": {"id": "vpc-0123456789abcdef0", "tags": {"a": "b"}}},
        "must have an id or tags, one of the two, such as {id: vpc-0123456789abcdef0}.",
    ),
    "no id and no tags": (
        {"aws_network_existing_vpc": {"public_subnet_ids": ["subnet-1"]}},
        'aws_network_existing_vpc is {"public_subnet_ids": ["subnet-1"]}, but must have an id or tags',
    ),
    "no id of a VPC": (
        {"aws_network_existing_vpc": {"id": "shared"}},
        'aws_network_existing_vpc.id is "shared", which is no id of a VPC',
    ),
    "from a VPC of its own to an existing one": (
        {"aws_network_existing_vpc": {"id": "vpc-2"}, **found(**IN_A_AND_B)},
        (
            "aws_network_existing_vpc is set, but vpc-1, subnet-1, subnet-2 have the tag chromafleet:fleet: demo of "
            "what the fleet made itself"
        ),
    ),
    "two VPCs": (
        found(vpcs={"vpc-1": VPC, "vpc-2": VPC}),
        "The VPCs vpc-1, vpc-2 all have the tag chromafleet:fleet: demo, but a fleet has one",
    ),
    "another range": (
        {"aws_network_cidr": "10.43.0.0/16", **found(vpcs={"vpc-1": VPC})},
        "aws_network_cidr is 10.43.0.0/16, but the VPC vpc-1 has 10.42.0.0/16, which can't be changed: set it to that.",
    ),
    "parts in another VPC": (
        {
            "aws_network_availability_zones": ["us-east-1a", "us-east-1b"],
            **found(security_groups={"demo-node": {"vpc_id": "vpc-9"}}),
        },
        "The fleet demo has parts in vpc-9, but aws_network_existing_vpc is not set: a fleet can't move",
    ),
    "a bucket that is none": (
        {"aws_network_flow_logs": "s3", "aws_network_flow_logs_bucket_arn": "company-logs"},
        'aws_network_flow_logs is s3, but aws_network_flow_logs_bucket_arn is "company-logs": set it to the ARN',
    ),
    "a retention that CloudWatch doesn't know": (
        {"aws_network_flow_logs_retention": 31},
        "value of aws_network_flow_logs_retention must be one of: 1, 3, 5, 7, 14, 30",
    ),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """What the role says to each input, all in one run; nothing answers where it would call AWS."""
    tasks = []
    for case, (variables, _) in REFUSED.items():
        role = {"ansible.builtin.include_role": {"name": "chromafleet.aws.aws_network"}, "vars": INPUT | variables}
        said = "{{ said | default({}) | combine({case: ansible_failed_result.msg}) }}"
        keep = {"ansible.builtin.set_fact": {"said": said}, "vars": {"case": case}}
        tasks.append({"block": [role], "rescue": [keep]})
    folder = tmp_path_factory.mktemp("refused")
    write = {"dest": str(folder / "said.json"), "content": "{{ said | to_json }}", "mode": "0600"}
    tasks.append({"ansible.builtin.copy": write})
    nowhere = {"endpoint_url": "http://127.0.0.1:9", "access_key": "local", "secret_key": "local", "region": REGION}
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "module_defaults": {f"group/{name}.aws": nowhere for name in ("amazon.aws", "chromafleet.aws")},
        "tasks": tasks,
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play], sort_keys=False))
    done = run_ansible(folder / "play.yml", inventory="localhost,")
    assert done.returncode == 0, done.stdout + done.stderr
    # The file of this test.
    assert "changed=1 " in done.stdout
    return json.loads((folder / "said.json").read_text())


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_sentence(refusals, case):
    assert REFUSED[case][1] in " ".join(refusals[case].split())


def test_every_service_of_a_fleet_without_nat_may_be_listed():
    """Default, checks and specification name the same services."""
    role = ROOT / "roles/aws_network"
    options = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    needed = yaml.safe_load((role / "vars/main.yml").read_text())["__aws_network_services"]
    default = yaml.safe_load((role / "defaults/main.yml").read_text())["aws_network_interface_endpoints"]
    assert options["aws_network_interface_endpoints"]["choices"] == needed
    assert all(f"'{service}'" in default for service in needed)
