"""The first run on an empty account: planned, killed in the middle, finished; its secrets are seen nowhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from support import CONNECTION, ROOT, Done, Processes, files_with, killed_at, run, wait_until

PORT = 5599
DATA = {"Name": "tag:chromafleet:role", "Values": ["data"]}


@pytest.fixture(scope="module")
def account(demo: Done) -> Iterator[str]:
    """Another AWS API, empty and with no instances behind it; images are in the demo's registry."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "local")}
    command = [sys.executable, "-m", "localcloud.api", "--port", str(PORT)]
    with subprocess.Popen(command, env=environment) as api:
        wait_until("the API listens", lambda: not socket.socket().connect_ex(("127.0.0.1", PORT)))
        yield f"http://127.0.0.1:{PORT}"
        api.terminate()


@pytest.fixture(scope="module")
def command(account: str, clone: Path) -> tuple[str, ...]:
    """Provision with the local environment's values, in that account."""
    folder = clone / "inventories" / "first_run"
    shutil.copytree(clone / "inventories" / "local", folder, symlinks=True)
    for path in (folder / "hosts.aws_ec2.yml", folder / "group_vars/all/10_local.yml"):
        path.write_text(path.read_text().replace("http://127.0.0.1:5500", account))
    return ("ansible-playbook", "-i", str(folder), str(clone / "playbooks" / "provision.yml"))


def made(account: str) -> dict[str, int]:
    """How many of the fleet's things there are."""
    clients = {
        name: boto3.client(name, **{**CONNECTION, "endpoint_url": account}) for name in ("ec2", "elbv2", "iam", "s3")
    }
    return {
        "vpcs": len([vpc for vpc in clients["ec2"].describe_vpcs()["Vpcs"] if not vpc["IsDefault"]]),
        "data volumes": len(clients["ec2"].describe_volumes(Filters=[DATA])["Volumes"]),
        "load balancers": len(clients["elbv2"].describe_load_balancers()["LoadBalancers"]),
        "buckets": len(clients["s3"].list_buckets()["Buckets"]),
        "roles": len(clients["iam"].list_roles()["Roles"]),
    }


def secrets(account: str) -> list[str]:
    """The values of every secret in the account."""
    client = boto3.client("secretsmanager", **{**CONNECTION, "endpoint_url": account})
    texts = [
        client.get_secret_value(SecretId=found["ARN"])["SecretString"] for found in client.list_secrets()["SecretList"]
    ]
    values = []
    for text in texts:
        content = json.loads(text)
        values += [token["token"] for token in content["tokens"]] if "tokens" in content else list(content.values())
    return values


def test_check_on_an_empty_account_changes_nothing(account: str, command: tuple[str, ...], clone: Path) -> None:
    before = made(account)
    done = run(*command[:-1], "site.yml", "--check", "--diff", cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert "Make the VPC" in done.output
    assert made(account) == before
    assert not secrets(account)


@pytest.mark.long
def test_a_killed_first_run_goes_on_and_shows_no_secret(account: str, command: tuple[str, ...], clone: Path) -> None:
    watch = Processes()
    watch.start()
    said = killed_at("aws_load_balancer : Make the target groups", (*command, "-vvv", "--diff"), clone)
    first = secrets(account)
    assert len(first) == 3  # the admin's token, the cache's password, the key of the snapshots
    assert all(len(value) >= 32 for value in first)
    done = run(*command, "-vvv", "--diff", cwd=clone)
    watch.stop.set()
    watch.join()
    assert done.code == 0, done.output[-3000:]
    said += done.output

    assert secrets(account) == first
    assert {name: count for name, count in made(account).items() if name != "roles"} == {
        "vpcs": 1,
        "data volumes": 1,
        "load balancers": 1,
        "buckets": 3,  # snapshots, what instances make themselves from, and the load balancer's log
    }
    for value in first:
        assert value not in said
        assert not [line for line in watch.seen if value.encode() in line]
    assert re.search(r"aws_secrets : Make the secrets", said)
    assert any(b"ansible-playbook" in line for line in watch.seen)


@pytest.mark.long
def test_no_file_of_the_controller_holds_a_secret(account: str, clone: Path) -> None:
    assert files_with(secrets(account), clone) == ""
