"""Another release comes to the hosts while clients read and write; one that is worse does not stay."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest
from support import READERS, ROOT, Done, Load, Writes, aws, docker, killed_at, run, wait_until, writer

COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
SITE = ("ansible-playbook", "-i", "inventories/local", "site.yml")
UPDATE = ("ansible-playbook", "-i", "inventories/local", "playbooks/images.yml", "playbooks/rolling_update.yml")
REPLACE = ("ansible-playbook", "-i", "inventories/local", "playbooks/replace_instances.yml")
ROTATE = ("ansible-playbook", "-i", "inventories/local", "playbooks/rotate.yml")
ROLLBACK = ("ansible-playbook", "-i", "inventories/local", "playbooks/rollback.yml")
FAULTY = ROOT / "tests/faulty"
#: Where in the inventory's variables these tests' own begin.
OURS = "\n# of the tests\n"
#: Where a run is killed: in the turn of a writer, and in that of a reader.
WRITERS_MOMENTS = [
    "Have the group replace nothing",
    "chromadb : Run what says it",
    "chromadb : Restart the server while writes",
    "Free the lock",
]
READERS_MOMENTS = [
    "Deregister the host and wait",
    "Wait until nginx has answered",
    "chromadb : Write the compose file of each slot",
    "reader : Wait until a snapshot is proved",
    "Read embeddings back",
    "Register the host and wait",
]
#: What an update changes on hosts.
EXPECTED = re.compile(r"docker :|traffic :|chromadb : (Run what says it|Write the compose file|Restart the server)")
Clients = Callable[[], AbstractContextManager[list[Load]]]
IMAGE = "chromafleet-local/chroma:1.5.9"


def choose_another_image(clone: Path, fault: str = "") -> None:
    """Have the fleet run what a new release of Chroma would be: the one line that a user changes."""
    release = f"{fault or 'good'}-{time.time_ns()}"
    texts = [f"FROM {IMAGE}"] if not fault else [(FAULTY / "Dockerfile").read_text()]
    command = [
        "docker",
        "build",
        "--quiet",
        "--file",
        "-",
        "--build-arg",
        f"FAULT={fault}",
        "--label",
        f"release={release}",
    ]
    command += ["--tag", f"{IMAGE}-{release}", str(FAULTY)]
    subprocess.run(command, input="\n".join(texts), text=True, check=True, capture_output=True)
    file = clone / "inventories/local/group_vars/all/10_local.yml"
    text = file.read_text().partition(OURS)[0]
    entry = f'{{name: chroma, source: "{IMAGE}-{release}", tag: "1.5.9-{release}"}}'
    file.write_text(f"{text}{OURS}aws_registry_images: [{entry}]\n")


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
    taken = [sorted(load.taken) for load in loads]
    return ", ".join(f"{times[int(len(times) * 0.99)]:.3f} s" for times in taken)


@pytest.fixture(scope="module", params=[0, pytest.param(READERS, marks=pytest.mark.long)], ids=["writer", "readers"])
def fleet(request: pytest.FixtureRequest, demo: Done, clone: Path) -> Iterator[None]:
    """The demo's writer alone, and with readers that were made for these tests."""
    file = clone / "inventories/local/group_vars/all/10_local.yml"
    before = file.read_text()
    # Few at a time: each one's first boot takes a processor for two minutes.
    for size in [*range(4, request.param, 4), request.param] if request.param else []:
        file.write_text(f"{before}\nfleet_readers_min: {size}\nfleet_readers_max: {size}\n")
        done = run(*SITE, cwd=clone)
        assert done.code == 0, done.output[-3000:]
    yield
    file.write_text(before)
    if request.param:
        assert run(*SITE, cwd=clone).code == 0


def test_another_image_is_taken_over(fleet: None, clone: Path, clients: Clients) -> None:
    """And nothing else is done: a replaced writer has made of itself what a run from here would have made of it."""
    before = running()
    choose_another_image(clone)
    with clients() as loads:
        wait_until("clients are served", lambda: all(len(load.statuses) > 200 for load in loads))
        quiet = slowest(loads)
        done = run(*SITE, cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert not set(before.values()) & set(running().values())
    assert nothing_is_left_behind()
    summary = done.output.split("FLEET SUMMARY")[1]
    changes = summary.split("Updated")[0].splitlines()
    other = [line for line in changes if "[i-" in line and not EXPECTED.match(line.strip())]
    assert other == []
    print("\n".join(["", *re.findall(r"i-\w+ \w+ in \d+ s, \d+ of them to let go of it", summary)]))
    print(f"p99 of the fleet endpoint, of the readers': {quiet} before, {slowest(loads)} through an update")


@pytest.mark.long
@pytest.mark.parametrize("fault", ["wrong", "start", "probe", "slow"])
def test_a_worse_release_stops_at_the_first_host(fleet: None, clone: Path, clients: Clients, fault: str) -> None:
    before = running()
    choose_another_image(clone, fault)
    with clients():
        done = run(*UPDATE, cwd=clone)
    assert done.code != 0
    said = " ".join(done.output.split("Failed:")[1].split())
    assert "The update stopped at i-" in said
    assert "serves the release before again" in said
    assert running() == before
    assert nothing_is_left_behind()


def kill_and_run_again(clone: Path, clients: Clients, moment: str) -> None:
    choose_another_image(clone)
    with clients():
        killed_at(moment, UPDATE, clone)
        done = run(*UPDATE, cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert "has ended without freeing the lock" in " ".join(done.output.split())
    assert nothing_is_left_behind()


@pytest.mark.long
@pytest.mark.parametrize("moment", WRITERS_MOMENTS)
def test_a_run_that_is_killed_in_a_writers_turn(fleet: None, clone: Path, clients: Clients, moment: str) -> None:
    """The next run goes on, and nobody notices."""
    kill_and_run_again(clone, clients, moment)


@pytest.mark.long
@pytest.mark.parametrize("fleet", [pytest.param(READERS, id="readers")], indirect=True, scope="module")
@pytest.mark.parametrize("moment", READERS_MOMENTS)
def test_a_run_that_is_killed_in_a_readers_turn(fleet: None, clone: Path, clients: Clients, moment: str) -> None:
    """The next run puts the reader back into service first."""
    kill_and_run_again(clone, clients, moment)


@pytest.mark.long
@pytest.mark.parametrize("fleet", [pytest.param(READERS, id="readers")], indirect=True, scope="module")
def test_one_that_joins_meanwhile_becomes_what_the_others_are(fleet: None, clone: Path, clients: Clients) -> None:
    before = running()
    choose_another_image(clone)
    with clients(), ThreadPoolExecutor(1) as pool:
        updating = pool.submit(run, *UPDATE, cwd=clone)
        wait_until("a reader takes its turn", lambda: not nothing_is_left_behind(), 600)
        size = dict.fromkeys(("MinSize", "MaxSize", "DesiredCapacity"), READERS + 1)
        groups = aws("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        # Of which a blue/green update may have changed the name.
        (readers,) = {group["AutoScalingGroupName"] for group in groups} - {"demo-main-writer"}
        aws("autoscaling").update_auto_scaling_group(AutoScalingGroupName=readers, **size)
        done = updating.result()
    assert done.code == 0, done.output[-3000:]
    assert "joined during this run" in done.output
    after = running()
    assert len(after) == len(before) + 1
    assert not set(before.values()) & set(after.values())
    assert nothing_is_left_behind()
    done = run(*SITE, cwd=clone)
    assert done.code == 0, done.output[-3000:]


@pytest.mark.long
def test_the_release_before_comes_back(fleet: None, clone: Path, clients: Clients) -> None:
    before = running()
    with clients():
        done = run(*ROLLBACK, "-e", "release=previous", cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert not set(before.values()) & set(running().values())
    assert nothing_is_left_behind()


@pytest.mark.long
def test_the_data_come_back_with_a_release_that_cannot_read_newer_ones(
    fleet: None, clone: Path, http: httpx.Client, bearer: dict[str, str]
) -> None:
    """From the snapshot of before; what was written since stays on the volume."""
    made = http.post(COLLECTIONS, headers=bearer, json={"name": "formats", "get_or_create": True}).json()["id"]

    def add(name: str) -> None:
        body = {"ids": [name], "embeddings": [[1.0, 2.0, 3.0]]}
        assert http.post(f"{COLLECTIONS}/{made}/add", headers=bearer, json=body).status_code == 201

    def there() -> list[str]:
        return http.post(f"{COLLECTIONS}/{made}/get", headers=bearer, json={"include": []}).json()["ids"]

    choose_another_image(clone, "format-1")
    assert run(*UPDATE, cwd=clone).code == 0
    add("of the first format")
    first = running()
    choose_another_image(clone, "format-2")
    assert run(*UPDATE, cwd=clone).code == 0
    add("of the second format")
    second = running()

    done = run(*ROLLBACK, "-e", "release=previous", cwd=clone)
    assert done.code != 0
    assert "does not get the data" in " ".join(done.output.split())
    assert running()[writer()] == second[writer()]
    assert len(there()) == 2

    done = run(*ROLLBACK, "-e", "release=previous", "-e", "rollback_data=true", cwd=clone)
    assert done.code != 0
    assert "nothing was changed. If that is what you want, start with -e confirm=demo" in " ".join(done.output.split())

    done = run(*ROLLBACK, "-e", "release=previous", "-e", "rollback_data=true", "-e", "confirm=demo", cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert running() == first
    assert there() == ["of the first format"]
    assert docker("exec", writer(), "sh", "-c", "ls -d /var/lib/chromadb/data.before-*")
    assert nothing_is_left_behind()


@pytest.mark.long
def test_docker_restarts_on_every_host(fleet: None, clone: Path, clients: Clients) -> None:
    """Another setting of its daemon; the containers go on."""
    before = running()
    file = clone / "inventories/local/group_vars/all/10_local.yml"
    file.write_text(f"{file.read_text()}docker_log_max_file: 4\n")
    with clients():
        done = run(*UPDATE, cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert "Restart Docker" in done.output
    assert running() == before
    assert nothing_is_left_behind()


@pytest.mark.long
def test_nginx_tokens_and_the_cache_change_without_a_turn(fleet: None, clone: Path, clients: Clients) -> None:
    before = running()
    file = clone / "inventories/local/group_vars/all/10_local.yml"
    file.write_text(f"{file.read_text()}nginx_client_timeout: 31\n")
    outputs = []
    with clients():
        for command in (UPDATE, (*ROTATE, "-e", "rotate=cache"), (*ROTATE, "-e", "rotate=tokens")):
            done = run(*command, cwd=clone)
            assert done.code == 0, done.output[-3000:]
            outputs.append(done.output)
    done = run(*ROTATE, "-e", "rotate=tokens", "-e", "finish=true", cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert "nginx :" in outputs[0].split("FLEET SUMMARY")[1]
    assert not any("takes its turn" in output for output in outputs)
    assert running() == before


@pytest.mark.long
@pytest.mark.parametrize("fleet", [pytest.param(READERS, id="readers")], indirect=True, scope="module")
def test_instances_of_another_type_take_their_places(
    fleet: None, clone: Path, clients: Clients, http: httpx.Client, bearer: dict[str, str]
) -> None:
    """Readers without anybody's notice; then the writer, with all data."""
    before, first = set(running()), writer()
    file = clone / "inventories/local/group_vars/all/10_local.yml"
    file.write_text(f"{file.read_text()}aws_fleet_instance_type: t3.large\n")
    done = run(*SITE, cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert "playbooks/replace_instances.yml makes them anew" in " ".join(done.output.split())
    assert set(running()) == before
    with clients() as loads:
        done = run(*REPLACE, "-e", "fleet_writer_replacement=forbid", cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert set(running()) & before == {first}
    print(f"p99 through a replacement of readers: {slowest(loads)}")

    counts = f"{COLLECTIONS}/{http.get(COLLECTIONS, headers=bearer).json()[0]['id']}/count"
    count = http.get(counts, headers=bearer).json()
    done = run(*REPLACE, cwd=clone)
    assert done.code != 0
    assert "No name was given, so nothing was replaced" in " ".join(done.output.split())
    done = run(*REPLACE, "-e", "confirm=demo", cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert writer() != first
    assert http.get(counts, headers=bearer).json() == count
    assert nothing_is_left_behind()
    done = run(*SITE, cwd=clone)
    assert set(done.changed().values()) == {0}, done.output[-3000:]
