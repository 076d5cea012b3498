"""Hosts find the metadata service and their role's credentials where EC2 has them; containers inside them don't."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest
from local_api import LocalApi
from support import CONNECTION, Done, aws, docker, wait_until, writer

#: Where hosts reach the API.
API = "http://169.254.169.200:5500"
ROLE = "demo-us-east-1-writer"
BUCKET = "chromafleet-demo-123456789012-us-east-1"

TOKEN = "curl -sf -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token"
GET = 'curl -sf -m 5 -H "X-aws-ec2-metadata-token: $token" http://169.254.169.254/latest'
#: The same in a container, whose image has no curl: bash alone; 124 is what timeout ends with.
IN_CONTAINER = (
    r"exec 3<>/dev/tcp/169.254.169.254/80 && "
    r"printf 'PUT /latest/api/token HTTP/1.0\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n' >&3 && "
    "timeout 5 cat <&3"
)

BOTO3 = f"""
import boto3, botocore.exceptions
def code(service, method, **arguments):
    try:
        getattr(boto3.client(service, "us-east-1", endpoint_url="{API}"), method)(**arguments)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    return "allowed"
print(boto3.client("sts", "us-east-1", endpoint_url="{API}").get_caller_identity()["Arn"])
print(code("s3", "put_object", Bucket="{BUCKET}", Key="probe/key", Body=b"x"))
print(code("s3", "get_object", Bucket="{BUCKET}", Key="probe/key"))
print(code("s3", "put_bucket_policy", Bucket="{BUCKET}", Policy="{{}}"))
print(code("s3", "put_object", Bucket="others", Key="probe/key", Body=b"x"))
print(code("ec2", "describe_instances"))
"""
RESTIC = f"""
export RESTIC_PASSWORD=probe AWS_DEFAULT_REGION=us-east-1 RESTIC_REPOSITORY=s3:{API}/{BUCKET}/probe
restic init --quiet && restic backup --quiet /etc/hostname && restic dump latest /etc/hostname
restic --repo s3:{API}/others/probe init 2>&1 | grep --only-matching 'Access Denied' | sort -u
"""
#: The script ends the run with an error where the registry isn't trusted.
SCRIPT = """#!/bin/sh -e
curl -sS -o /dev/null https://123456789012.dkr.ecr.us-east-1.amazonaws.com/v2/
echo script >> /root/ran
"""
CONFIG = """#cloud-config
write_files: [{path: /root/written, content: hello}]
runcmd: [[sh, -c, "cat /root/written >> /root/ran"]]
"""


def multipart() -> str:
    """User data of a script and a cloud-config."""
    parts = MIMEMultipart()
    parts.attach(MIMEText(SCRIPT, "x-shellscript"))
    parts.attach(MIMEText(CONFIG, "cloud-config"))
    return parts.as_string()


@pytest.fixture(scope="module")
def host(demo: Done) -> Iterator[str]:
    """An instance with the role of the fleet's writer, in a VPC of its own."""
    ec2 = aws("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.78.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.78.0.0/24")["Subnet"]["SubnetId"]
    instance = ec2.run_instances(
        ImageId=ec2.describe_images()["Images"][0]["ImageId"], SubnetId=subnet, MinCount=1, MaxCount=1,
        IamInstanceProfile={"Name": ROLE}, MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        UserData=multipart(),
    )["Instances"][0]["InstanceId"]  # fmt: skip
    wait_until("its first boot is done", lambda: booted(instance))
    yield instance
    ec2.terminate_instances(InstanceIds=[instance])
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)
    wait_until("its network is gone", lambda: vpc not in docker("network", "ls"))


def in_host(instance: str, script: str) -> tuple[int, str]:
    """Exit code and output of a script in a host."""
    command = ["docker", "exec", instance, "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, done.stdout


def booted(instance: str) -> bool:
    """Whether cloud-init comes to a good end."""
    code, output = in_host(instance, "cloud-init status --wait")
    return code == 0 and "status: done" in output


def told(instance: str, path: str) -> str:
    """What a host is told at a path below /latest/; empty when it is told nothing."""
    return in_host(instance, f"token=$({TOKEN}) && {GET}/{path}")[1]


def token_in_container(instance: str) -> tuple[int, bool]:
    """In a container inside a host: how asking for a token ended, and whether there was one."""
    image = docker("exec", instance, "docker", "images", "--quiet").split()[0]
    command = ["docker", "exec", instance, "docker", "run", "--rm", "--entrypoint", "bash", image, "-c", IN_CONTAINER]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, " 200 OK" in done.stdout


def limit_hops(instance: str, hops: int) -> None:
    """Set how far a token may travel."""
    aws("ec2").modify_instance_metadata_options(InstanceId=instance, HttpPutResponseHopLimit=hops)


@pytest.mark.long
def test_each_host_is_told_of_itself(host: str) -> None:
    for instance in (host, writer()):
        assert told(instance, "meta-data/instance-id") == instance
        assert told(instance, "meta-data/local-ipv4") in docker("exec", instance, "hostname", "-I").split()
        assert told(instance, "meta-data/iam/security-credentials/") == ROLE
    assert in_host(host, f"token=nonsense; {GET}/meta-data/instance-id")[0] == 22


@pytest.mark.long
def test_user_data_runs_once(host: str) -> None:
    for _ in range(2):
        assert sorted(in_host(host, "cat /root/ran")[1].split()) == ["hello", "script"]
        docker("restart", host)
        assert booted(host)


@pytest.mark.long
def test_it_is_there_again_after_restarts(host: str) -> None:
    for container in (host, "chromafleet-local-registry"):
        docker("restart", container)
        wait_until("it is told of itself", lambda: told(host, "meta-data/instance-id") == host)


@pytest.mark.long
def test_clients_in_a_host_may_what_its_role_may(host: str) -> None:
    install = "apt-get update -q && apt-get install -y -q --no-install-recommends python3-boto3 restic"
    assert in_host(host, install)[0] == 0
    s3 = aws("s3")
    s3.create_bucket(Bucket="others")
    with LocalApi(CONNECTION["endpoint_url"]).enforced():
        code, output = in_host(host, f"python3 -c '{BOTO3}'")
        assert (code, output.split()) == (0, [
            f"arn:aws:sts::123456789012:assumed-role/{ROLE}/{host}", "allowed", "allowed", "AccessDenied",
            "AccessDenied", "UnauthorizedOperation"])  # fmt: skip
        assert in_host(host, RESTIC) == (0, docker("exec", host, "cat", "/etc/hostname") + "\nAccess Denied\n")
    left = s3.list_object_versions(Bucket=BUCKET, Prefix="probe/")
    for version in left["Versions"] + left["DeleteMarkers"]:
        s3.delete_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])
    s3.delete_bucket(Bucket="others")


def test_a_container_gets_no_token(demo: Done) -> None:
    """It is rejected by the host's rule, and where that is missing, the answer ends at the hop limit."""
    instance = writer()
    assert token_in_container(instance) == (1, False)
    docker("exec", instance, "systemctl", "stop", "hardening-metadata")
    assert token_in_container(instance) == (0, True)
    limit_hops(instance, 1)
    assert token_in_container(instance) == (124, False)
    assert told(instance, "meta-data/instance-id") == instance
    limit_hops(instance, 2)
    docker("exec", instance, "systemctl", "start", "hardening-metadata")
    assert token_in_container(instance) == (1, False)
