"""Another release comes to the hosts while clients read and write; one that is worse does not stay."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest
from support import ROOT, Done, Load, Writes, aws, docker, killed_at, run

COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
SITE = ("ansible-playbook", "-i", "inventories/local", "site.yml")
UPDATE = ("ansible-playbook", "-i", "inventories/local", "playbooks/images.yml", "playbooks/rolling_update.yml")
ROLLBACK = ("ansible-playbook", "-i", "inventories/local", "playbooks/rollback.yml")
#: What an update changes on hosts.
EXPECTED = re.compile(r"docker :|traffic :|chromadb : (Run what says it|Write the compose file|Restart the server)")
Clients = Callable[[], AbstractContextManager[list[Load]]]
IMAGE = "chromafleet-local/chroma:1.5.9"


def another_image(name: str, folder: Path, *arguments: str) -> None:
    """Build what a new release of Chroma would be."""
    command = ["docker", "build", "--quiet", *arguments, "--tag", f"{IMAGE}-{name}", str(folder)]
    subprocess.run(command, check=True, capture_output=True)


def choose(clone: Path, image: str) -> None:
    """Have the fleet run this image: the one line that a user changes."""
    file = clone / "inventories/local/group_vars/all/10_local.yml"
    text = file.read_text().partition("\n# of the tests\n")[0]
    entry = f'{{name: chroma, source: "{IMAGE}-{image}", tag: "1.5.9-{image}"}}'
    file.write_text(f"{text}\n# of the tests\naws_registry_images: [{entry}]\n")


def running() -> dict[str, str]:
    """The digest that each host's server was started from."""
    found = {}
    groups = aws("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    for host in (instance["InstanceId"] for group in groups for instance in group["Instances"]):
        shown = docker("exec", host, "docker", "ps", "--no-trunc", "--filter", "label=chromafleet.revision", "--format",
                       "{{.Image}}")  # fmt: skip
        found[host] = shown.splitlines()[0].rpartition("@")[2]
    return found


def nothing_is_left_behind() -> bool:
    """No host is out of service, no group is suspended, nobody holds the lock."""
    groups = aws("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    bucket = next(one["Name"] for one in aws("s3").list_buckets()["Buckets"] if one["Name"].endswith("-boot"))
    lock = aws("s3").get_object(Bucket=bucket, Key="rollout.json")["Body"].read()
    health = [
        target["TargetHealth"]["State"]
        for group in groups
        for arn in group["TargetGroupARNs"]
        for target in aws("elbv2").describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    ]
    return (
        not any(group["SuspendedProcesses"] for group in groups)
        and set(health) == {"healthy"}
        and b'holder": ""' in lock
    )


@pytest.fixture
def clients(http: httpx.Client, read_http: httpx.Client, bearer: dict[str, str]) -> Clients:
    """Reads on both endpoints and writes, of which none fails and none is lost."""
    return lambda: served(http, read_http, bearer)


@contextmanager
def served(http: httpx.Client, read_http: httpx.Client, bearer: dict[str, str]) -> Iterator[list[Load]]:
    """Meanwhile clients read and write."""
    made = http.post(COLLECTIONS, headers=bearer, json={"name": "rolling", "get_or_create": True}).json()["id"]
    collection = f"{COLLECTIONS}/{made}"
    writes = Writes(http, collection, bearer)
    counts = f"{collection}/count"
    with Load(http, counts, bearer) as fleet, Load(read_http, counts, bearer) as readers:
        writes.start()
        yield [fleet, readers]
        assert writes.missing() == set()
    assert writes.failed == []
    assert len(writes.acknowledged) > 100
    for load in (fleet, readers):
        assert len(load.statuses) > 100
        assert set(load.statuses) == {200}


def slowest(loads: list[Load]) -> str:
    """Of each load, what 99 % of the requests took at most."""
    taken = [sorted(b - a for a, b in itertools.pairwise(load.times)) for load in loads]
    return ", ".join(f"{times[int(len(times) * 0.99)]:.3f} s" for times in taken)


@pytest.fixture
def images(tmp_path: Path) -> None:
    """Another image that is as good, and those that are not."""
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nLABEL release=next\n")
    another_image("next", tmp_path)
    for fault in ("start", "probe", "slow", "wrong"):
        another_image(fault, ROOT / "tests/faulty", "--build-arg", f"FAULT={fault}")


def test_another_image_is_taken_over(demo: Done, clone: Path, clients: Clients, images: None) -> None:
    """And nothing else is done: a replaced writer has made of itself what a run from here would have made of it."""
    before = running()
    choose(clone, "next")
    with clients() as loads:
        done = run(*SITE, cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert not set(before.values()) & set(running().values())
    assert nothing_is_left_behind()
    changes = done.output.split("FLEET SUMMARY")[1].split("Endpoint")[0]
    other = [line for line in changes.splitlines() if "[i-" in line and not EXPECTED.match(line.strip())]
    assert other == []
    print(f"p99 through an update: {slowest(loads)}")


@pytest.mark.parametrize(
    "fault", ["wrong", *(pytest.param(name, marks=pytest.mark.long) for name in ("start", "probe", "slow"))]
)
def test_a_worse_release_stops_at_the_first_host(
    demo: Done, clone: Path, clients: Clients, images: None, fault: str
) -> None:
    before = running()
    choose(clone, fault)
    with clients():
        done = run(*UPDATE, cwd=clone)
    choose(clone, "next")
    assert done.code != 0
    said = " ".join(done.output.split("Failed:")[1].split())
    assert "The update stopped at i-" in said
    assert "serves the release before again" in said
    assert running() == before
    assert nothing_is_left_behind()


@pytest.mark.long
def test_a_run_that_was_killed_leaves_nothing_behind(demo: Done, clone: Path, clients: Clients) -> None:
    """With the lock, and with a host out of service where there are readers: the next run settles it."""
    choose(clone, "again")
    subprocess.run(["docker", "tag", IMAGE, f"{IMAGE}-again"], check=True)
    with clients():
        killed_at("chromadb : Run what says it", UPDATE, clone)
        assert not nothing_is_left_behind()
        done = run(*UPDATE, cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert "has ended without freeing the lock, which is taken over" in " ".join(done.output.split())
    assert nothing_is_left_behind()


@pytest.mark.long
def test_the_release_before_comes_back(demo: Done, clone: Path, clients: Clients) -> None:
    before = running()
    with clients():
        done = run(*ROLLBACK, "-e", "release=previous", cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert not set(before.values()) & set(running().values())
    assert nothing_is_left_behind()
