"""The instance metadata service, asked over HTTP by instances that have addresses of the loopback network."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError
from local_api import REGION, LocalApi, local_api
from localcloud.api import serve
from localcloud.instances import HOST
from localcloud.metadata import Metadata
from localcloud.settings import HOSTS_API, METADATA

OWN, OTHER, NOBODY = "127.0.0.1", "127.0.0.2", "127.0.0.99"
ANYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
READS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::snapshots/main/*"}],
}
COMPRESSED = gzip.compress(b"#!/bin/sh\n")
TAGS = [{"Key": "chromafleet:role", "Value": "writer"}, {"Key": "Name", "Value": "demo writer"}]


class Clock:
    """This machine's time, and what a test adds to it."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Service:
    """The service, and the instances that ask it."""

    api: LocalApi
    url: str
    clock: Clock
    instances: dict[str, str]

    def ask(self, method: str, path: str, address: str = OWN, **headers: str) -> httpx.Response:
        """One request from an address."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with httpx.Client(transport=httpx.HTTPTransport(local_address=address), base_url=self.url) as client:
            return client.request(method, path, headers=named)

    def token(self, address: str = OWN, seconds: int = 60) -> str:
        """A token for the instance at an address."""
        told = self.ask("PUT", "/latest/api/token", address, X_aws_ec2_metadata_token_ttl_seconds=str(seconds))
        assert told.status_code == 200
        assert told.headers["X-aws-ec2-metadata-token-ttl-seconds"] == str(seconds)
        return told.text

    def get(self, path: str, address: str = OWN) -> httpx.Response:
        """What is told at a path below /latest/."""
        return self.ask("GET", f"/latest/{path}", address, X_aws_ec2_metadata_token=self.token(address))


def with_role(api: LocalApi, name: str) -> None:
    """A role that may read a bucket, and a profile that hands it to instances."""
    iam, s3 = api.client("iam"), api.client("s3")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    iam.put_role_policy(RoleName=name, PolicyName="fleet", PolicyDocument=json.dumps(READS))
    iam.create_instance_profile(InstanceProfileName=f"{name}-profile")
    iam.add_role_to_instance_profile(InstanceProfileName=f"{name}-profile", RoleName=name)
    s3.create_bucket(Bucket="snapshots")
    s3.put_object(Bucket="snapshots", Key="main/manifest", Body=b"proved")


def instances(api: LocalApi) -> dict[str, str]:
    """Address -> id of three instances: one with all that there is, one with nothing, one of a group."""
    ec2, scaling = api.client("ec2"), api.client("autoscaling")
    vpc = ec2.create_vpc(CidrBlock="127.0.0.0/16")["Vpc"]["VpcId"]
    subnet, other_subnet = (
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"127.0.{number}.0/24", AvailabilityZone="us-east-1b")["Subnet"][
            "SubnetId"
        ]
        for number in (0, 9)
    )
    image = ec2.describe_images()["Images"][0]["ImageId"]
    common = {
        "ImageId": image,
        "SubnetId": subnet,
        "MinCount": 1,
        "MaxCount": 1,
        "TagSpecifications": [{"ResourceType": "instance", "Tags": TAGS}],
    }
    ec2.run_instances(
        **common,
        PrivateIpAddress=OWN,
        InstanceType="m7i.large",
        UserData="#!/bin/sh\n",
        IamInstanceProfile={"Name": "demo-writer-profile"},
        MetadataOptions={"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
    )
    ec2.run_instances(**common, PrivateIpAddress=OTHER)
    data = {"ImageId": image, "UserData": base64.b64encode(COMPRESSED).decode()}
    ec2.create_launch_template(LaunchTemplateName="probe", LaunchTemplateData=data)
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="probe",
        LaunchTemplate={"LaunchTemplateName": "probe"},
        MinSize=1,
        MaxSize=1,
        VPCZoneIdentifier=other_subnet,
    )
    found = [one for row in ec2.describe_instances()["Reservations"] for one in row["Instances"]]
    return {one["PrivateIpAddress"]: one["InstanceId"] for one in found}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """The service with an account behind it, in which IAM decides."""
    with local_api() as api:
        with_role(api, "demo-writer")
        made = instances(api)
        cloud = api.user("cloud", [ANYTHING])
        clock = Clock()
        server = serve(Metadata(cache(lambda name: api.client(name, **cloud)), clock), OWN, 0)
        with api.enforced():
            yield Service(api, f"http://{OWN}:{server.server_port}", clock, made)
        server.shutdown()


@pytest.mark.parametrize("seconds", ["", "0", "21601", "-1", "soon"])
def test_a_token_lives_for_a_second_to_six_hours(service: Service, seconds: str) -> None:
    headers = {"X_aws_ec2_metadata_token_ttl_seconds": seconds} if seconds else {}
    assert service.ask("PUT", "/latest/api/token", **headers).status_code == 400
    assert len({service.token(seconds=1), service.token(seconds=21600)}) == 2


def test_a_proxy_gets_no_token(service: Service) -> None:
    headers = {"X_aws_ec2_metadata_token_ttl_seconds": "60", "X_Forwarded_For": "10.0.0.1"}
    assert service.ask("PUT", "/latest/api/token", **headers).status_code == 403


def test_nothing_is_told_without_a_token_of_its_own(service: Service) -> None:
    path = "/latest/meta-data/instance-id"
    mine, others, short = service.token(), service.token(OTHER), service.token(seconds=1)
    assert service.ask("GET", path).status_code == 401
    assert service.ask("GET", "/latest/no/such/path").status_code == 401
    assert service.ask("GET", path, X_aws_ec2_metadata_token="made-up").status_code == 401
    assert service.ask("GET", path, X_aws_ec2_metadata_token=others).status_code == 401
    assert service.ask("GET", path, X_aws_ec2_metadata_token=mine).text == service.instances[OWN]
    service.clock.ahead += 2
    assert service.ask("GET", path, X_aws_ec2_metadata_token=short).status_code == 401
    assert service.ask("GET", path, X_aws_ec2_metadata_token=mine).status_code == 200


def test_each_instance_is_told_of_itself(service: Service) -> None:
    for address, instance in service.instances.items():
        assert service.get("meta-data/instance-id", address).text == instance
        assert service.get("meta-data/local-ipv4", address).text == address
    claims = {"X_aws_ec2_metadata_token": service.token(), "X_Instance_Id": service.instances[OTHER]}
    told = service.ask("GET", "/latest/meta-data/instance-id", **claims, X_Forwarded_For=OTHER, X_Real_IP=OTHER)
    assert told.text == service.instances[OWN]


def test_who_is_no_instance_gets_no_token(service: Service) -> None:
    headers = {"X_aws_ec2_metadata_token_ttl_seconds": "60"}
    assert service.ask("PUT", "/latest/api/token", NOBODY, **headers).status_code == 404


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("meta-data/placement/availability-zone", "us-east-1b"),
        ("meta-data/placement/region", "us-east-1"),
        ("meta-data/instance-type", "m7i.large"),
        ("meta-data/tags/instance/chromafleet:role", "writer"),
        ("meta-data/tags/instance", "Name\nchromafleet:role"),
        ("meta-data/iam/", "info\nsecurity-credentials/"),
        ("meta-data/iam/security-credentials/", "demo-writer"),
        ("user-data", "#!/bin/sh\n"),
        ("", "dynamic/\nmeta-data/\nuser-data"),
    ],
)
def test_what_is_told(service: Service, path: str, text: str) -> None:
    assert service.get(path).text == text


def test_what_the_api_says_of_the_instance_is_told(service: Service) -> None:
    document = service.get("dynamic/instance-identity/document").json()
    assert document["instanceId"] == service.instances[OWN]
    assert document["imageId"] == service.get("meta-data/ami-id").text
    assert (document["accountId"], document["region"]) == ("123456789012", REGION)
    assert (document["privateIp"], document["instanceType"]) == (OWN, "m7i.large")
    assert service.get("meta-data/local-hostname").text == "ip-127-0-0-1.ec2.internal"
    assert len(service.get("meta-data/mac").text.split(":")) == 6


@pytest.mark.parametrize(
    ("address", "path"),
    [
        (OWN, "meta-data/spot/instance-action"),
        (OWN, "meta-data/autoscaling/target-lifecycle-state"),
        (OWN, "meta-data/iam/security-credentials/admin"),
        (OWN, "meta-data/instance"),
        (OTHER, "meta-data/tags/instance/Name"),
        (OTHER, "meta-data/iam/security-credentials/"),
        (OTHER, "user-data"),
    ],
)
def test_what_is_not_there_is_not_found(service: Service, address: str, path: str) -> None:
    assert service.get(path, address).status_code == 404


def test_it_is_read_only(service: Service) -> None:
    told = service.ask("POST", "/latest/meta-data/instance-id", X_aws_ec2_metadata_token=service.token())
    assert told.status_code == 405


def test_boto3_finds_the_role_there_and_may_what_the_role_may(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
    monkeypatch.setenv("AWS_EC2_METADATA_V1_DISABLED", "true")
    session = boto3.Session(region_name=REGION)
    assert session.get_credentials().method == "iam-role"
    me = session.client("sts", endpoint_url=service.api.url).get_caller_identity()
    assert me["Arn"] == f"arn:aws:sts::123456789012:assumed-role/demo-writer/{service.instances[OWN]}"
    s3 = session.client("s3", endpoint_url=service.api.url)
    assert s3.get_object(Bucket="snapshots", Key="main/manifest")["Body"].read() == b"proved"
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket="snapshots", Key="main/manifest", Body=b"forged")


def test_credentials_are_renewed_before_they_end(service: Service) -> None:
    def keys() -> tuple[str, float]:
        """The key and how many seconds it still has."""
        told = service.get("meta-data/iam/security-credentials/demo-writer").json()
        assert (told["Code"], told["Type"]) == ("Success", "AWS-HMAC")
        ends = datetime.fromisoformat(told["Expiration"]).astimezone(UTC).timestamp()
        return told["AccessKeyId"], ends - service.clock()

    first, left = keys()
    assert 1800 <= left <= 3600
    assert keys()[0] == first
    service.clock.ahead += left - 1790
    second, _ = keys()
    assert second != first


def test_an_instance_of_a_group_knows_where_it_stands(service: Service) -> None:
    (address,) = service.instances.keys() - {OWN, OTHER}
    assert service.get("meta-data/autoscaling/target-lifecycle-state", address).text == "InService"


def test_an_instance_of_a_group_has_the_templates_user_data_byte_by_byte(service: Service) -> None:
    (address,) = service.instances.keys() - {OWN, OTHER}
    assert service.get("user-data", address).content == COMPRESSED


@pytest.mark.parametrize(
    ("version", "status"), [("2021-03-23", 200), ("2009-04-04", 404), ("2021-03-231", 404), ("latest", 200)]
)
def test_the_version_that_cloud_init_asks_for_is_there(service: Service, version: str, status: int) -> None:
    path = f"/{version}/meta-data/instance-id"
    assert service.ask("GET", path, X_aws_ec2_metadata_token=service.token()).status_code == status


def test_hosts_have_a_route_to_each_address() -> None:
    unit = (HOST / "link-local.service").read_text()
    assert all(f"ip route replace {address} dev eth0" in unit for address, _ in (METADATA, HOSTS_API))


def test_what_hosts_need_is_there_before_their_user_data() -> None:
    for unit in HOST.glob("*.service"):
        assert (HOST / f"sysinit.target.wants/{unit.name}").read_text() == unit.read_text()
        assert "Before=cloud-init-network.service cloud-init.service" in unit.read_text()
