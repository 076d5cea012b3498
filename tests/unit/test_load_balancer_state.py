"""What fleet_info tells of the layer load_balancer, read in this process from moto."""

from __future__ import annotations

from types import SimpleNamespace

import boto3
import pytest
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader
from ansible_collections.chromafleet.aws.plugins.module_utils.fleet_state import load_balancer
from load_balancer_files import certificate, key_pem, new_key
from moto import mock_aws

REGION = "us-east-1"
HOSTS = ["chroma.vectors.io", "read.chroma.vectors.io"]
TAG = {"Key": "chromafleet:fleet", "Value": "demo"}
OTHER = {"Key": "chromafleet:fleet", "Value": "other"}


@pytest.fixture
def client():
    """A maker of clients for an empty account."""
    with mock_aws():
        yield lambda service: boto3.client(service, region_name=REGION)


def read(client):
    return load_balancer.read(Reader(SimpleNamespace(region=REGION, client=client), "demo"))


def requested(client, *tags):
    made = client("acm").request_certificate(
        DomainName=HOSTS[0], SubjectAlternativeNames=HOSTS[1:], ValidationMethod="DNS", Tags=list(tags)
    )
    return made["CertificateArn"]


def test_an_empty_account(client):
    assert set(map(str, read(client).values())) == {"{}"}


def test_only_what_is_the_fleets(client):
    vpc = client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    for name, tags in {"demo-main-writer": [TAG], "other-main-writer": [OTHER], "nobodys": []}.items():
        more = {"Tags": tags} if tags else {}
        client("elbv2").create_target_group(Name=name, Protocol="HTTPS", Port=443, VpcId=vpc, **more)
    requested(client, OTHER)
    found = read(client)
    assert list(found["target_groups"]) == ["demo-main-writer"]
    assert found["target_groups"]["demo-main-writer"]["tags"] == {"chromafleet:fleet": "demo"}
    assert found["certificates"] == {}


def test_private_zones_serve_no_client(client):
    vpc = client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    route53 = client("route53")
    private = {"HostedZoneConfig": {"PrivateZone": True}, "VPC": {"VPCRegion": REGION, "VPCId": vpc}}
    route53.create_hosted_zone(Name="vectors.io", CallerReference="a", **private)
    public = route53.create_hosted_zone(Name="vectors.io", CallerReference="b")["HostedZone"]["Id"]
    assert read(client)["hosted_zones"] == {public.rsplit("/", 1)[1]: {"domain": "vectors.io"}}


def test_a_certificate_that_will_never_be_issued_is_told_apart(client):
    good, bad = requested(client, TAG), requested(client, TAG)
    real = client("acm")

    def describe(**arguments):
        answer = real.describe_certificate(**arguments)
        if arguments["CertificateArn"] == bad:
            answer["Certificate"]["Status"] = "FAILED"
        return answer

    acm = SimpleNamespace(
        describe_certificate=describe,
        list_tags_for_certificate=real.list_tags_for_certificate,
        get_certificate=real.get_certificate,
    )
    found = read(lambda service: acm if service == "acm" else client(service))["certificates"]
    names = ", ".join(HOSTS)
    assert {name: one["arn"] for name, one in found.items()} == {
        names: good,
        f"{names} (FAILED, {bad.rsplit('/', 1)[1]})": bad,
    }


def test_an_imported_certificate_is_known_by_its_name_and_told_by_its_fingerprint(client):
    key = new_key()
    pem = certificate(HOSTS, key)
    name = {"Key": "Name", "Value": "demo"}
    client("acm").import_certificate(Certificate=pem, PrivateKey=key_pem(key), Tags=[TAG, name])
    (one,) = read(client)["certificates"].values()
    assert load_balancer.fingerprints(pem)[0] in one["fingerprints"]
    assert "PRIVATE" not in str(one)
    assert list(read(client)["certificates"]) == ["demo"]


def test_validation_records_are_looked_for_in_the_zones_of_the_tag(client):
    route53 = client("route53")
    zone = route53.create_hosted_zone(Name="vectors.io", CallerReference="a")["HostedZone"]["Id"]
    identity = zone.rsplit("/", 1)[1]
    arn = requested(client, TAG, {"Key": "chromafleet:hosted-zones", "Value": f"ZGONE {identity}"})
    assert read(client)["validation_records"] == {}
    options = client("acm").describe_certificate(CertificateArn=arn)["Certificate"]["DomainValidationOptions"]
    record = next(option["ResourceRecord"] for option in options if option["DomainName"] == HOSTS[0])
    row = {"Name": record["Name"], "Type": "CNAME", "TTL": 300, "ResourceRecords": [{"Value": record["Value"]}]}
    changes = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": row}]}
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=changes)
    assert read(client)["validation_records"] == {
        HOSTS[0]: {"zone": identity, "record": record["Name"], "value": record["Value"]}
    }


def test_a_rules_conditions_and_targets():
    arn = "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/{}/0a"
    weighted = {"TargetGroups": [{"TargetGroupArn": arn.format(name), "Weight": 1} for name in ("a", "b")]}
    rule = {
        "Priority": "7",
        "Conditions": [
            {"Field": "host-header", "Values": ["a.io"], "HostHeaderConfig": {"Values": ["a.io"]}},
            {"Field": "path-pattern", "Values": ["/x"]},
        ],
        "Actions": [{"Type": "authenticate-oidc"}, {"Type": "forward", "ForwardConfig": weighted}],
    }
    assert load_balancer._rule(rule) == {
        "priority": "7",
        "conditions": {"host-header": ["a.io"], "path-pattern": ["/x"]},
        "target_groups": ["(authenticate-oidc)", "a", "b"],
    }
