"""haproxy.cfg out of listeners, rules and target groups. Pure: dictionaries of boto3 in, text out."""

from __future__ import annotations

import itertools
import re
from typing import Any

GLOBAL = """\
global
  stats socket /balancer/admin.sock mode 666 level admin
  server-state-base /balancer
  server-state-file servers.state
  log stdout format raw local0 notice
  log /balancer/requests.sock len 256 format raw local1 info
  ssl-default-bind-options ssl-min-ver TLSv1.2
  hard-stop-after 10m
  maxconn 8000
defaults
  mode http
  log global
  load-server-state-from-file global
  timeout connect 5s
  timeout client {idle}s
  timeout server {idle}s
  timeout http-keep-alive {idle}s
  timeout tunnel {idle}s
  option forwardfor
  option http-keep-alive
  option idle-close-on-response
  http-reuse safe
  retries 0
"""

#: Redirect placeholders of the API and what HAProxy calls them.
PLACEHOLDERS = {"#{host}": "%[req.hdr(host),field(1,:)]", "#{path}": "%[path,regsub(^/,)]", "#{query}": "%[query]"}


class UnsupportedError(ValueError):
    """The API holds something that this load balancer does not do."""


def backend_name(target_group_arn: str) -> str:
    """The backend of a target group: its name and id."""
    return "_".join(target_group_arn.split("/")[-2:])


def render(balancer: dict[str, Any], known: dict[str, list[str]]) -> str:
    """The configuration of one load balancer.

    `balancer` has `idle_timeout` (s), `listeners` (each with `Rules` and `CertificateFile`) and `target_groups`
    (each with `Attributes`); `known` has for each backend `NAME ADDRESS` of the servers that a reload must keep.
    """
    parts = [GLOBAL.format(idle=balancer["idle_timeout"])]
    parts += [_frontend(listener) for listener in balancer["listeners"]]
    parts += [
        _backend(group, known.get(backend_name(group["TargetGroupArn"]), [])) for group in balancer["target_groups"]
    ]
    return "\n".join(parts)


def _frontend(listener: dict[str, Any]) -> str:
    tls = f" ssl crt {listener['CertificateFile']} alpn h2,http/1.1" if listener["Protocol"] == "HTTPS" else ""
    lines = [
        f"frontend listener_{listener['Port']}",
        f"  bind :{listener['Port']}{tls}",
        # Read by localcloud.balancer.traffic.
        '  log-format "%b %ST %Tr"',
        f"  http-request set-header X-Forwarded-Proto {listener['Protocol'].lower()}",
        f"  http-request set-header X-Forwarded-Port {listener['Port']}",
    ]
    rules = sorted(listener["Rules"], key=lambda rule: float(rule["Priority"].replace("default", "inf")))
    chosen: list[str] = []
    for number, rule in enumerate(rules):
        tests = [_acl(f"r{number}_{n}", condition) for n, condition in enumerate(rule.get("Conditions", []))]
        lines += [f"  acl {test}" for test in tests]
        names = " ".join(test.split()[0] for test in tests)
        lines.append(
            f"  http-request set-var(txn.rule) int({number}) if !{{ var(txn.rule) -m found }} {names}".rstrip()
        )
        chosen.append(_action(rule["Actions"], f"{{ var(txn.rule) -m int {number} }}"))
    return "\n".join([*lines, *chosen]) + "\n"


def _acl(name: str, condition: dict[str, Any]) -> str:
    match condition["Field"]:
        case "host-header":
            values = condition.get("HostHeaderConfig", condition)["Values"]
            return f"{name} req.hdr(host),field(1,:) -m reg -i {_patterns(values)}"
        case "path-pattern":
            values = condition.get("PathPatternConfig", condition)["Values"]
            return f"{name} path -m reg {_patterns(values)}"
        case other:
            raise UnsupportedError(
                f"a listener rule has a condition on {other}; this load balancer knows host-header and path-pattern"
            )


def _patterns(values: list[str]) -> str:
    """ALB wildcards (* and ?) as anchored regular expressions."""
    return " ".join("^" + re.escape(value).replace(r"\*", ".*").replace(r"\?", ".") + "$" for value in values)


def _action(actions: list[dict[str, Any]], condition: str) -> str:
    (action,) = actions
    match action["Type"]:
        case "forward":
            groups = action.get("ForwardConfig", {}).get("TargetGroups") or [action]
            return _forward(groups, condition)
        case "redirect":
            redirect = action["RedirectConfig"]
            host = _placeholders(redirect.get("Host", "#{host}"))
            port = "" if redirect["Port"] in ("443", "#{port}") else f":{redirect['Port']}"
            url = f"{redirect['Protocol'].lower()}://{host}{port}{_placeholders(redirect.get('Path', '/#{path}'))}"
            code = redirect["StatusCode"].removeprefix("HTTP_")
            with_query = (
                f"  http-request redirect code {code} location {url}?%[query] if {condition} {{ query -m found }}"
            )
            return f"{with_query}\n  http-request redirect code {code} location {url} if {condition}"
        case "fixed-response":
            fixed = action["FixedResponseConfig"]
            body = fixed.get("MessageBody", "").replace("\\", "\\\\").replace('"', '\\"')
            kind = fixed.get("ContentType", "text/plain")
            return (
                f'  http-request return status {fixed["StatusCode"]} content-type {kind} string "{body}" if {condition}'
            )
        case other:
            raise UnsupportedError(
                f"a listener rule has the action {other}; this load balancer knows forward, redirect, fixed-response"
            )


def _forward(groups: list[dict[str, Any]], condition: str) -> str:
    """To one target group or, by weight, to several; like the ALB it looks at no group's health here."""
    weights = [int(group.get("Weight", 1)) for group in groups]
    if len(groups) == 1 or sum(weights) == 0:
        return f"  use_backend {backend_name(groups[0]['TargetGroupArn'])} if {condition}"
    lines = [f"  http-request set-var(txn.lot) rand({sum(weights)}) if {condition}"]
    for group, below in zip(groups, itertools.accumulate(weights), strict=True):
        lines.append(
            f"  use_backend {backend_name(group['TargetGroupArn'])} if {condition} {{ var(txn.lot) -m int lt {below} }}"
        )
    return "\n".join(lines)


def _placeholders(text: str) -> str:
    for placeholder, fetch in PLACEHOLDERS.items():
        text = text.replace(placeholder, fetch)
    return text


def _backend(group: dict[str, Any], servers: list[str]) -> str:
    algorithm = group["Attributes"].get("load_balancing.algorithm.type", "round_robin")
    codes = group.get("Matcher", {}).get("HttpCode", "200")
    path = group.get("HealthCheckPath") or "/"
    return "\n".join(
        [
            f"backend {backend_name(group['TargetGroupArn'])}",
            f"  balance {'leastconn' if algorithm == 'least_outstanding_requests' else 'roundrobin'}",
            "  option httpchk",
            f"  http-check send meth GET uri {path} ver HTTP/1.1 hdr Host health hdr User-Agent ELB-HealthChecker/2.0",
            f"  http-check expect status {codes}",
            f"  timeout check {group['HealthCheckTimeoutSeconds']}s",
            *[f"  server {line} {server_options(group)}" for line in servers],
            "",
        ]
    )


def server_options(group: dict[str, Any]) -> str:
    """How a target is spoken to and checked, for `server` lines and for `add server`."""
    secure = group["Protocol"] == "HTTPS"
    checked = group.get("HealthCheckProtocol", group["Protocol"]) == "HTTPS"
    if secure and not checked:
        raise UnsupportedError(f"{group['TargetGroupName']} speaks HTTPS to its targets and checks them over HTTP")
    # A server that is added at run time is checked over TLS only when it is told so.
    tls = (" ssl verify none" if secure else "") + (" check-ssl verify none" if checked else "")
    return (
        f"check inter {group['HealthCheckIntervalSeconds']}s fall {group['UnhealthyThresholdCount']} "
        f"rise {group['HealthyThresholdCount']}{tls}"
    )
