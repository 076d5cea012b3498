"""The module `cloudwatch_metric_alarms`, run in this process, and the form in which alarms are compared."""

from __future__ import annotations

import json

import pytest
from ansible_collections.chromafleet.aws.plugins.module_utils import cloudwatch
from module_runs import REGION

TOPIC = f"arn:aws:sns:{REGION}:123456789012:alarms"
TAGS = {"chromafleet:fleet": "production"}
DISK = {
    "name": "production-main-disk",
    "description": "A disk is full.",
    "namespace": "ChromaFleet",
    "metric_name": "disk_used_percent",
    "dimensions": {"Fleet": "production", "Cell": "main"},
    "statistic": "Maximum",
    "threshold": 80,
    "period": 300,
    "evaluation_periods": 3,
    "alarm_actions": [TOPIC],
}


def query(name, metric):
    dimensions = [{"name": "TargetGroup", "value": "targetgroup/a/1"}, {"name": "LoadBalancer", "value": "app/a/1"}]
    return {
        "id": name,
        "return_data": False,
        "metric_stat": {
            "metric": {"namespace": "AWS/ApplicationELB", "metric_name": metric, "dimensions": dimensions},
            "period": 60,
            "stat": "Sum",
        },
    }


ERRORS = {
    "name": "production-main-errors",
    "metrics": [
        {"id": "rate", "expression": "100 * errors / requests"},
        query("errors", "HTTPCode_Target_5XX_Count"),
        query("requests", "RequestCount"),
    ],
    "threshold": 1,
    "evaluation_periods": 5,
    "datapoints_to_alarm": 3,
    "treat_missing_data": "notBreaching",
}
LATENCY = {
    "name": "production-main-latency",
    "namespace": "AWS/ApplicationELB",
    "metric_name": "TargetResponseTime",
    "extended_statistic": "p99",
    "threshold": 2,
    "period": 300,
}
ALL = [DISK, ERRORS, LATENCY]


@pytest.fixture
def run(run_module):
    """Run the module with some alarms and return its result."""
    return lambda alarms, **more: run_module("cloudwatch_metric_alarms", alarms=alarms, **more)


@pytest.fixture
def account(empty_account):
    """An empty account."""
    return empty_account("cloudwatch")


def described(client):
    return {alarm["AlarmName"]: alarm for alarm in client.describe_alarms()["MetricAlarms"]}


def tags_of(client, name):
    tags = client.list_tags_for_resource(ResourceARN=described(client)[name]["AlarmArn"])["Tags"]
    return {tag["Key"]: tag["Value"] for tag in tags}


def test_creates_all_once(run, account):
    first = run(ALL, tags=TAGS)
    assert first["changed"]
    assert first["alarms"] == sorted(alarm["name"] for alarm in ALL)
    assert first["diff"]["before"] == {}
    found = described(account)
    assert found[DISK["name"]]["Threshold"] == 80
    assert found[DISK["name"]]["AlarmActions"] == [TOPIC]
    assert found[LATENCY["name"]]["ExtendedStatistic"] == "p99"
    assert [part["Id"] for part in found[ERRORS["name"]]["Metrics"]] == ["errors", "rate", "requests"]
    assert found[ERRORS["name"]]["DatapointsToAlarm"] == 3
    assert [tags_of(account, alarm["name"]) for alarm in ALL] == [TAGS] * 3
    second = run(ALL, tags=TAGS)
    assert not second["changed"]
    assert second["alarms"] == []


def test_check_mode_writes_nothing(run, account):
    assert run(ALL, check=True, tags=TAGS)["alarms"] == sorted(alarm["name"] for alarm in ALL)
    assert described(account) == {}
    run(ALL, tags=TAGS)
    changed = [{**DISK, "threshold": 70}, ERRORS, LATENCY]
    assert run(changed, check=True, tags={"team": "search"})["changed"]
    assert run(ALL, check=True, state="absent")["changed"]
    assert not run(ALL, tags=TAGS)["changed"]


CHANGES = {
    "threshold": (DISK, {"threshold": 70.5}, (80.0, 70.5)),
    "dimension": (
        DISK,
        {"dimensions": {"Fleet": "production", "Cell": "other"}},
        ({"Fleet": "production", "Cell": "main"}, {"Fleet": "production", "Cell": "other"}),
    ),
    "actions": (DISK, {"actions_enabled": False}, (True, False)),
    "who is told": (DISK, {"ok_actions": [TOPIC]}, ([], [TOPIC])),
    "missing data": (ERRORS, {"treat_missing_data": "breaching"}, ("notBreaching", "breaching")),
    "percentile": (LATENCY, {"extended_statistic": "p90"}, ("p99", "p90")),
}


@pytest.mark.parametrize("case", CHANGES)
def test_changes_what_differs_and_says_what(run, account, case):
    alarm, change, (before, after) = CHANGES[case]
    run(ALL)
    (name,) = change
    result = run([{**alarm, **change}])
    assert result["alarms"] == [alarm["name"]]
    assert result["diff"] == {"before": {alarm["name"]: {name: before}}, "after": {alarm["name"]: {name: after}}}
    assert not run([{**alarm, **change}])["changed"]


def test_metric_math_is_compared(run, account):
    run([ERRORS])
    other = {**ERRORS, "metrics": [{"id": "rate", "expression": "errors / requests"}, *ERRORS["metrics"][1:]]}
    assert list(run([other])["diff"]["after"][ERRORS["name"]]) == ["metrics"]
    assert not run([other])["changed"]


def test_a_metric_becomes_metric_math(run, account):
    run([DISK])
    assert run([{**ERRORS, "name": DISK["name"]}])["changed"]
    assert "MetricName" not in described(account)[DISK["name"]]


def test_neither_order_counts(run, account):
    run([{**ERRORS, "ok_actions": [TOPIC, f"{TOPIC}2"]}])
    turned = json.loads(json.dumps(ERRORS["metrics"][::-1]))
    turned[0]["metric_stat"]["metric"]["dimensions"].reverse()
    assert not run([{**ERRORS, "metrics": turned, "ok_actions": [f"{TOPIC}2", TOPIC]}])["changed"]


@pytest.mark.parametrize(
    ("purge", "expected"), [(True, {"team": "search"}), (False, {"chromafleet:fleet": "production", "team": "search"})]
)
def test_tags_of_an_alarm_that_exists(run, account, purge, expected):
    run([DISK], tags=TAGS)
    result = run([DISK], tags={"team": "search"}, purge_tags=purge)
    assert result["diff"] == {
        "before": {DISK["name"]: {"tags": TAGS}},
        "after": {DISK["name"]: {"tags": expected}},
    }
    assert tags_of(account, DISK["name"]) == expected
    assert not run([DISK], tags={"team": "search"}, purge_tags=purge)["changed"]


def test_tags_that_are_not_given_stay(run, account):
    run([DISK], tags=TAGS)
    assert not run([DISK])["changed"]
    assert tags_of(account, DISK["name"]) == TAGS


def test_deletes_once(run, account):
    run(ALL)
    result = run([{"name": DISK["name"]}, {"name": "never-was"}], state="absent")
    assert result["alarms"] == [DISK["name"]]
    assert DISK["name"] not in described(account)
    assert len(described(account)) == 2
    assert not run([{"name": DISK["name"]}], state="absent")["changed"]


def without(*names):
    return {name: value for name, value in DISK.items() if name not in names}


FAULTS = {
    "long name": ({**DISK, "name": "n" * 256}, "has 256 characters, but CloudWatch allows 1 to 255."),
    "no threshold": (without("threshold"), "The alarm production-main-disk has no threshold."),
    "no metric": (without("metric_name"), "The alarm production-main-disk must have either a metric_name or metrics."),
    "metric and math": ({**DISK, "metrics": ERRORS["metrics"]}, "must have either a metric_name or metrics."),
    "no statistic": (without("statistic"), "must have either a statistic or an extended_statistic."),
    "no period": (without("period"), "The alarm production-main-disk has no period."),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_one_sentence_before_any_call(run, case):
    alarm, sentence = FAULTS[case]
    result = run([ERRORS, alarm])
    assert result["failed"]
    assert sentence in result["msg"]


def test_many_alarms_are_asked_for_in_batches(run, record):
    names = [f"alarm-{number}" for number in range(101)]
    stub = record("cloudwatch")
    for some in (names[:100], names[100:]):
        asked = {"AlarmNames": some, "AlarmTypes": ["MetricAlarm"], "MaxRecords": 100}
        stub.add_response("describe_alarms", {"MetricAlarms": [{"AlarmName": name} for name in some]}, asked)
    for some in (names[:100], names[100:]):
        stub.add_response("delete_alarms", {}, {"AlarmNames": some})
    assert len(run([{"name": name} for name in names], state="absent")["alarms"]) == 101


def test_a_refused_call(run, record):
    record("cloudwatch").add_client_error("describe_alarms", "AccessDenied", "not you")
    result = run([DISK])
    assert result["failed"]
    assert "Failed to manage the alarms production-main-disk" in result["msg"]
    assert "not you" in result["msg"]


def test_an_alarm_goes_to_cloudwatch_and_back():
    for alarm in ALL:
        assert cloudwatch.alarm_of(cloudwatch.arguments_of(alarm)) == cloudwatch.complete(alarm)
