"""What the end-to-end tests share: commands, the local API, the fleet's secrets."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

ROOT = Path(__file__).parents[2]
CONNECTION = {
    "endpoint_url": "http://127.0.0.1:5500",
    "region_name": "us-east-1",
    "aws_access_key_id": "local",
    "aws_secret_access_key": "local",
}
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass
class Done:
    """A finished command."""

    code: int
    output: str

    def changed(self) -> dict[str, int]:
        """Host -> changed tasks, of the only PLAY RECAP."""
        return {host: int(changed) for host, _, changed, _, _ in RECAP.findall(self.output)}


def run(*command: str, cwd: Path = ROOT, **env: str) -> Done:
    """Run a command to its end; output and errors together, as a user sees them."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1500,
        check=False,
    )
    return Done(done.returncode, done.stdout)


def aws(service: str) -> Any:
    """A boto3 client of the local API."""
    return boto3.client(service, **CONNECTION)


def docker(*args: str) -> str:
    """A docker command's output."""
    return subprocess.run(["docker", *args], capture_output=True, text=True, check=True, timeout=120).stdout.strip()


def writer() -> str:
    """The id of the instance that the writer's group has."""
    groups = aws("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["demo-main-writer"])
    (instance,) = groups["AutoScalingGroups"][0]["Instances"]
    return instance["InstanceId"]


def secret_values() -> list[str]:
    """Every secret of the fleet: API tokens and the cache's password."""
    tokens = json.loads(aws("secretsmanager").get_secret_value(SecretId="chromafleet/demo/tokens")["SecretString"])
    cache = json.loads(aws("secretsmanager").get_secret_value(SecretId="chromafleet/demo/cache")["SecretString"])
    return [token["token"] for token in tokens["tokens"]] + [cache["auth_token"]]
