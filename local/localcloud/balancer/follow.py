"""Make each HAProxy what the API says, and the API's target health what HAProxy finds."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any

from moto.acm.models import acm_backends

from localcloud import network
from localcloud.aws import client, every
from localcloud.balancer.config import UnsupportedError, backend_name, render, server_options
from localcloud.balancer.haproxy import HAProxy
from localcloud.balancer.traffic import Traffic
from localcloud.docker import labelled
from localcloud.patches.elbv2 import TARGET_HEALTH
from localcloud.settings import ACCOUNT_ID, PREFIX, REGION

log = logging.getLogger("balancer")

#: When a deregistered target's time is over: (target group ARN, target id) -> monotonic seconds.
_draining: dict[tuple[str, str], float] = {}
#: Targets that have not passed a health check yet, and when they are unhealthy for it (monotonic seconds).
_initial: dict[tuple[str, str], float] = {}
_addresses: dict[str, str] = {}
_traffic: dict[str, Traffic] = {}


def follow() -> None:
    """One round: configuration, registrations, health."""
    balancers = every("elbv2", "describe_load_balancers", "LoadBalancers")
    groups = every("elbv2", "describe_target_groups", "TargetGroups")
    for group in groups:
        group["Attributes"] = _attributes("target_group", "TargetGroupArn", group["TargetGroupArn"])
    for balancer in balancers:
        mine = [group for group in groups if balancer["LoadBalancerArn"] in group["LoadBalancerArns"]]
        try:
            _follow_one(balancer, mine)
        except UnsupportedError as error:
            log.warning("%s: %s", balancer["LoadBalancerName"], error)
    names = {f"{PREFIX}-balancer-{balancer['LoadBalancerName']}" for balancer in balancers}
    for gone in set(labelled("container", balancer="")) - names:
        name = gone.removeprefix(f"{PREFIX}-balancer-")
        HAProxy(name).remove()
        _addresses.pop(name, None)
        if traffic := _traffic.pop(name, None):
            traffic.ended.set()
    for group in groups:
        if not group["LoadBalancerArns"]:
            for target in _registered(group):
                TARGET_HEALTH[group["TargetGroupArn"], target] = ("unused", "Target.NotInUse")


def _follow_one(balancer: dict[str, Any], groups: list[dict[str, Any]]) -> None:
    proxy = HAProxy(balancer["LoadBalancerName"])
    if proxy.name not in _traffic:
        _traffic[proxy.name] = Traffic(proxy.folder, balancer["LoadBalancerArn"].partition(":loadbalancer/")[2])
        _traffic[proxy.name].start()
    listeners = every("elbv2", "describe_listeners", "Listeners", LoadBalancerArn=balancer["LoadBalancerArn"])
    if not listeners:
        return
    for listener in listeners:
        listener["Rules"] = client("elbv2").describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
        if listener["Protocol"] == "HTTPS":
            listener["CertificateFile"] = _certificate(proxy, listener["Certificates"][0]["CertificateArn"])
    attributes = _attributes("load_balancer", "LoadBalancerArn", balancer["LoadBalancerArn"])
    wanted = {
        "idle_timeout": attributes["idle_timeout.timeout_seconds"],
        "listeners": listeners,
        "target_groups": groups,
    }
    proxy.configure(
        partial(render, wanted),
        network.of_vpc(balancer["VpcId"]),
        _address(proxy.name),
        [row["Port"] for row in listeners],
    )
    for group in groups:
        _follow_targets(proxy, group)


def _follow_targets(proxy: HAProxy, group: dict[str, Any]) -> None:
    arn, backend = group["TargetGroupArn"], backend_name(group["TargetGroupArn"])
    servers = {server: row for (name, server), row in proxy.servers().items() if name == backend}
    registered = _registered(group)
    addresses = _instance_addresses([target for target in registered if target not in servers])
    for target, port in registered.items():
        if target not in servers and target in addresses:
            if not _say(proxy, f"add server {backend}/{target} {addresses[target]}:{port} {server_options(group)}"):
                continue
            log.info("%s: %s registered", group["TargetGroupName"], target)
            # In this order: the server stays down until a health check passes.
            _say(proxy, f"enable health {backend}/{target}")
            _say(proxy, f"set server {backend}/{target} state ready")
            _say(proxy, f"set server {backend}/{target} health down")
            rounds = int(group["UnhealthyThresholdCount"]) * int(group["HealthCheckIntervalSeconds"])
            _initial[arn, target] = time.monotonic() + rounds
        elif (arn, target) in _draining:
            log.info("%s: %s registered again", group["TargetGroupName"], target)
            del _draining[arn, target]
            _say(proxy, f"set server {backend}/{target} state ready")
        if target in servers:
            TARGET_HEALTH[arn, target] = _health(proxy, f"{backend}/{target}", (arn, target), servers[target])
    for target in set(servers) - set(registered):
        _drain(proxy, group, target, servers[target])


def _health(proxy: HAProxy, server: str, key: tuple[str, str], row: dict[str, str]) -> tuple[str, str | None]:
    """A target's state as the ALB names it; the first passed check makes a new target healthy."""
    if key in _initial:
        if row["check_status"] in ("L7OK", "L6OK", "L4OK"):
            _say(proxy, f"set server {server} health up")
            del _initial[key]
            return "healthy", None
        if time.monotonic() < _initial[key]:
            return "initial", "Elb.InitialHealthChecking"
        if row["status"].startswith("DOWN"):
            return "unhealthy", "Target.FailedHealthChecks"
        del _initial[key]
    return ("healthy", None) if row["status"].startswith("UP") else ("unhealthy", "Target.FailedHealthChecks")


def _drain(proxy: HAProxy, group: dict[str, Any], target: str, row: dict[str, str]) -> None:
    """No new request; those under way may finish within the deregistration delay."""
    key = (group["TargetGroupArn"], target)
    server = f"{backend_name(key[0])}/{target}"
    if key not in _draining:
        log.info("%s: %s draining", group["TargetGroupName"], target)
        _draining[key] = time.monotonic() + float(group["Attributes"]["deregistration_delay.timeout_seconds"])
        _initial.pop(key, None)
        _say(proxy, f"set server {server} state drain")
        TARGET_HEALTH[key] = ("draining", "Target.DeregistrationInProgress")
    elif int(row["scur"] or 0) == 0 or time.monotonic() >= _draining[key]:
        log.info("%s: %s drained with %s requests under way", group["TargetGroupName"], target, row["scur"])
        _say(proxy, f"set server {server} state maint")
        _say(proxy, f"shutdown sessions server {server}")
        answer = proxy.command(f"del server {server}")
        if "Server deleted" in answer:
            del _draining[key]
            TARGET_HEALTH.pop(key, None)


def _certificate(proxy: HAProxy, arn: str) -> str:
    """The listener's certificate with its key; no API call returns the key of an imported certificate."""
    bundle = acm_backends[ACCOUNT_ID][REGION]._certificates[arn]
    name = f"{arn.rsplit('/', 1)[-1]}.pem"
    path = proxy.certificates / name
    content = b"\n".join([bundle.cert, bundle.chain or b"", bundle.key])
    if not path.exists() or path.read_bytes() != content:
        path.touch(mode=0o600)
        path.write_bytes(content)
    return f"/balancer/certificates/{name}"


def _address(name: str) -> str:
    """The loopback address of a load balancer: the first has 127.0.0.1, to which *.localhost resolves."""
    if name not in _addresses:
        _addresses[name] = next(
            free for free in map("127.0.0.{}".format, range(1, 255)) if free not in _addresses.values()
        )
    return _addresses[name]


def _registered(group: dict[str, Any]) -> dict[str, int]:
    health = client("elbv2").describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
    return {row["Target"]["Id"]: row["Target"]["Port"] for row in health if row["TargetHealth"]["State"] != "draining"}


def _instance_addresses(targets: list[str]) -> dict[str, str]:
    if not targets:
        return {}
    found = every("ec2", "describe_instances", "Reservations", InstanceIds=targets)
    return {i["InstanceId"]: i["PrivateIpAddress"] for r in found for i in r["Instances"] if i.get("PrivateIpAddress")}


def _attributes(kind: str, argument: str, arn: str) -> dict[str, str]:
    answer = getattr(client("elbv2"), f"describe_{kind}_attributes")(**{argument: arn})
    return {row["Key"]: row["Value"] for row in answer["Attributes"]}


def _say(proxy: HAProxy, command: str) -> bool:
    """Say it; false, and a line in the log, when HAProxy would not."""
    answer = proxy.command(command)
    done = not answer or "New server registered" in answer
    if not done:
        log.warning("%s: %s: %s", proxy.name, command, answer)
    return done
