"""The writer is lost, or its zone; the data is all there."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest
from local_api import LocalApi
from support import (
    CONNECTION,
    Done,
    Load,
    Processes,
    aws,
    docker,
    files_with,
    killed_at,
    run,
    secret_values,
    wait_until,
    writer,
)

COUNT = "/api/v2/tenants/default_tenant/databases/default_database/collections/{}/count"
FAILOVER = ("ansible-playbook", "-i", "inventories/local", "playbooks/failover.yml", "-e", "confirm=demo")
SITE = ("ansible-playbook", "-i", "inventories/local", "site.yml")


def test_a_lost_writer_replaces_itself(demo: Done, http: httpx.Client, bearer: dict[str, str]) -> None:
    """Nobody runs anything: another instance takes the volume; requests fail in one window, which is told."""
    (collection,) = http.get(COUNT.split("/{}")[0], headers=bearer).json()
    count = COUNT.format(collection["id"])
    before = http.get(count, headers=bearer).json()
    assert before > 900
    lost, volume = writer(), data_volume()
    watch = Processes()
    watch.start()
    with Load(http, count, bearer) as reads:
        aws("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=lost, ShouldDecrementDesiredCapacity=False
        )
        # With the rights of its role, and no others.
        with LocalApi(CONNECTION["endpoint_url"]).enforced():
            wait_until("another answers", lambda: reads.statuses[-1] == 200 and set(reads.statuses) > {200}, 600)
    assert writer() != lost
    assert data_volume() == volume
    assert http.get(count, headers=bearer).json() == before
    answer = http.post(
        count.replace("/count", "/get"),
        headers=bearer,
        json={"ids": ["amazon.aws.ec2_vpc_net"], "include": ["embeddings"]},
    )
    assert len(answer.json()["embeddings"][0]) == 256
    print(f"a lost writer: {seconds_without_an_answer(reads):.0f} s without an answer")

    # It serves before all is done.
    state = ("exec", writer(), "systemctl", "show", "--property", "SubState", "--value", "chromafleet-boot.service")
    wait_until("it has configured itself", lambda: docker(*state) == "dead")
    watch.stop.set()
    watch.join()
    said = docker("exec", writer(), "journalctl", "--output", "cat")
    assert "PLAY RECAP" in said
    for secret in secret_values():
        assert secret not in said
        assert not [line for line in watch.seen if secret.encode() in line]
    assert any(b"chromafleet.aws.boot" in line for line in watch.seen)


# Each time it is seen by what the next update changes (test_3_rolling.py).
@pytest.mark.long
def test_then_nothing_is_left_to_do(demo: Done, clone: Path) -> None:
    """What an instance made of itself is what a run from here would have made of it."""
    done = run(*SITE, cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert set(done.changed().values()) == {0}, done.output


@pytest.mark.long
def test_a_run_that_was_killed_is_run_again(demo: Done, clone: Path) -> None:
    lost, volume = writer(), data_volume()
    aws("autoscaling").terminate_instance_in_auto_scaling_group(InstanceId=lost, ShouldDecrementDesiredCapacity=False)
    said = killed_at("docker : Install the packages", (*SITE, "-vvv"), clone)
    done = run(*SITE, cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert data_volume() == volume
    assert not [secret for secret in secret_values() if secret in said + done.output]


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
    print(f"failover: {seconds:.0f} s, of which {seconds_without_an_answer(reads):.0f} s without an answer")


@pytest.mark.long
def test_readers_come_while_nobody_runs_anything(with_readers: None, clone: Path) -> None:
    """The load balancer sends requests to one when its data are proved; a run from here has nothing to add."""
    aws("autoscaling").set_desired_capacity(AutoScalingGroupName="demo-main-reader", DesiredCapacity=2)
    began = time.monotonic()
    wait_until("two readers are healthy", lambda: readers() == ["healthy", "healthy"], 600)
    print(f"another reader: {time.monotonic() - began:.0f} s")
    done = run(*SITE, cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert set(done.changed().values()) == {0}, done.output


def test_no_file_of_the_controller_holds_a_secret(demo: Done, clone: Path) -> None:
    values = secret_values()
    assert len(values) >= 2  # of tokens, and of the cache
    assert files_with(values, clone) == ""


def readers() -> list[str]:
    """The health of each, as the load balancer sees it."""
    (group,) = aws("elbv2").describe_target_groups(Names=["demo-main-reader"])["TargetGroups"]
    targets = aws("elbv2").describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
    return [target["TargetHealth"]["State"] for target in targets]


def seconds_without_an_answer(reads: Load) -> float:
    """Of the one window in which requests fail, in ways that tell a client to ask again."""
    failed = [number for number, status in enumerate(reads.statuses) if status != 200]
    assert 200 not in reads.statuses[failed[0] : failed[-1] + 1]
    # The one that the instance was at when it ended may lose its connection, where the load balancer had kept one open.
    answers = [reads.statuses[number] for number in failed]
    cut = [answer for answer in answers if "Server disconnected" in str(answer)]
    assert len(cut) <= 1
    assert set(answers) - set(cut) <= {502, 503, 504}
    return reads.times[failed[-1] + 1] - reads.times[failed[0]]


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
