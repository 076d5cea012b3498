"""Readers of another release come up beside those that serve, and take over by shares of the requests.

After the tests that need the group of readers by the name that it had first.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from support import Done, Load, aws, docker, killed_at, run, wait_until, writer
from test_3_rolling import (
    OURS,
    ROLLBACK,
    SITE,
    UPDATE,
    choose_another_image,
    nothing_is_left_behind,
    running,
    served,
    slowest,
)

pytestmark = pytest.mark.long
#: Where a run is killed.
MOMENTS = [
    "Wait until the load balancer finds the second group healthy",
    "Tell how they were answered",
    "Say in AWS which group serves",
]
Clients = AbstractContextManager[list[Load]]
NAMES = {"reader": "demo-main-reader", "green": "demo-main-green"}


@pytest.fixture(scope="module")
def readers(demo: Done, clone: Path) -> Iterator[None]:
    """Two readers, and the strategy."""
    file = clone / "inventories/local/group_vars/all/10_local.yml"
    before = file.read_text()
    ours = (
        "fleet_update_strategy: blue_green\nfleet_readers_min: 2\nfleet_readers_max: 2\nfleet_blue_green_keep: 1800\n"
    )
    file.write_text(f"{before}\n{ours}")
    done = run(*SITE, cwd=clone)
    assert done.code == 0, done.output[-3000:]
    yield
    file.write_text(before)
    assert run(*SITE, cwd=clone).code == 0


@pytest.fixture
def clients(http: httpx.Client, read_http: httpx.Client, bearer: dict[str, str]) -> Clients:
    """Reads on both endpoints and writes, of which none fails and none is lost."""
    return served(http, read_http, bearer)


def groups() -> dict[str, dict[str, str]]:
    """Of each group of readers: its tags."""
    found = aws("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return {
        group["AutoScalingGroupName"]: {tag["Key"]: tag["Value"] for tag in group["Tags"]}
        for group in found
        if group["AutoScalingGroupName"] in NAMES.values()
    }


def serving() -> list[str]:
    """Where the rule of the reader endpoint forwards to: the ends of the target groups' names."""
    (balancer,) = aws("elbv2").describe_load_balancers()["LoadBalancers"]
    listeners = aws("elbv2").describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    (https,) = (one["ListenerArn"] for one in listeners if one["Port"] == 443)
    (rule,) = (r for r in aws("elbv2").describe_rules(ListenerArn=https)["Rules"] if r["Priority"] == "45002")
    (action,) = rule["Actions"]
    found = action.get("ForwardConfig", {}).get("TargetGroups") or [action]
    return [group["TargetGroupArn"].split("/")[1].rpartition("-")[2] for group in found]


def readers_of(group: str) -> set[str]:
    found = aws("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
    return {instance["InstanceId"] for one in found for instance in one["Instances"]}


def test_1_another_image_comes_with_other_readers(readers: None, clone: Path, clients: Clients) -> None:
    before, old = running(), readers_of(NAMES["reader"])
    choose_another_image(clone)
    with clients as loads:
        wait_until("clients are served", lambda: all(len(load.statuses) > 200 for load in loads))
        # With which the new readers are compared.
        docker("exec", writer(), "chromafleet-snapshot", "now")
        quiet, began = slowest(loads), time.monotonic()
        done = run(*SITE, cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert serving() == ["green"]
    # Those that served stand by, as they were.
    assert {host: digest for host, digest in running().items() if host in old} == {host: before[host] for host in old}
    assert not set(before.values()) & {digest for host, digest in running().items() if host not in old}
    assert groups()[NAMES["reader"]]["chromafleet:state"] == "standby"
    assert "chromafleet:state" not in groups()[NAMES["green"]]
    through = f"p99 of the fleet endpoint, of the readers': {quiet} before, {slowest(loads)} through it"
    print(f"\n{time.monotonic() - began:.0f} s; {through}")
    for share in ("10", "50", "100"):
        assert f"main, {share} %:" in done.output

    done = run(*SITE, cwd=clone)
    assert set(done.changed().values()) == {0}, done.output[-3000:]


def test_2_the_release_before_comes_back_at_once(readers: None, clone: Path, clients: Clients) -> None:
    old = {host: running()[host] for host in readers_of(NAMES["reader"])}
    with clients:
        began = time.time()
        done = run(*ROLLBACK, "-e", "release=previous", cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert serving() == ["reader"]
    assert {host: running()[host] for host in readers_of(NAMES["reader"])} == old
    assert groups()[NAMES["green"]]["chromafleet:state"] == "standby"
    print(f"\na return to readers that stood by, and the writer's turn: {time.time() - began:.0f} s")


@pytest.mark.parametrize("fault", ["wrong", "slow"])
def test_3_a_worse_release_is_not_taken_over(readers: None, clone: Path, clients: Clients, fault: str) -> None:
    before = {host: running()[host] for host in readers_of(NAMES["reader"])}
    choose_another_image(clone, fault)
    with clients:
        done = run(*UPDATE, cwd=clone)
    assert done.code != 0
    said = " ".join(done.output.split("Failed:")[1].split())
    print(f"\n{fault}: {said[:400]}")
    assert "All requests go to the readers that served before, which were not touched." in said
    assert serving() == ["reader"]
    assert readers_of(NAMES["green"]) == set()
    assert {host: running()[host] for host in readers_of(NAMES["reader"])} == before
    assert nothing_is_left_behind()


@pytest.mark.parametrize("moment", MOMENTS)
def test_4_a_run_that_is_killed_is_started_again(readers: None, clone: Path, clients: Clients, moment: str) -> None:
    choose_another_image(clone)
    with clients:
        killed_at(moment, UPDATE, clone)
        done = run(*UPDATE, cwd=clone)
    assert done.code == 0, done.output[-3000:]
    (end,) = serving()
    assert "chromafleet:state" not in groups()[NAMES[end]]


def test_5_what_nobody_wants_any_more_is_ended(readers: None, clone: Path, clients: Clients) -> None:
    """A run was killed half-way, and the image is the old one again."""
    (before,) = serving()
    file = clone / "inventories/local/group_vars/all/10_local.yml"
    kept = file.read_text()
    choose_another_image(clone)
    with clients:
        killed_at("Tell how they were answered", UPDATE, clone)
        assert len(serving()) == 2
        file.write_text(kept)
        done = run(*UPDATE, cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert serving() == [before]
    assert len([group for group in groups() if readers_of(group)]) == 1
    assert OURS in kept
