"""The load balancer's layer from an empty account to an empty account, against an AWS API of its own."""

from __future__ import annotations

import json
import re

import pytest
from ansible_runs import run_ansible
from load_balancer_files import certificate, key_pem, new_key

pytestmark = pytest.mark.slow

PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  module_defaults:
    group/amazon.aws.aws: "{{ connection }}"
    group/community.aws.aws: "{{ connection }}"
    group/chromafleet.aws.aws: "{{ connection }}"
  environment: {AWS_REGION: us-east-1, AWS_DEFAULT_REGION: us-east-1}
  tasks:
    - chromafleet.aws.fleet_info: {fleet: demo, layers: [load_balancer]}
      register: found
    - ansible.builtin.include_role: {name: chromafleet.aws.aws_load_balancer, tasks_from: "{{ entry }}"}
      vars: {aws_load_balancer_found: "{{ found.load_balancer }}"}
    - ansible.builtin.copy:
        dest: "{{ facts }}"
        content: "{{ aws_load_balancer_target_group_arns | to_json }}"
        mode: "0600"
      check_mode: false
      changed_when: false
      when: entry == 'main'
"""
HOSTS = ["chroma.vectors.io", "read.chroma.vectors.io"]
REQUESTED = ", ".join(HOSTS)
GROUPS = [f"demo-{cell}-{role}" for cell in ("big", "main") for role in ("reader", "writer")]
KINDS = (
    "certificate",
    "validation record",
    "DNS record",
    "target group",
    "load balancer",
    "listener",
    "listener rule",
    "web ACL",
    "web ACL rule",
    "web ACL association",
)


@pytest.fixture(scope="module")
def fleet(aws, tmp_path_factory):
    """Run the role in a network and a hosted zone that are there already; returns the plan's rows."""
    folder = tmp_path_factory.mktemp("load_balancer")
    (folder / "play.yml").write_text(PLAY)
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"]
        for n, zone in enumerate("ab")
    ]
    group = ec2.create_security_group(GroupName="balancer", Description="balancer", VpcId=vpc)["GroupId"]
    for domain in ("io", "vectors.io"):
        aws.client("route53").create_hosted_zone(Name=domain, CallerReference=domain)
    values = {
        "aws_load_balancer_name": "demo",
        "aws_load_balancer_cells": [{"name": "main", "tenants": []}, {"name": "big", "tenants": ["acme", "globex"]}],
        "aws_load_balancer_vpc_id": vpc,
        "aws_load_balancer_subnet_ids": [subnet["SubnetId"] for subnet in subnets],
        "aws_load_balancer_security_group_id": group,
        "aws_load_balancer_endpoint": HOSTS[0],
        "aws_load_balancer_reader_endpoint": HOSTS[1],
        "aws_load_balancer_deletion_protection": True,
        "aws_load_balancer_access_logs_bucket": "logs",
        "aws_load_balancer_waf": True,
        "aws_load_balancer_tags": {"chromafleet:fleet": "demo"},
        "connection": aws.connection,
        "facts": str(folder / "facts.json"),
    }

    def run(*arguments, entry="main", **own):
        aws.forget()
        process = run_ansible(
            folder / "play.yml",
            *arguments,
            "-e",
            json.dumps(values | {"entry": entry} | own),
            inventory="localhost,",
            env={"ANSIBLE_CALLBACKS_ENABLED": "chromafleet.aws.fleet_plan", "FLEET_PLAN_VALUE_LENGTH": "500"},
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    run.facts = lambda: json.loads((folder / "facts.json").read_text())
    run.folder = folder
    return run


def rows(said):
    """What a plan says: (action, kind) -> names."""
    found = {}
    kinds = "|".join(KINDS)
    for action, kind, name in re.findall(
        rf"^(create|change|destroy) +({kinds}) {{2,}}(\S.*?)(?: {{2,}}.*)?$", said, re.M
    ):
        found.setdefault((action, kind), []).append(name)
    return found


def operations(aws):
    return sorted({call["operation"] for call in aws.writes()})


@pytest.fixture(scope="module")
def made(aws, fleet):
    """The layer in an account that was empty, after a plan that must not touch anything."""
    planned = rows(fleet("--check"))
    written = aws.writes()
    said = fleet()
    return {"planned": planned, "written": written, "said": said, "facts": fleet.facts()}


def balancer_of(aws):
    return aws.client("elbv2").describe_load_balancers()["LoadBalancers"][0]


def listener_of(aws, port):
    arn = balancer_of(aws)["LoadBalancerArn"]
    listeners = aws.client("elbv2").describe_listeners(LoadBalancerArn=arn)["Listeners"]
    return next(listener for listener in listeners if listener["Port"] == port)


def rules_of(aws):
    rules = aws.client("elbv2").describe_rules(ListenerArn=listener_of(aws, 443)["ListenerArn"])["Rules"]
    return {rule["Priority"]: rule for rule in rules}


def records_of(aws):
    route53 = aws.client("route53")
    return {
        (zone["Name"], row["Name"], row["Type"]): row
        for zone in route53.list_hosted_zones()["HostedZones"]
        for row in route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
        if row["Type"] not in ("NS", "SOA")
    }


@pytest.mark.long
def test_an_empty_account_is_planned_without_a_write(made):
    assert made["written"] == []
    assert {action for action, _kind in made["planned"]} == {"create"}
    assert {kind for _action, kind in made["planned"]} == set(KINDS)
    assert made["planned"]["create", "certificate"] == [REQUESTED]
    assert made["planned"]["create", "target group"] == GROUPS


@pytest.mark.long
def test_the_certificate_is_issued_by_its_records_in_the_closest_zone(aws, made):
    acm = aws.client("acm")
    (summary,) = acm.list_certificates()["CertificateSummaryList"]
    assert summary["Status"] == "ISSUED"
    assert listener_of(aws, 443)["Certificates"][0]["CertificateArn"] == summary["CertificateArn"]
    records = records_of(aws)
    assert {zone for zone, _name, _type in records} == {"vectors.io."}
    assert sum(kind == "CNAME" for _zone, _name, kind in records) == 2
    aliases = {records["vectors.io.", f"{host}.", "A"]["AliasTarget"]["DNSName"].rstrip(".") for host in HOSTS}
    assert aliases == {balancer_of(aws)["DNSName"]}


@pytest.mark.long
def test_the_load_balancer_refuses_what_it_should(aws, made):
    elb = aws.client("elbv2")
    arn = balancer_of(aws)["LoadBalancerArn"]
    attributes = elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
    found = {row["Key"]: row["Value"] for row in attributes}
    assert found["routing.http.drop_invalid_header_fields.enabled"] == "true"
    assert found["deletion_protection.enabled"] == "true"
    assert (found["access_logs.s3.enabled"], found["access_logs.s3.bucket"]) == ("true", "logs")
    assert listener_of(aws, 443)["SslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-2021-06"
    assert listener_of(aws, 80)["DefaultActions"][0]["RedirectConfig"]["Protocol"] == "HTTPS"


@pytest.mark.long
def test_tenants_go_to_their_cell(aws, made):
    groups = {
        group["TargetGroupArn"]: group["TargetGroupName"]
        for group in aws.client("elbv2").describe_target_groups()["TargetGroups"]
    }
    routed = {
        (field_of(rule, "host-header")[0], *field_of(rule, "path-pattern")): groups[
            rule["Actions"][0]["TargetGroupArn"]
        ]
        for rule in rules_of(aws).values()
        if not rule["IsDefault"]
    }
    wanted = {(host,): f"demo-main-{role}" for host, role in zip(HOSTS, ("writer", "reader"), strict=True)}
    for tenant in ("acme", "globex"):
        paths = (f"/api/v2/tenants/{tenant}", f"/api/v2/tenants/{tenant}/*")
        wanted |= {(host, *paths): f"demo-big-{role}" for host, role in zip(HOSTS, ("writer", "reader"), strict=True)}
    assert routed == wanted
    assert made["facts"]["big"]["reader"] in groups
    assert groups[made["facts"]["main"]["writer"]] == "demo-main-writer"


def field_of(rule, field):
    config = {"host-header": "HostHeaderConfig", "path-pattern": "PathPatternConfig"}[field]
    return [value for c in rule["Conditions"] if c["Field"] == field for value in c[config]["Values"]]


@pytest.mark.long
def test_the_web_acl_counts_what_documents_would_trip(aws, made):
    waf = aws.client("wafv2")
    (listed,) = waf.list_web_acls(Scope="REGIONAL")["WebACLs"]
    rules = {rule["Name"]: rule for rule in waf.get_web_acl(ARN=listed["ARN"])["WebACL"]["Rules"]}
    assert list(rules) == ["rate-limit", "common", "known-bad-inputs"]
    common = rules["common"]["Statement"]["ManagedRuleGroupStatement"]
    counted = {row["Name"] for row in common["RuleActionOverrides"] if row["ActionToUse"] == {"Count": {}}}
    assert {"SizeRestrictions_BODY", "CrossSiteScripting_BODY", "GenericRFI_BODY"} <= counted
    assert not any(rule["VisibilityConfig"]["SampledRequestsEnabled"] for rule in rules.values())
    balancer = balancer_of(aws)["LoadBalancerArn"]
    assert waf.get_web_acl_for_resource(ResourceArn=balancer)["WebACL"]["ARN"] == listed["ARN"]


@pytest.mark.long
def test_a_second_run_changes_nothing(aws, made, fleet):
    said = fleet()
    assert "changed=0" in said
    assert aws.writes() == []


@pytest.mark.long
def test_drift_is_named_and_mended(aws, made, fleet):
    elb, waf = aws.client("elbv2"), aws.client("wafv2")
    rules = sorted(
        (rule for rule in rules_of(aws).values() if not rule["IsDefault"]), key=lambda rule: int(rule["Priority"])
    )
    elb.delete_rule(RuleArn=rules[0]["RuleArn"])
    narrowed = [{"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}}]
    narrowed += [{"Field": "host-header", "HostHeaderConfig": {"Values": [HOSTS[0]]}}]
    elb.modify_rule(RuleArn=rules[-2]["RuleArn"], Conditions=narrowed)
    idle = [{"Key": "idle_timeout.timeout_seconds", "Value": "7"}]
    elb.modify_load_balancer_attributes(LoadBalancerArn=balancer_of(aws)["LoadBalancerArn"], Attributes=idle)
    group = elb.describe_target_groups(Names=["demo-big-writer"])["TargetGroups"][0]["TargetGroupArn"]
    elb.modify_target_group(TargetGroupArn=group, HealthCheckPath="/elsewhere")
    (listed,) = waf.list_web_acls(Scope="REGIONAL")["WebACLs"]
    acl = waf.get_web_acl(ARN=listed["ARN"])["WebACL"]
    waf.update_web_acl(
        Name="demo",
        Scope="REGIONAL",
        Id=listed["Id"],
        LockToken=listed["LockToken"],
        DefaultAction=acl["DefaultAction"],
        VisibilityConfig=acl["VisibilityConfig"],
        Rules=acl["Rules"][1:],
    )
    row = records_of(aws)["vectors.io.", f"{HOSTS[1]}.", "A"]
    zone = aws.client("route53").list_hosted_zones_by_name(DNSName="vectors.io")["HostedZones"][0]["Id"]
    gone = {"Changes": [{"Action": "DELETE", "ResourceRecordSet": row}]}
    aws.client("route53").change_resource_record_sets(HostedZoneId=zone, ChangeBatch=gone)

    drifted = {
        ("create", "listener rule"): [f"demo:443/{rules[0]['Priority']}"],
        ("change", "listener rule"): ["demo:443/45001"],
        ("change", "load balancer"): ["demo"],
        ("change", "target group"): ["demo-big-writer"],
        ("create", "web ACL rule"): ["demo/rate-limit"],
        ("create", "DNS record"): [HOSTS[1]],
    }
    assert rows(fleet("--check")) == drifted
    assert aws.writes() == []
    fleet()
    assert [condition["Field"] for condition in rules_of(aws)["45001"]["Conditions"]] == ["host-header"]


@pytest.mark.long
def test_one_more_tenant_leaves_the_other_rules_alone(aws, made, fleet):
    cells = [{"name": "main"}, {"name": "big", "tenants": ["acme", "globex", "initech"]}]
    fleet(aws_load_balancer_cells=cells)
    # Nor is anything left of the drift.
    assert operations(aws) == ["CreateRule"]


@pytest.mark.long
def test_another_certificate_comes_to_the_listener_before_the_old_one_goes(aws, made, fleet):
    files = {"certificate_file": fleet.folder / "a.pem", "certificate_key_file": fleet.folder / "a.key"}
    own = {f"aws_load_balancer_{name}": str(path) for name, path in files.items()}
    key = new_key()
    files["certificate_key_file"].write_text(key_pem(key))
    files["certificate_file"].write_text(certificate(HOSTS, key))
    fleet(**own)
    order = [call["operation"] for call in aws.writes() if call["service"] in ("acm", "elbv2")]
    assert order.index("ImportCertificate") < order.index("ModifyListener") < order.index("DeleteCertificate")
    types = {"keyTypes": ["EC_prime256v1", "RSA_2048"]}
    (summary,) = aws.client("acm").list_certificates(Includes=types)["CertificateSummaryList"]
    arn = summary["CertificateArn"]
    assert listener_of(aws, 443)["Certificates"][0]["CertificateArn"] == arn
    assert not [kind for _zone, _name, kind in records_of(aws) if kind == "CNAME"]

    # Renewed: the listener keeps its ARN.
    files["certificate_file"].write_text(certificate(HOSTS, key, ends=60))
    fleet(**own)
    assert operations(aws) == ["AddTagsToCertificate", "ImportCertificate"]
    there = aws.client("acm").get_certificate(CertificateArn=arn)["Certificate"]
    assert there.strip() == files["certificate_file"].read_text().strip()


@pytest.mark.long
def test_firewall_and_records_can_be_switched_off(aws, made, fleet):
    fleet(aws_load_balancer_waf=False, aws_load_balancer_dns=False)
    assert aws.client("wafv2").list_web_acls(Scope="REGIONAL")["WebACLs"] == []
    assert not [kind for _zone, _name, kind in records_of(aws) if kind == "A"]


@pytest.mark.long
def test_a_record_of_somebody_else_is_left_alone(aws, made, fleet):
    zone = aws.client("route53").list_hosted_zones_by_name(DNSName="vectors.io")["HostedZones"][0]["Id"]
    foreign = {"Name": HOSTS[0], "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}]}

    def change(action):
        changes = {"Changes": [{"Action": action, "ResourceRecordSet": foreign}]}
        aws.client("route53").change_resource_record_sets(HostedZoneId=zone, ChangeBatch=changes)

    change("CREATE")
    with pytest.raises(AssertionError, match="this fleet has not made"):
        fleet()
    assert records_of(aws)["vectors.io.", f"{HOSTS[0]}.", "A"]["ResourceRecords"] == [{"Value": "192.0.2.1"}]
    change("DELETE")


@pytest.mark.long
def test_destruction_leaves_nothing_and_can_be_repeated(aws, made, fleet):
    fleet()
    planned = rows(fleet("--check", entry="destroy"))
    assert aws.writes() == []
    assert {kind for _action, kind in planned} == set(KINDS) - {"listener", "listener rule", "web ACL rule"}
    fleet(entry="destroy")
    elb = aws.client("elbv2")
    assert elb.describe_load_balancers()["LoadBalancers"] == []
    assert elb.describe_target_groups()["TargetGroups"] == []
    assert aws.client("wafv2").list_web_acls(Scope="REGIONAL")["WebACLs"] == []
    assert aws.client("acm").list_certificates()["CertificateSummaryList"] == []
    assert records_of(aws) == {}
    again = fleet(entry="destroy")
    assert "changed=0" in again
    assert aws.writes() == []
