"""haproxy.cfg says what the listeners, rules and target groups say."""

from __future__ import annotations

from typing import Any

import pytest
from localcloud.balancer.config import UnsupportedError, backend_name, render, server_options

GROUP = {
    "TargetGroupName": "demo-main-writer",
    "TargetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/demo-main-writer/0a1b",
    "Protocol": "HTTPS",
    "HealthCheckProtocol": "HTTPS",
    "HealthCheckPath": "/ready",
    "HealthCheckIntervalSeconds": 10,
    "HealthCheckTimeoutSeconds": 5,
    "HealthyThresholdCount": 3,
    "UnhealthyThresholdCount": 2,
    "Matcher": {"HttpCode": "200"},
    "Attributes": {},
}
FORWARD = [{"Type": "forward", "TargetGroupArn": GROUP["TargetGroupArn"]}]


def configured(*rules: dict[str, Any], known: dict[str, list[str]] | None = None) -> str:
    """The configuration of one HTTPS listener with these rules before a 404."""
    refuse = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404", "MessageBody": 'no "host"'}}
    listener = {
        "Port": 443,
        "Protocol": "HTTPS",
        "CertificateFile": "/c.pem",
        "Rules": [{"Priority": "default", "Actions": [refuse]}, *rules],
    }
    return render({"idle_timeout": "60", "listeners": [listener], "target_groups": [GROUP]}, known or {})


def test_rules_come_in_the_order_of_their_priorities_and_the_default_last() -> None:
    text = configured(
        {"Priority": "20", "Actions": FORWARD, "Conditions": [{"Field": "path-pattern", "Values": ["/api/*"]}]},
        {
            "Priority": "3",
            "Actions": FORWARD,
            "Conditions": [{"Field": "host-header", "Values": ["read.chroma.?.org"]}],
        },
    )
    first, second, default = (text.index(f"int({number})") for number in range(3))
    assert first < second < default
    assert r"acl r0_0 req.hdr(host),field(1,:) -m reg -i ^read\.chroma\..\.org$" in text
    assert "acl r1_0 path -m reg ^/api/.*$" in text
    assert (
        'http-request return status 404 content-type text/plain string "no \\"host\\"" if { var(txn.rule) -m int 2 }'
        in text
    )


def test_a_redirect_keeps_host_path_and_query() -> None:
    redirect = {"Protocol": "HTTPS", "Port": "443", "Host": "#{host}", "Path": "/#{path}", "StatusCode": "HTTP_301"}
    rules = [{"Priority": "default", "Actions": [{"Type": "redirect", "RedirectConfig": redirect}]}]
    listener = {"Port": 80, "Protocol": "HTTP", "Rules": rules}
    text = render({"idle_timeout": "60", "listeners": [listener], "target_groups": []}, {})
    url = "https://%[req.hdr(host),field(1,:)]/%[path,regsub(^/,)]"
    assert f"redirect code 301 location {url}?%[query] if {{ var(txn.rule) -m int 0 }} {{ query -m found }}" in text
    assert f"redirect code 301 location {url} if {{ var(txn.rule) -m int 0 }}\n" in text


def test_a_rule_forwards_by_weight() -> None:
    """A group without a weight gets nothing, and one alone needs no lot."""
    other = GROUP["TargetGroupArn"].replace("writer/0a1b", "green/2c3d")

    def forward(first: int, second: int) -> str:
        groups = [
            {"TargetGroupArn": GROUP["TargetGroupArn"], "Weight": first},
            {"TargetGroupArn": other, "Weight": second},
        ]
        return configured(
            {"Priority": "1", "Actions": [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]}
        )

    assert "set-var(txn.lot) rand(100) if { var(txn.rule) -m int 0 }" in forward(90, 10)
    assert "use_backend demo-main-writer_0a1b if { var(txn.rule) -m int 0 } { var(txn.lot) -m int lt 90 }" in forward(
        90, 10
    )
    assert "use_backend demo-main-green_2c3d if { var(txn.rule) -m int 0 } { var(txn.lot) -m int lt 100 }" in forward(
        90, 10
    )
    assert "use_backend demo-main-writer_0a1b if { var(txn.rule) -m int 0 } { var(txn.lot) -m int lt 0 }" in forward(
        0, 1
    )
    assert "txn.lot" not in forward(0, 0)


def test_health_checks_are_the_target_groups() -> None:
    assert server_options(GROUP) == "check inter 10s fall 2 rise 3 ssl verify none check-ssl verify none"
    text = configured()
    assert "http-check send meth GET uri /ready ver HTTP/1.1 hdr Host health" in text
    assert "http-check expect status 200" in text
    assert "timeout check 5s" in text


def test_a_reload_keeps_the_servers_that_run() -> None:
    name = backend_name(GROUP["TargetGroupArn"])
    assert name == "demo-main-writer_0a1b"
    assert f"  server i-1 10.42.128.4:443 {server_options(GROUP)}" in configured(known={name: ["i-1 10.42.128.4:443"]})


@pytest.mark.parametrize(
    "rule",
    [
        {"Priority": "1", "Actions": FORWARD, "Conditions": [{"Field": "source-ip", "Values": ["10.0.0.0/8"]}]},
        {"Priority": "1", "Actions": [{"Type": "authenticate-oidc"}]},
    ],
)
def test_what_it_does_not_do_it_says(rule: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError, match="this load balancer knows"):
        configured(rule)
