"""Elastic Load Balancing."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

from moto.core.exceptions import ServiceException
from moto.elbv2 import models

from localcloud.patches import Client, _probe, restores

#: What the load balancer found: (target group ARN, target id) -> (state, reason). Written by localcloud.balancer.
TARGET_HEALTH: dict[tuple[str, str], tuple[str, str | None]] = {}

DESCRIPTIONS = {
    None: None,
    "Elb.InitialHealthChecking": "Initial health checks in progress",
    "Elb.RegistrationInProgress": "Target registration is in progress",
    "Target.FailedHealthChecks": "Health checks failed",
    "Target.DeregistrationInProgress": "Target deregistration is in progress",
    "Target.NotInUse": "Target group is not configured to receive traffic from the load balancer",
}

DEFAULT_ATTRIBUTES = {
    "access_logs.s3.enabled": "false",
    "connection_logs.s3.enabled": "false",
    "idle_timeout.timeout_seconds": "60",
    "load_balancing.cross_zone.enabled": "true",
    "routing.http.desync_mitigation_mode": "defensive",
    "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.preserve_host_header.enabled": "false",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "routing.http.xff_client_port.enabled": "false",
    "routing.http.xff_header_processing.mode": "append",
    "routing.http2.enabled": "true",
    "waf.fail_open.enabled": "false",
}


@restores("A new application load balancer has all of its attributes, with AWS's defaults")
def default_attributes() -> None:
    stock = models.FakeLoadBalancer.__init__

    def init(self: Any, *args: Any, **more: Any) -> None:
        stock(self, *args, **more)
        self.attrs.update(DEFAULT_ATTRIBUTES)

    models.FakeLoadBalancer.__init__ = init


@default_attributes.shown_by
def _default_attributes(client: Client) -> bool:
    _, subnets = _probe.network(client)
    made = client("elbv2").create_load_balancer(Name="probe", Subnets=subnets)["LoadBalancers"][0]
    found = client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=made["LoadBalancerArn"])
    return {"idle_timeout.timeout_seconds", "routing.http2.enabled"} <= {row["Key"] for row in found["Attributes"]}


@restores("A target is `initial` until its health checks pass; a deregistered one is listed while it drains")
def target_health() -> None:
    stock_describe = models.ELBv2Backend.describe_target_health
    stock_health = models.FakeTargetGroup.health_for

    def health_for(self: Any, target: dict[str, Any], ec2_backend: Any) -> Any:
        found = stock_health(self, target, ec2_backend)
        if found.status == "healthy" or (self.arn, target["Id"]) in TARGET_HEALTH:
            state, reason = TARGET_HEALTH.get((self.arn, target["Id"]), ("initial", "Elb.RegistrationInProgress"))
            return models.FakeHealthStatus(
                target["Id"], found.port, found.health_check_port, state, reason, DESCRIPTIONS[reason]
            )
        return found

    def describe(self: Any, target_group_arn: str, targets: list[dict[str, Any]]) -> list[Any]:
        found = stock_describe(self, target_group_arn, targets)
        if targets:
            return found
        group = self.target_groups[target_group_arn]
        left = itertools.chain(group.deregistered_targets.values(), group.terminated_targets.values())
        draining = [target for target in left if _state(target_group_arn, target["Id"]) == "draining"]
        return found + [group.health_for(target, self.ec2_backend) for target in draining]

    def _state(arn: str, target: str) -> str | None:
        return TARGET_HEALTH.get((arn, target), (None, None))[0]

    models.FakeTargetGroup.health_for = health_for
    models.ELBv2Backend.describe_target_health = describe


@target_health.shown_by
def _target_health(client: Client) -> bool:
    arn = _probe.target_group(client, TargetType="ip")
    client("elbv2").register_targets(TargetGroupArn=arn, Targets=[{"Id": "10.9.0.9"}])

    def state() -> str:
        found = client("elbv2").describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return found[0]["TargetHealth"]["State"]

    if state() != "initial":
        return False
    TARGET_HEALTH[arn, "10.9.0.9"] = ("unused", "Target.NotInUse")
    return state() == "unused"


class OperationNotPermitted(ServiceException):
    """AWS's answer to what the deletion protection forbids."""

    code = "OperationNotPermitted"


@restores("A load balancer with deletion protection is not deleted")
def deletion_protection() -> None:
    stock = models.ELBv2Backend.delete_load_balancer

    def delete(self: Any, arn: str) -> None:
        balancer = self.load_balancers.get(arn)
        if balancer and balancer.attrs.get("deletion_protection.enabled") == "true":
            raise OperationNotPermitted(
                f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
            )
        stock(self, arn)

    models.ELBv2Backend.delete_load_balancer = delete


@deletion_protection.shown_by
def _deletion_protection(client: Client) -> bool:
    elb = client("elbv2")
    _, subnets = _probe.network(client)
    arn = elb.create_load_balancer(Name="probe", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    attributes = [{"Key": "deletion_protection.enabled", "Value": "true"}]
    elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=attributes)
    with contextlib.suppress(elb.exceptions.OperationNotPermittedException):
        elb.delete_load_balancer(LoadBalancerArn=arn)
    return len(elb.describe_load_balancers()["LoadBalancers"]) == 1


@restores("A target group belongs to the load balancers whose rules forward to it, also after a rule was changed")
def forwarded_to() -> None:
    backend = models.ELBv2Backend

    def attach(self: Any) -> None:
        for group in self.target_groups.values():
            group.load_balancer_arns = []
        for balancer in self.load_balancers.values():
            rules = [rule for listener in balancer.listeners.values() for rule in listener.rules.values()]
            actions = [action for rule in rules for action in rule.actions if action.type == "forward"]
            for arn in {arn for action in actions for arn in self._get_target_group_arns_from(action.data)}:
                self.target_groups[arn].load_balancer_arns.append(balancer.arn)

    def attaching(stock: Any) -> Any:
        def call(self: Any, *args: Any, **more: Any) -> Any:
            answer = stock(self, *args, **more)
            attach(self)
            return answer

        return call

    for operation in ("create_listener", "create_rule", "modify_listener", "modify_rule", "delete_rule"):
        setattr(backend, operation, attaching(getattr(backend, operation)))


@forwarded_to.shown_by
def _forwarded_to(client: Client) -> bool:
    _, subnets = _probe.network(client)
    balancing = client("elbv2")
    balancer = balancing.create_load_balancer(Name="probe", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    refuse = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
    listener = balancing.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=80, DefaultActions=[refuse])
    first, second = _probe.target_group(client), _probe.target_group(client, Name="second")
    made = balancing.create_rule(
        ListenerArn=listener["Listeners"][0]["ListenerArn"],
        Priority=1,
        Conditions=[{"Field": "path-pattern", "Values": ["/a"]}],
        Actions=[{"Type": "forward", "TargetGroupArn": first}],
    )
    groups = [{"TargetGroupArn": second, "Weight": 1}]
    balancing.modify_rule(
        RuleArn=made["Rules"][0]["RuleArn"],
        Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}],
    )
    found = balancing.describe_target_groups()["TargetGroups"]
    return {group["TargetGroupArn"]: group["LoadBalancerArns"] for group in found} == {first: [], second: [balancer]}
