"""The role aws_observability from nothing to nothing: every step of its life, in the order of the tests."""

from __future__ import annotations

import json

import pytest
from local_api import REGION, LocalApi
from role_runs import RoleRuns

pytestmark = pytest.mark.long

ACCOUNT = "123456789012"
ELB = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:demo-main-alarms"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/one"
NEW = {"aws_load_balancer_arn": f"{ELB}:loadbalancer/app/demo/fedcba9876543210", "aws_observability_dashboard": False}
WITHOUT_READERS = {"fleet_readers_min": 0, "fleet_readers_max": 0}
LOG_GROUPS = {f"/chromafleet/demo/main/{kind}" for kind in ("chroma", "nginx", "system")}
UNCONFIRMED = "ops@example.com gets no alarm before it has confirmed"


@pytest.fixture(scope="module")
def run(aws: LocalApi, tmp_path_factory: pytest.TempPathFactory) -> RoleRuns:
    """The role, with what other roles told and an account in which another fleet and another cell are."""
    for fleet, cell in (("demo-eu", "main"), ("demo", "second")):
        tags = {"chromafleet:fleet": fleet, "chromafleet:cell": cell}
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        aws.client("cloudwatch").put_dashboard(DashboardName=f"{fleet}-{cell}", DashboardBody="{}", Tags=pairs)
        aws.client("sns").create_topic(Name=f"{fleet}-{cell}-alarms", Tags=pairs)
        aws.client("logs").create_log_group(logGroupName=f"/chromafleet/{fleet}/{cell}/nginx", tags=tags)
    targets = {kind: f"{ELB}:targetgroup/demo-main-{kind}/1111111111111111" for kind in ("writer", "reader")}
    told = {
        "aws_identity_account_id": ACCOUNT,
        "aws_identity_partition": "aws",
        "aws_identity_kms_key_arn": "",
        "aws_load_balancer_arn": f"{ELB}:loadbalancer/app/demo/0123456789abcdef",
        "aws_load_balancer_target_group_arns": {"main": targets},
        "aws_load_balancer_listener_certificate_arn": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/0f3c0b7e",
        "aws_cache_node_ids": {"demo-main": ["demo-main-001", "demo-main-002"]},
    }
    variables = {
        "fleet_name": "demo",
        "fleet_readers_min": 1,
        "fleet_readers_max": 3,
        "aws_observability_alarm_emails": ["ops@example.com"],
        "aws_observability_alarm_subscriptions": [{"protocol": "sms", "endpoint": "+4930123456"}],
        **told,
    }
    return RoleRuns("aws_observability", "observability", aws, variables, tmp_path_factory.mktemp("observability"))


def alarms_in(aws: LocalApi) -> dict[str, dict]:
    return {alarm["AlarmName"]: alarm for alarm in aws.client("cloudwatch").describe_alarms()["MetricAlarms"]}


def dashboards_in(aws: LocalApi) -> set[str]:
    entries = aws.client("cloudwatch").list_dashboards()["DashboardEntries"]
    return {entry["DashboardName"] for entry in entries}


def log_groups_in(aws: LocalApi) -> dict[str, dict]:
    return {group["logGroupName"]: group for group in aws.client("logs").describe_log_groups()["logGroups"]}


def keys_in(aws: LocalApi) -> set[str]:
    """The keys of the cell's log groups and of its topic."""
    topic = aws.client("sns").get_topic_attributes(TopicArn=TOPIC)["Attributes"].get("KmsMasterKeyId", "")
    return {topic, *(log_groups_in(aws)[name].get("kmsKeyId", "") for name in LOG_GROUPS)}


def test_a_plan_of_an_empty_account_writes_nothing(run: RoleRuns) -> None:
    done = run("--check")
    assert done.code == 0, done.output
    assert done.counts == (26, 0, 0, 0)
    assert done.writes == []


def test_create(run: RoleRuns, aws: LocalApi) -> None:
    done = run()
    assert done.code == 0, done.output
    assert len(alarms_in(aws)) == 23
    assert all(name.startswith("demo-main-") for name in alarms_in(aws))
    assert all(alarm["AlarmActions"] == [TOPIC] for alarm in alarms_in(aws).values())
    assert {log_groups_in(aws)[name]["retentionInDays"] for name in LOG_GROUPS} == {30}
    assert "demo-main" in dashboards_in(aws)
    # Only an address is asked.
    assert UNCONFIRMED in done.output
    assert "+4930123456 gets" not in done.output


def test_create_again(run: RoleRuns) -> None:
    done = run()
    assert (done.code, done.changed, done.writes) == (0, 0, [])
    # Said until it is done; few calls, however many alarms there are.
    assert UNCONFIRMED in done.output
    assert len(done.calls) <= 15


def test_drift_is_named(run: RoleRuns, aws: LocalApi) -> None:
    cloudwatch, logs, sns = aws.client("cloudwatch"), aws.client("logs"), aws.client("sns")
    told = ("StateValue", "StateReason", "StateReasonData", "StateUpdatedTimestamp", "StateTransitionedTimestamp")
    told += ("AlarmArn", "AlarmConfigurationUpdatedTimestamp", "Metrics")
    disk = {name: value for name, value in alarms_in(aws)["demo-main-writer-disk"].items() if name not in told}
    cloudwatch.put_metric_alarm(**{**disk, "Threshold": 99})
    cloudwatch.delete_alarms(AlarmNames=["demo-main-writer-missing"])
    cloudwatch.disable_alarm_actions(AlarmNames=["demo-main-cache-cpu"])
    arn = alarms_in(aws)["demo-main-snapshot-age"]["AlarmArn"]
    cloudwatch.tag_resource(ResourceARN=arn, Tags=[{"Key": "by", "Value": "hand"}])
    body = json.loads(cloudwatch.get_dashboard(DashboardName="demo-main")["DashboardBody"])
    body["widgets"][1]["properties"]["title"] = "Edited"
    cloudwatch.put_dashboard(DashboardName="demo-main", DashboardBody=json.dumps(body))
    logs.put_retention_policy(logGroupName="/chromafleet/demo/main/nginx", retentionInDays=1)
    anybody = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sns:Publish"}]}
    sns.set_topic_attributes(TopicArn=TOPIC, AttributeName="Policy", AttributeValue=json.dumps(anybody))
    done = run("--check")
    assert done.writes == []
    assert done.rows == {
        ("create", "alarm", "demo-main-writer-missing"),
        ("change", "alarm", "demo-main-cache-cpu"),
        ("change", "alarm", "demo-main-snapshot-age"),
        ("change", "alarm", "demo-main-writer-disk"),
        ("change", "dashboard", "demo-main"),
        ("change", "log group", "/chromafleet/demo/main/nginx"),
        ("change", "SNS topic", "demo-main-alarms"),
    }
    for difference in ("threshold: 99.0 -> 80.0", "actions_enabled: false -> true", "retention: 1 -> 30", "policy: "):
        assert difference in done.output


def test_drift_is_mended(run: RoleRuns) -> None:
    done = run()
    assert done.code == 0, done.output
    # Only what differed was written.
    assert done.writes.count("cloudwatch:PutMetricAlarm") == 3
    assert done.writes.count("cloudwatch:PutDashboard") == 1
    done = run()
    assert (done.changed, done.writes) == (0, [])


def test_a_new_load_balancer_is_followed_and_what_is_not_wanted_goes(run: RoleRuns, aws: LocalApi) -> None:
    keys = {"aws_observability_kms_key_arn": KEY, "aws_observability_topic_kms_key_arn": KEY}
    done = run("--check", **NEW, **WITHOUT_READERS)
    gone = {name for action, kind, name in done.rows if (action, kind) == ("destroy", "alarm")}
    assert gone == {name for name in alarms_in(aws) if name.startswith("demo-main-reader-")}
    assert ("destroy", "dashboard", "demo-main") in done.rows
    done = run(**NEW, **WITHOUT_READERS, **keys)
    assert done.code == 0, done.output
    assert len(alarms_in(aws)) == 23 - len(gone)
    assert dashboards_in(aws) == {"demo-eu-main", "demo-second"}
    dimensions = alarms_in(aws)["demo-main-writer-missing"]["Dimensions"]
    assert {"Name": "LoadBalancer", "Value": "app/demo/fedcba9876543210"} in dimensions
    assert keys_in(aws) == {KEY}


def test_keys_are_taken_away(run: RoleRuns, aws: LocalApi) -> None:
    done = run()
    assert done.code == 0, done.output
    assert keys_in(aws) == {""}


def test_destroy_takes_the_fleets_and_no_others(run: RoleRuns, aws: LocalApi) -> None:
    done = run(entry="destroy")
    assert done.code == 0, done.output
    assert alarms_in(aws) == {}
    assert dashboards_in(aws) == {"demo-eu-main"}
    assert set(log_groups_in(aws)) == {"/chromafleet/demo-eu/main/nginx"}
    topics = aws.client("sns").list_topics()["Topics"]
    assert [topic["TopicArn"].rsplit(":", 1)[1] for topic in topics] == ["demo-eu-main-alarms"]


def test_destroy_again(run: RoleRuns) -> None:
    done = run(entry="destroy")
    assert (done.code, done.changed, done.writes) == (0, 0, [])
