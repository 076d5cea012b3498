"""What the load balancer's role refuses before it changes anything, and the rules that it derives from the cells."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.chromafleet.aws.plugins.filter.hosted_zone import hosted_zone
from ansible_collections.chromafleet.aws.plugins.module_utils.listener_rules import faults, rules, slots, target_groups
from ansible_runs import run_ansible
from load_balancer_files import certificate, key_pem, new_key
from localcloud.balancer.config import render

HOSTS = ["chroma.vectors.io", "read.chroma.vectors.io"]
ARN = "arn:aws:acm:eu-central-1:123456789012:certificate/0a1b"
GOOD = {
    "aws_load_balancer_name": "demo",
    "aws_load_balancer_cells": [{"name": "main", "tenants": []}],
    "aws_load_balancer_vpc_id": "vpc-1",
    "aws_load_balancer_subnet_ids": ["subnet-1", "subnet-2"],
    "aws_load_balancer_security_group_id": "sg-1",
    "aws_load_balancer_endpoint": HOSTS[0],
    "aws_load_balancer_reader_endpoint": HOSTS[1],
    "aws_load_balancer_found": {
        "hosted_zones": {"Z1": {"domain": "vectors.io"}},
        "certificates": {},
        "load_balancers": {},
    },
}


def value(name, value):
    return {f"aws_load_balancer_{name}": value}


def cells(*tenants):
    """The first cell and others with these tenants."""
    return value("cells", [{"name": "main"}] + [{"name": f"c{n}", "tenants": some} for n, some in enumerate(tenants)])


LONG_HOST = f"chroma.{'a' * 60}.{'b' * 60}.io"
FAULTS = {
    "no cell": (value("cells", []), "aws_load_balancer_cells is empty: list at least one cell"),
    "cell twice": (value("cells", [{"name": "a"}, {"name": "a"}]), "lists the cell 'a' 2 times: name the cells apart."),
    "tenant twice": (
        cells(["acme"], ["acme"]),
        "aws_load_balancer_cells lists the tenant 'acme' 2 times (cells: c0, c1), but a tenant lives on one cell",
    ),
    "tenant with a wildcard": (
        cells(["ac*"]),
        "lists the tenant 'ac*' (3 characters), but a load balancer's path rule",
    ),
    "tenant with another wildcard": (cells(["ac?e"]), "lists the tenant 'ac?e' (4 characters)"),
    "tenant that is percent-encoded": (cells(["big co"]), "lists the tenant 'big co' (6 characters)"),
    "tenant that is a path": (cells([".."]), "lists the tenant '..' (2 characters)"),
    "tenant too long": (
        cells(["t" * 111]),
        "(111 characters), but a load balancer's path rule only tells names of 1 to 110",
    ),
    "too many rules": (
        cells([f"tenant-{n}" for n in range(50)]),
        "places 50 tenants on other cells than the first, which takes 102 rules, but AWS allows 100",
    ),
    "name with a dash at its end": (value("name", "demo-"), 'aws_load_balancer_name is "demo-" (5 characters)'),
    "target group too long": (
        value("cells", [{"name": "a-cell-with-a-long-name"}]),
        '"demo-a-cell-with-a-long-name-writer" (35 characters), but AWS allows at most 32',
    ),
    "endpoint too long": (
        value("endpoint", LONG_HOST) | value("certificate_arn", ARN),
        f'The endpoint "{LONG_HOST}" has 131 characters, but a load balancer\'s host rule takes 128',
    ),
    "endpoint too long for a request": (
        value("endpoint", f"{'c' * 60}.vectors.io"),
        "(71 characters), but the subject of a certificate takes 64",
    ),
    "no ARN": (value("certificate_arn", "chroma"), 'is "chroma", which is no ARN of AWS Certificate Manager'),
    "no zone": (
        value("found", GOOD["aws_load_balancer_found"] | {"hosted_zones": {"Z2": {"domain": "ors.io"}}}),
        f"no public hosted zone of Route 53 in this account covers {HOSTS[0]} and {HOSTS[1]}: make a zone",
    ),
    "another zone": (
        value("hosted_zone", "example.org"),
        'aws_load_balancer_hosted_zone is "example.org", but this account has no public hosted zone of that name or id',
    ),
    "old TLS": (
        value("ssl_policy", "ELBSecurityPolicy-TLS13-1-0-2021-06"),
        "which allows TLS older than 1.2 or is unknown",
    ),
    "old policy": (value("ssl_policy", "ELBSecurityPolicy-2016-08"), "which allows TLS older than 1.2 or is unknown"),
    "idle timeout": (value("idle_timeout", 4001), "aws_load_balancer_idle_timeout is 4001, but AWS takes 1 to 4000"),
    "delay": (value("deregistration_delay", 3601), "is 3601, but AWS takes 0 to 3600 seconds."),
    "rate": (value("waf_rate_limit", 5), "aws_load_balancer_waf_rate_limit is 5, but AWS takes 10 to"),
    "unknown group": (
        value("waf_counted", [{"group": "AWSManagedRulesSQLiRuleSet", "rule": "SQLi_BODY", "reason": "x"}]),
        "names the rule group AWSManagedRulesSQLiRuleSet, but the web ACL has AWSManagedRulesCommonRuleSet and",
    ),
}
KEY, OTHER, AUTHORITY = new_key(), new_key(), new_key()
SELF_SIGNED = certificate(HOSTS, KEY)
SIGNED = certificate(HOSTS, KEY, signer=AUTHORITY)
# The certificate, its key, its chain (None: not named, "": missing), the sentence.
FILES = {
    "self-signed": (SELF_SIGNED, key_pem(KEY), None, ""),
    "wildcards": (certificate(["*.vectors.io", "*.chroma.vectors.io"], KEY), key_pem(KEY), None, ""),
    "missing": ("", key_pem(KEY), None, "certificate, which is missing or holds no certificate (PEM)"),
    "no certificate": ("x", key_pem(KEY), None, "certificate, which is missing or holds no certificate (PEM)"),
    "no key": (SELF_SIGNED, SELF_SIGNED, None, "key, which is missing or holds no private key (PEM)"),
    "missing key": (SELF_SIGNED, "", None, "key, which is missing or holds no private key (PEM)"),
    "key with a passphrase": (SELF_SIGNED, key_pem(KEY, b"x"), None, "key, whose key has a passphrase"),
    "key of another": (SELF_SIGNED, key_pem(OTHER), None, "key, whose key belongs to another certificate"),
    "expired": (certificate(HOSTS, KEY, begins=-9, ends=-2), key_pem(KEY), None, "certificate, which expired on 20"),
    "not valid yet": (
        certificate(HOSTS, KEY, begins=2),
        key_pem(KEY),
        None,
        "certificate, which is valid only from 20",
    ),
    "one endpoint only": (
        certificate(HOSTS[:1], KEY),
        key_pem(KEY),
        None,
        f"certificate, which is for {HOSTS[0]}, but not for {HOSTS[1]}: take one",
    ),
    "wildcard of one level": (
        certificate(["*.vectors.io"], KEY),
        key_pem(KEY),
        None,
        f"certificate, which is for *.vectors.io, but not for {HOSTS[1]}",
    ),
    "missing chain": (SELF_SIGNED, key_pem(KEY), "", "chain, which is missing or holds no certificate (PEM)"),
    "chain of another": (
        SIGNED,
        key_pem(KEY),
        certificate(["authority"], OTHER),
        "chain, whose first certificate did not sign the endpoints' one",
    ),
    "signed": (SIGNED, key_pem(KEY), certificate(["authority"], AUTHORITY), ""),
}


def written(folder, name, content):
    if content:
        (folder / name).write_text(content)
    return str(folder / name)


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """What each case is told; all in one run, because a start of Ansible takes seconds."""
    folder = tmp_path_factory.mktemp("verdicts")
    inputs = {case: own for case, (own, _) in FAULTS.items()} | {"good": {}, "good ARN": value("certificate_arn", ARN)}
    for number, (case, (own, key, chain, _)) in enumerate(FILES.items()):
        place = folder / str(number)
        place.mkdir()
        inputs[case] = value("certificate_file", written(place, "certificate", own))
        inputs[case] |= value("certificate_key_file", written(place, "key", key))
        if chain is not None:
            inputs[case] |= value("certificate_chain_file", written(place, "chain", chain))
    tasks = []
    for case, own in inputs.items():
        role = {"name": "chromafleet.aws.aws_load_balancer", "tasks_from": "preflight"}
        report = {"content": "{{ ansible_failed_result.msg }}", "dest": str(folder / f"{case}.txt"), "mode": "0600"}
        block = [{"ansible.builtin.include_role": role, "vars": GOOD | own}]
        tasks.append({"name": case, "block": block, "rescue": [{"ansible.builtin.copy": report}]})
    playbook = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
    (folder / "play.yml").write_text(yaml.safe_dump(playbook))
    process = run_ansible(folder / "play.yml", inventory="localhost,", cwd=folder)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "PRIVATE KEY" not in process.stdout + process.stderr
    return {path.stem: path.read_text() for path in folder.glob("*.txt")}


@pytest.mark.parametrize("case", FAULTS)
def test_bad_input_is_one_sentence(verdicts, case):
    assert FAULTS[case][1] in verdicts[case]
    assert len(verdicts[case].splitlines()) == 1, "more than the one fault is told"


@pytest.mark.parametrize("case", FILES)
def test_files_are_judged_before_anything_changes(verdicts, case):
    if FILES[case][3]:
        assert verdicts[case].startswith("aws_load_balancer_certificate_")
        assert FILES[case][3].replace(",", "',", 1) in verdicts[case]
    assert (case in verdicts) == bool(FILES[case][3])


def test_good_input_is_silent(verdicts):
    assert not {"good", "good ARN"} & set(verdicts)


# --- Rules --------------------------------------------------------------------------------------------------------


def named(*tenants):
    return rules([{"name": "main", "tenants": ["at-home"]}, {"name": "big", "tenants": list(tenants)}], "demo", *HOSTS)


def test_endpoints_come_last_and_tenants_of_the_first_cell_need_no_rule():
    assert [(rule["priority"], rule["target_groups"]) for rule in named()] == [
        (45001, ["demo-main-writer"]),
        (45002, ["demo-main-reader"]),
    ]


def test_a_tenant_has_a_rule_for_each_endpoint():
    writer, reader, *endpoints = named("acme")
    paths = ["/api/v2/tenants/acme", "/api/v2/tenants/acme/*"]
    assert writer["conditions"] == {"host-header": [HOSTS[0]], "path-pattern": paths}
    assert reader["conditions"] == {"host-header": [HOSTS[1]], "path-pattern": paths}
    assert (writer["target_groups"], reader["target_groups"]) == (["demo-big-writer"], ["demo-big-reader"])
    assert endpoints == named()


def test_no_rule_has_more_than_aws_allows():
    for rule in named("t" * 110, "b"):
        values = [
            condition[key]["Values"] for condition in rule["rule"]["Conditions"] for key in condition if key != "Field"
        ]
        assert all(len(some) <= 3 for some in values)
        assert sum(map(len, values)) <= 5
        assert all(len(text) <= 128 for some in values for text in some)


def test_one_more_tenant_leaves_every_other_rule_as_it_is():
    few, more = named("acme", "globex"), named("0-first", "acme", "globex", "zz-last")
    assert all(rule in more for rule in few)
    assert len(more) == len(few) + 4


def test_tenants_whose_names_meet_get_rules_of_their_own(monkeypatch):
    monkeypatch.setattr("zlib.crc32", lambda _data: 19_999)
    assert slots(["b", "a"]) == {"a": 19_999, "b": 0}
    assert len({rule["priority"] for rule in named("a", "b")}) == 6


def test_as_many_tenants_as_rules_allow():
    most = [{"name": "main"}, {"name": "big", "tenants": [f"t{n}" for n in range(49)]}]
    assert faults(most, "cells") == []
    assert len(rules(most, "demo", *HOSTS)) == 100


def test_target_groups_carry_cell_and_role():
    groups = target_groups([{"name": "main"}, {"name": "big"}], "demo", {"chromafleet:fleet": "demo"})
    assert [group["name"] for group in groups] == [
        f"demo-{c}-{r}" for c in ("main", "big") for r in ("writer", "reader")
    ]
    assert groups[3]["tags"] == {"chromafleet:fleet": "demo", "chromafleet:cell": "big", "chromafleet:role": "reader"}


def test_the_local_balancer_understands_the_rules():
    group = {
        "HealthCheckIntervalSeconds": 10,
        "HealthCheckTimeoutSeconds": 5,
        "HealthyThresholdCount": 2,
        "UnhealthyThresholdCount": 2,
        "Protocol": "HTTPS",
        "Attributes": {},
    }
    groups = [
        group | {"TargetGroupName": name, "TargetGroupArn": f"arn:targetgroup/{name}/1"}
        for cell in ("main", "big")
        for name in (f"demo-{cell}-writer", f"demo-{cell}-reader")
    ]
    listed = [
        {
            "Priority": str(rule["priority"]),
            "Conditions": rule["rule"]["Conditions"],
            "Actions": [{"Type": "forward", "TargetGroupArn": f"arn:targetgroup/{rule['target_groups'][0]}/1"}],
        }
        for rule in named("acme")
    ]
    listener = {"Port": 443, "Protocol": "HTTPS", "CertificateFile": "/c.pem", "Rules": listed}
    text = render({"idle_timeout": "60", "listeners": [listener], "target_groups": groups}, {})
    assert r"acl r0_1 path -m reg ^/api/v2/tenants/acme$ ^/api/v2/tenants/acme/.*$" in text
    assert "int(0) if !{ var(txn.rule) -m found } r0_0 r0_1" in text
    assert "use_backend demo-big-writer_1 if { var(txn.rule) -m int 0 }" in text


# --- Hosted zones -------------------------------------------------------------------------------------------------

ZONES = {"Z1": {"domain": "io"}, "Z2": {"domain": "vectors.io"}, "Z3": {"domain": "chroma.vectors.io"}}


@pytest.mark.parametrize(
    ("host", "chosen", "zone"),
    [
        ("chroma.vectors.io", "", "Z3"),
        ("read.vectors.io", "", "Z2"),
        ("Read.Vectors.IO", "", "Z2"),
        ("myvectors.io", "", "Z1"),
        ("vectors.org", "", ""),
        ("chroma.vectors.io", "vectors.io.", "Z2"),
        ("chroma.vectors.io", "Z1", "Z1"),
        ("vectors.org", "Z1", ""),
    ],
)
def test_the_zone_that_covers_a_host_most_closely(host, chosen, zone):
    assert hosted_zone(host, ZONES, chosen) == zone
