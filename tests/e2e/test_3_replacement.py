"""The writer is lost; the run that replaces it is killed; the data is all there."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from support import Done, Load, Processes, aws, docker, files_with, killed_at, run, secret_values, writer

COUNT = "/api/v2/tenants/default_tenant/databases/default_database/collections/{}/count"
FAILOVER = ("ansible-playbook", "-i", "inventories/local", "playbooks/failover.yml", "-e", "confirm=demo")
SITE = ("ansible-playbook", "-i", "inventories/local", "site.yml", "-vvv")


@pytest.mark.parametrize(
    "moment",
    [
        "aws_fleet : Attach the data volume",
        pytest.param("docker : Install the packages", marks=pytest.mark.long),
    ],
)
def test_a_lost_writer_is_replaced_with_its_data(
    demo: Done, clone: Path, http: httpx.Client, bearer: dict[str, str], moment: str
) -> None:
    (collection,) = http.get(COUNT.split("/{}")[0], headers=bearer).json()
    count = COUNT.format(collection["id"])
    before = http.get(count, headers=bearer).json()
    assert before > 900
    lost, volume = writer(), data_volume()
    docker("exec", lost, "true")

    aws("autoscaling").terminate_instance_in_auto_scaling_group(InstanceId=lost, ShouldDecrementDesiredCapacity=False)
    assert writer() != lost
    watch = Processes()
    watch.start()
    said = killed_at(moment, SITE, clone)
    done = run(*SITE, cwd=clone)
    watch.stop.set()
    watch.join()
    assert done.code == 0, done.output[-3000:]
    said += done.output

    assert data_volume() == volume
    assert http.get(count, headers=bearer).json() == before
    assert http.get("/ready").status_code == 200
    answer = http.post(
        count.replace("/count", "/get"),
        headers=bearer,
        json={"ids": ["amazon.aws.ec2_vpc_net"], "include": ["embeddings"]},
    )
    assert len(answer.json()["embeddings"][0]) == 256

    for secret in secret_values():
        assert secret not in said
        assert not [line for line in watch.seen if secret.encode() in line]
    assert any(b"ansible-playbook" in line for line in watch.seen)


@pytest.mark.long
def test_then_nothing_is_left_to_do(demo: Done, clone: Path) -> None:
    done = run(*SITE[:-1], cwd=clone)
    assert done.code == 0
    assert set(done.changed().values()) == {0}


@pytest.mark.long
def test_a_lost_zone_is_left(demo: Done, clone: Path, http: httpx.Client, bearer: dict[str, str]) -> None:
    """The newest snapshot is served from a new volume in another zone; requests fail in one window, which is told."""
    collections = COUNT.split("/{}")[0]
    made = http.post(collections, headers=bearer, json={"name": "failover", "get_or_create": True}).json()["id"]

    def add(name: str) -> int:
        body = {"ids": [name], "embeddings": [[1.0, 2.0]]}
        return http.post(f"{collections}/{made}/upsert", headers=bearer, json=body).status_code

    assert add("before") == 200
    assert run("ansible-playbook", "-i", "inventories/local", "playbooks/backup.yml", cwd=clone).code == 0
    assert add("after") == 200
    lost, (volume, zone) = writer(), data_volume()
    with Load(http, COUNT.format(made), bearer) as reads:
        began = time.monotonic()
        done = run(*FAILOVER, cwd=clone)
        seconds = time.monotonic() - began
    assert done.code == 0, done.output[-3000:]
    assert writer() != lost
    assert data_volume()[0] != volume
    assert data_volume()[1] != zone
    got = http.post(f"{collections}/{made}/get", headers=bearer, json={"include": ["embeddings"]}).json()
    assert (got["ids"], got["embeddings"]) == (["before"], [[1.0, 2.0]])
    failed = [status for status in reads.statuses if status != 200]
    first, last = reads.statuses.index(failed[0]), len(reads.statuses) - reads.statuses[::-1].index(failed[-1])
    assert 200 not in reads.statuses[first:last]
    assert set(failed) <= {502, 503}
    print(f"failover: {seconds:.0f} s, of which {reads.times[last] - reads.times[first]:.0f} s without an answer")


def test_no_file_of_the_controller_holds_a_secret(demo: Done, clone: Path) -> None:
    values = secret_values()
    assert len(values) >= 2  # of tokens, and of the cache
    assert files_with(values, clone) == ""


def data_volume() -> tuple[str, str]:
    """The data volume's id and zone; it is attached to the writer."""
    (volume,) = aws("ec2").describe_volumes(
        Filters=[
            {"Name": "tag:chromafleet:fleet", "Values": ["demo"]},
            {"Name": "tag:chromafleet:role", "Values": ["data"]},
        ]
    )["Volumes"]
    assert volume["Attachments"][0]["InstanceId"] == writer()
    return volume["VolumeId"], volume["AvailabilityZone"]
