"""The module `cloudwatch_dashboard`, run in this process, and the filter `dashboard`."""

from __future__ import annotations

import json
from functools import partial

import pytest
from ansible_collections.chromafleet.aws.plugins.filter.dashboard import dashboard as composed
from module_runs import REGION

NAME = "production-main"
ARN = f"arn:aws:cloudwatch::123456789012:dashboard/{NAME}"
BODY = {
    "widgets": [
        {
            "type": "metric",
            "x": 0,
            "y": 0,
            "width": 24,
            "height": 6,
            "properties": {"region": REGION, "metrics": [["AWS/EC2", "CPUUtilization"]]},
        }
    ]
}


@pytest.fixture
def run(run_module):
    """Run the module with some arguments and return its result."""
    return partial(run_module, "cloudwatch_dashboard", name=NAME)


@pytest.fixture
def account(empty_account):
    """An empty account."""
    return empty_account("cloudwatch")


def names(client):
    return [entry["DashboardName"] for entry in client.list_dashboards()["DashboardEntries"]]


def test_creates_once(run, account):
    first = run(body=BODY)
    assert first["changed"]
    assert first["dashboard"]["body"] == BODY
    assert first["validation_messages"] == []
    assert first["diff"] == {"before": {}, "after": {"body": BODY, "tags": {}}}
    assert names(account) == [NAME]
    second = run(body=BODY)
    assert not second["changed"]
    assert second["diff"] == {"before": {}, "after": {}}


def test_the_body_is_compared_as_json(run, account):
    run(body=BODY)
    assert not run(body=json.dumps(BODY, indent=4, sort_keys=True))["changed"]


def test_check_mode_writes_nothing(run, account):
    assert run(check=True, body=BODY)["changed"]
    assert names(account) == []
    run(body=BODY)
    assert run(check=True, body={"widgets": []})["changed"]
    assert run(check=True, state="absent")["changed"]
    assert not run(body=BODY)["changed"]


def test_an_edited_dashboard_is_mended_and_shown(run, account):
    run(body=BODY)
    account.put_dashboard(DashboardName=NAME, DashboardBody='{"widgets": []}')
    result = run(body=BODY)
    assert result["diff"] == {"before": {"body": {"widgets": []}}, "after": {"body": BODY}}
    assert json.loads(account.get_dashboard(DashboardName=NAME)["DashboardBody"]) == BODY


def test_deletes_once(run, account):
    run(body=BODY)
    result = run(state="absent")
    assert result["changed"]
    assert result["diff"]["before"]["body"] == BODY
    assert names(account) == []
    assert not run(state="absent")["changed"]


@pytest.mark.parametrize("name", ["a b", "a.b", "", "x" * 256])
def test_bad_names(run, name):
    result = run(name=name, body=BODY)
    assert result["failed"]
    assert f"has {len(name)} characters; a dashboard takes 1 to 255 letters, digits" in result["msg"]


def test_a_body_is_needed(run):
    assert run()["msg"] == "state is present but all of the following are missing: body"


# --- What moto doesn't do (tags, validation): recorded answers -------------------------------------------------------


@pytest.fixture
def recorded(record):
    """An account that gives recorded answers."""
    stub = record("cloudwatch")

    def found(body, tags):
        stub.add_response("get_dashboard", {"DashboardArn": ARN, "DashboardBody": json.dumps(body)})
        stub.add_response("list_tags_for_resource", {"Tags": tags}, {"ResourceARN": ARN})

    stub.found = found
    return stub


def put(body, **tags):
    return {"DashboardName": NAME, "DashboardBody": json.dumps(body), **tags}


def test_a_new_dashboard_gets_its_tags_with_the_first_call(run, recorded):
    tags = [{"Key": "chromafleet:fleet", "Value": "production"}]
    recorded.add_client_error("get_dashboard", "ResourceNotFound")
    recorded.add_response("put_dashboard", {}, put(BODY, Tags=tags))
    recorded.found(BODY, tags)
    assert run(body=BODY, tags={"chromafleet:fleet": "production"})["dashboard"]["tags"] == {
        "chromafleet:fleet": "production"
    }


def test_tags_of_a_dashboard_that_exists(run, recorded):
    recorded.found(BODY, [{"Key": "old", "Value": "1"}, {"Key": "same", "Value": "2"}])
    recorded.add_response("untag_resource", {}, {"ResourceARN": ARN, "TagKeys": ["old"]})
    recorded.add_response("tag_resource", {}, {"ResourceARN": ARN, "Tags": [{"Key": "new", "Value": "3"}]})
    recorded.found(BODY, [{"Key": "same", "Value": "2"}, {"Key": "new", "Value": "3"}])
    result = run(body=BODY, tags={"same": "2", "new": "3"})
    assert result["diff"] == {
        "before": {"tags": {"old": "1", "same": "2"}},
        "after": {"tags": {"same": "2", "new": "3"}},
    }


@pytest.mark.parametrize("arguments", [{}, {"tags": {}, "purge_tags": False}])
def test_tags_that_may_stay(run, recorded, arguments):
    recorded.found(BODY, [{"Key": "old", "Value": "1"}])
    assert not run(body=BODY, **arguments)["changed"]


def test_what_is_wrong_in_a_body_is_shown(run, recorded):
    recorded.add_client_error("get_dashboard", "ResourceNotFound")
    said = {"DataPath": "/widgets/0/properties/metrics/0", "Message": "Unrecognized metric option"}
    recorded.add_response("put_dashboard", {"DashboardValidationMessages": [said]}, put(BODY, Tags=[]))
    recorded.found(BODY, [])
    result = run(body=BODY)
    assert result["validation_messages"] == [{"data_path": said["DataPath"], "message": said["Message"]}]
    assert result["warnings"] == [f"The dashboard {NAME}, {said['DataPath']}: {said['Message']}"]


def test_a_body_that_is_refused(run, recorded):
    said = {"DataPath": "/widgets/0", "Message": "Should have property width"}
    recorded.add_client_error("get_dashboard", "ResourceNotFound")
    recorded.add_client_error(
        "put_dashboard",
        "InvalidParameterInput",
        "The dashboard body is invalid",
        modeled_fields={"dashboardValidationMessages": [said]},
    )
    result = run(body=BODY)
    assert result["failed"]
    assert result["msg"].startswith(
        f"CloudWatch refuses the body of the dashboard {NAME} (/widgets/0: Should have property width)"
    )


def test_a_refused_call(run, recorded):
    recorded.add_client_error("get_dashboard", "AccessDenied", "not you")
    result = run(body=BODY)
    assert result["failed"]
    assert f"Failed to manage the dashboard {NAME}" in result["msg"]
    assert "not you" in result["msg"]


# --- The filter ------------------------------------------------------------------------------------------------------


def widget(**more):
    return {"type": "metric", "properties": {"metrics": [["N", "M"]]}, **more}


def places(rows):
    widgets = composed(rows, REGION)["body"]["widgets"]
    return [(one["type"], one["x"], one["y"], one["width"], one["height"]) for one in widgets]


def test_rows_stand_below_each_other_and_share_the_columns():
    rows = [{"title": "One", "height": 3, "widgets": [widget()]}, {"title": "Five", "widgets": [widget()] * 5}]
    assert places(rows) == [
        ("text", 0, 0, 24, 1),
        ("metric", 0, 1, 24, 3),
        ("text", 0, 4, 24, 1),
        ("metric", 0, 5, 4, 6),
        ("metric", 4, 5, 5, 6),
        ("metric", 9, 5, 5, 6),
        ("metric", 14, 5, 5, 6),
        ("metric", 19, 5, 5, 6),
    ]


def test_what_is_left_out_takes_no_place():
    rows = [
        {"title": "No", "when": False, "widgets": [widget()]},
        {"title": "Nothing in it", "widgets": [widget(when=False)]},
        {"title": "Yes", "widgets": [widget(when=False), widget()]},
    ]
    assert places(rows) == [("text", 0, 0, 24, 1), ("metric", 0, 1, 24, 6)]


def test_metrics_are_left_out_and_keep_their_options():
    metrics = [
        ["N", "M"],
        ["N", "M", {"when": False}],
        ["N", "M", {"when": True}],
        ["N", "M", {"when": True, "label": "l"}],
        [{"expression": "m1", "id": "e"}],
    ]
    rows = [{"title": "T", "widgets": [{"type": "metric", "properties": {"metrics": metrics}}]}]
    shown = composed(rows, REGION)["body"]["widgets"][1]["properties"]
    assert shown["metrics"] == [
        ["N", "M"],
        ["N", "M"],
        ["N", "M", {"label": "l"}],
        [{"expression": "m1", "id": "e"}],
    ]
    assert shown["region"] == REGION


def test_a_widget_keeps_a_region_of_its_own():
    rows = [{"title": "T", "widgets": [{"type": "metric", "properties": {"region": "eu-west-1", "metrics": [["N"]]}}]}]
    assert composed(rows, REGION)["body"]["widgets"][1]["properties"]["region"] == "eu-west-1"


def test_each_widget_is_compared_for_itself():
    one, other = (
        composed([{"title": "T", "widgets": [widget(), part]}], REGION) for part in (widget(), widget(type="x"))
    )
    assert len(one["widgets"]) == 3
    assert len(set(one["widgets"]) - set(other["widgets"])) == 1
    assert one["settings"] == other["settings"]
