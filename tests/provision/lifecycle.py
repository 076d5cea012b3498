"""A whole environment from an empty account to an empty account and back, as its inventory stands in the repository."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_api import ROOT, LocalApi, local_api
from localcloud import deployer
from localcloud.settings import ACCOUNT_ID

REGION = "eu-central-1"
DOMAIN = "vectors.chromafleet.dev"
STATE = Path(os.environ.get("CHROMAFLEET_LOCAL_STATE", Path.home() / ".local/state/chromafleet-local"))
START = """
from localcloud import images, pki, registry
images.build(["services", "chroma"], print)
pki.ensure()
registry.start()
"""
BIN = Path(sys.executable).parent
COUNTS = re.compile(r"^(\d+) create, (\d+) change, (\d+) destroy, (\d+) unchanged$", re.MULTILINE)
CHANGED = re.compile(r"^localhost\s+: ok=\d+\s+changed=(\d+)", re.MULTILINE)
#: Where the recorded calls go, for the deployer's policy.
RECORDS = ROOT / ".cache/calls"

EC2_LISTS = [
    ("describe_vpcs", "Vpcs", "VpcId"),
    ("describe_subnets", "Subnets", "SubnetId"),
    ("describe_route_tables", "RouteTables", "RouteTableId"),
    ("describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    ("describe_security_groups", "SecurityGroups", "GroupId"),
    ("describe_addresses", "Addresses", "AllocationId"),
    ("describe_volumes", "Volumes", "VolumeId"),
    ("describe_launch_templates", "LaunchTemplates", "LaunchTemplateName"),
]
LISTS = [
    ("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", "AutoScalingGroupName"),
    ("elbv2", "describe_load_balancers", "LoadBalancers", "LoadBalancerName"),
    ("elbv2", "describe_target_groups", "TargetGroups", "TargetGroupName"),
    ("elasticache", "describe_replication_groups", "ReplicationGroups", "ReplicationGroupId"),
    ("elasticache", "describe_cache_subnet_groups", "CacheSubnetGroups", "CacheSubnetGroupName"),
    ("ecr", "describe_repositories", "repositories", "repositoryName"),
    ("s3", "list_buckets", "Buckets", "Name"),
    ("secretsmanager", "list_secrets", "SecretList", "Name"),
    ("iam", "list_roles", "Roles", "RoleName"),
    ("iam", "list_instance_profiles", "InstanceProfiles", "InstanceProfileName"),
    ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    ("sns", "list_topics", "Topics", "TopicArn"),
    ("acm", "list_certificates", "CertificateSummaryList", "DomainName"),
]


@dataclass
class Run:
    """A finished playbook, and the calls that it made."""

    code: int
    output: str
    seconds: float
    calls: list[dict]

    @property
    def writes(self) -> list[str]:
        return [f"{call['service']}:{call['operation']}" for call in self.calls if call["writes"]]

    @property
    def changed(self) -> int:
        return int(CHANGED.findall(self.output)[-1])

    @property
    def counts(self) -> tuple[int, ...]:
        """Of the plan: create, change, destroy, unchanged."""
        return tuple(map(int, COUNTS.findall(self.output)[-1]))

    @property
    def rows(self) -> set[tuple[str, str, str]]:
        """Of the plan: action, kind and name of everything that isn't as wanted."""
        table = self.output.partition("FLEET PLAN")[2]
        cells = [re.split(r"\s{2,}", line) for line in table.splitlines()]
        return {tuple(row[:3]) for row in cells if row[0] in {"create", "change", "destroy"}}


def start_registry() -> Path:
    """Run the local registry, which stands for ECR's, and return the certificate of who signed its own.

    The tests run in several processes, and the registry is one container.
    """
    with local_api() as api, (Path(tempfile.gettempdir()) / "chromafleet-registry.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        port = api.url.rpartition(":")[2]
        subprocess.run(
            [sys.executable, "-c", START],
            env=os.environ | {"PYTHONPATH": str(ROOT / "local"), "CHROMAFLEET_LOCAL_API_PORT": port},
            check=True,
            capture_output=True,
            timeout=300,
        )
    return STATE / "pki/ca.pem"


class Environment:
    """One inventory, and the account that it is run against."""

    def __init__(self, name: str, values: dict[str, Any], api: LocalApi, authority: Path, folder: Path) -> None:
        self.name, self.api = name, api
        self.keys = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
        self.recorded: list[dict] = []
        self.overrides = folder / "overrides.json"
        # What a user fills in, and where the images come from on a machine that reaches no registry.
        image = {"name": "chroma", "source": "chromafleet-local/chroma:1.5.9", "tag": "1.5.9"}
        values = values | {
            "fleet_domain": DOMAIN,
            "aws_fleet_user_data": "",  # holds a key that only who uses the environment has
            "aws_registry_endpoint": "localhost:5443",
            "aws_registry_ca_path": str(authority),
            "aws_registry_images": [image],
        }
        self.overrides.write_text(json.dumps(values))
        self.client("route53").create_hosted_zone(Name=DOMAIN, CallerReference=name)

    def client(self, service: str) -> Any:
        """A boto3 client of the account, in the region of the repository's environments."""
        return self.api.client(service, region=REGION)

    def run(self, playbook: str, *arguments: str) -> Run:
        """Run playbooks of the repository as a user would, with credentials in the process environment."""
        started, before = time.monotonic(), len(self.api.calls())
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "AWS_"))}
        names = [f"playbooks/{name}.yml" for name in playbook.split()]
        command = [BIN / "ansible-playbook", "-i", f"inventories/{self.name}", *names]
        done = subprocess.run(
            [*command, "-e", f"@{self.overrides}", *arguments],
            cwd=ROOT,
            env=clean
            | self.keys
            | {
                "PATH": f"{BIN}:{os.environ['PATH']}",
                "AWS_ENDPOINT_URL": self.api.url,
                "AWS_EC2_METADATA_DISABLED": "true",
                "ANSIBLE_NOCOLOR": "1",
                "COLUMNS": "400",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1500,
            check=False,
        )
        calls = self.api.calls()[before:]
        self.recorded += calls
        run = Run(done.returncode, done.stdout, time.monotonic() - started, calls)
        print(f"{self.name} {playbook} {' '.join(arguments)}: {run.seconds:.0f} s, {len(calls)} calls", file=sys.stderr)
        return run

    @contextmanager
    def as_deployer(self) -> Iterator[None]:
        """Meanwhile IAM decides on every call, and the playbooks may do what docs/deployer-policy.json says only."""
        documents = json.loads(deployer.FILE.read_text()).values()
        policies = deployer.filled(list(documents), account=ACCOUNT_ID, region=REGION, fleet=self.name)
        keys = self.api.user("deployer", policies)
        before, self.keys = self.keys, {name.upper(): value for name, value in keys.items()}
        try:
            with self.api.enforced():
                yield
        finally:
            self.keys = before

    def what_is_left(self) -> list[str]:
        """By the services' own listings, asked apart from the project's code: what a fleet must not leave."""
        ec2, mine = self.client("ec2"), [{"Name": "tag:chromafleet:fleet", "Values": [self.name]}]
        instances = [one for many in ec2.describe_instances(Filters=mine)["Reservations"] for one in many["Instances"]]
        left = [one["InstanceId"] for one in instances if one["State"]["Name"] != "terminated"]
        gateways = ec2.describe_nat_gateways(Filters=mine)["NatGateways"]
        left += [one["NatGatewayId"] for one in gateways if one["State"] != "deleted"]
        for call, key, identity in EC2_LISTS:
            left += [one[identity] for one in getattr(ec2, call)(Filters=mine)[key]]
        for service, call, key, identity in LISTS:
            left += [one[identity] for one in getattr(self.client(service), call)()[key] if self.name in one[identity]]
        return left

    def keep_record(self) -> None:
        """Leave what was called where the deployer's policy is made from."""
        RECORDS.mkdir(parents=True, exist_ok=True)
        (RECORDS / f"{self.name}.json").write_text(json.dumps(self.recorded))
