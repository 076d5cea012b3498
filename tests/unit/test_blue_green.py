"""Which readers serve, how requests are shared between two groups of them, and when one is worse than the other."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ansible_collections.chromafleet.aws.plugins.module_utils.listener_rules import rules, target_groups
from ansible_collections.chromafleet.aws.plugins.module_utils.reader_groups import aside, serving, serving_cells
from ansible_collections.chromafleet.aws.plugins.module_utils.target_groups import dimension, weights_of, worse

BALANCER = "arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/app/demo/1"
BLUE = "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/demo-main-reader/2"
GREEN = "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/demo-main-green/3"
WRITER = "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/demo-main-writer/4"
TO_BLUE = [{"Type": "forward", "TargetGroupArn": BLUE}]
TO_BOTH = [
    {
        "Type": "forward",
        "ForwardConfig": {
            "TargetGroups": [{"TargetGroupArn": BLUE, "Weight": 90}, {"TargetGroupArn": GREEN, "Weight": 10}]
        },
    }
]
USUAL = {"requests": 1000.0, "errors": 0.0, "p99": 0.05}


def groups(**states):
    """Groups of the cell main by the ends of their names; another cell's beside them."""
    found = {
        f"demo-main-{end}": {"cell": "main", "role": "reader", "tags": {"chromafleet:state": state} if state else {}}
        for end, state in states.items()
    }
    other = {"cell": "other", "role": "reader", "tags": {}}
    return {**found, "demo-main-writer": {"cell": "main", "role": "writer", "tags": {}}, "demo-other-green": other}


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ({}, "reader"),
        ({"reader": ""}, "reader"),
        ({"reader": "", "green": "candidate"}, "reader"),
        ({"reader": "standby", "green": ""}, "green"),
        ({"green": ""}, "green"),
        ({"reader": "candidate", "green": ""}, "green"),
        # A switch that was interrupted between the two groups.
        ({"reader": "standby", "green": "candidate"}, "green"),
        ({"reader": "candidate", "green": "standby"}, "reader"),
    ],
)
def test_one_group_serves(states, expected):
    assert serving(groups(**states), "main") == expected


def test_the_other_group_stands_aside():
    """Where there is one, with what it runs; nobody takes the one that serves for it."""
    found = groups(reader="standby", green="")
    found["demo-main-reader"] |= {"instances": ["i-1"]}
    found["demo-main-reader"]["tags"]["chromafleet:release"] = "old"
    cells = serving_cells([{"name": "main"}, {"name": "other"}, {"name": "new"}], found)
    assert [(cell["readers"], cell["second"]) for cell in cells] == [
        ("green", "reader"),
        ("green", "reader"),
        ("reader", "green"),
    ]
    (only,) = aside(cells, found, "demo")
    expected = {"name": "demo-main-reader", "cell": "main", "state": "standby", "release": "old", "instances": ["i-1"]}
    assert only == expected


def test_rules_and_target_groups_are_those_of_the_group_that_serves():
    cells = serving_cells([{"name": "main"}, {"name": "large", "tenants": ["a"]}], groups(green=""))
    assert [cell["readers"] for cell in cells] == ["green", "reader"]
    made = rules(cells, "demo", "chroma.example.com", "read.example.com")
    assert [rule["target_groups"] for rule in made] == [
        ["demo-large-writer"],
        ["demo-large-reader"],
        ["demo-main-writer"],
        ["demo-main-green"],
    ]
    found = {(group["name"], group["role"]) for group in target_groups(cells, "demo", {})}
    assert ("demo-main-green", "reader") in found
    assert ("demo-main-reader", "reader") not in found


@pytest.mark.parametrize(
    ("candidate", "serving_figures", "expected"),
    [
        ({}, {}, ""),
        ({"errors": 1.0}, {}, ""),
        ({"errors": 2.0}, {}, "2 of 1000 requests got an error of the server"),
        ({"errors": 2.0}, {"errors": 2.0}, ""),
        ({"requests": 1.0, "errors": 1.0}, {}, "1 of 1 requests got an error of the server"),
        ({"p99": 0.15}, {}, ""),
        ({"p99": 0.16}, {}, "99 % of its answers took 0.160 s, those of the others 0.050 s"),
        ({"p99": 1.4}, {"p99": 0.5}, ""),
        ({"p99": 1.6}, {"p99": 0.5}, "99 % of its answers took 1.600 s, those of the others 0.500 s"),
        ({"requests": 199.0, "p99": 9.0}, {}, ""),
        # Nothing to compare with.
        ({"p99": 9.0}, {"requests": 0.0, "p99": 0.0}, ""),
        ({"requests": 0.0, "p99": 0.0}, {}, ""),
    ],
)
def test_a_group_is_worse(candidate, serving_figures, expected):
    assert worse({**USUAL, **candidate}, {**USUAL, **serving_figures}, 0.001, 3, 0.1) == expected


def test_cloudwatch_names_a_balancer_without_its_kind():
    assert (dimension(BALANCER), dimension(GREEN)) == ("app/demo/1", "targetgroup/demo-main-green/3")


def test_a_rule_that_does_more_than_forward_is_left_alone():
    assert weights_of({"Actions": TO_BLUE}) == {BLUE: 1}
    assert weights_of({"Actions": TO_BOTH}) == {BLUE: 90, GREEN: 10}
    assert weights_of({"Actions": [{"Type": "authenticate-oidc"}, *TO_BLUE]}) == {}
    assert weights_of({"Actions": [{"Type": "fixed-response"}]}) == {}


@pytest.fixture
def balancer(record):
    """A load balancer whose listener has a writers' rule and one with these actions: the Stubber of later calls."""
    stub = record("elbv2")

    def has(actions):
        listener = {"ListenerArn": "arn:listener"}
        stub.add_response("describe_listeners", {"Listeners": [listener]}, {"LoadBalancerArn": BALANCER})
        found = [
            {
                "RuleArn": "arn:1",
                "Priority": "45001",
                "IsDefault": False,
                "Actions": [{**TO_BLUE[0], "TargetGroupArn": WRITER}],
            },
            {"RuleArn": "arn:2", "Priority": "45002", "IsDefault": False, "Actions": actions},
            {"RuleArn": "arn:3", "Priority": "default", "IsDefault": True, "Actions": TO_BLUE},
        ]
        stub.add_response("describe_rules", {"Rules": found}, {"ListenerArn": "arn:listener"})
        return stub

    return has


def share(run_module, weights, **more):
    return run_module("target_group_weights", load_balancer_arn=BALANCER, weights=weights, **more)


def test_requests_are_shared(balancer, run_module):
    balancer(TO_BLUE).add_response("modify_rule", {}, {"RuleArn": "arn:2", "Actions": TO_BOTH})
    result = share(run_module, {BLUE: 90, GREEN: 10})
    assert result["changed"]
    assert result["rules"] == ["45002"]
    assert result["diff"] == {
        "before": {"45002": {"demo-main-reader": 1}},
        "after": {"45002": {"demo-main-reader": 90, "demo-main-green": 10}},
    }


def test_one_group_gets_all(balancer, run_module):
    to_green = [{"Type": "forward", "TargetGroupArn": GREEN}]
    balancer(TO_BOTH).add_response("modify_rule", {}, {"RuleArn": "arn:2", "Actions": to_green})
    assert share(run_module, {GREEN: 1})["changed"]


@pytest.mark.parametrize(("actions", "weights"), [(TO_BOTH, {BLUE: 90, GREEN: 10}), (TO_BLUE, {BLUE: 7})])
def test_what_is_shared_already_is_no_change(balancer, run_module, actions, weights):
    balancer(actions)
    assert not share(run_module, weights)["changed"]


def test_a_check_run_shares_nothing(balancer, run_module):
    balancer(TO_BLUE)
    assert share(run_module, {BLUE: 90, GREEN: 10}, check=True)["changed"]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({BLUE: 0, GREEN: 0}, "weights gives every target group 0, so that no request would be answered"),
        ({BLUE: 1000}, "but AWS takes whole numbers from 0 to 999"),
        ({BLUE: "many"}, 'the weight "many"'),
    ],
)
def test_weights_that_can_not_work(run_module, weights, expected):
    assert expected in share(run_module, weights)["msg"]


@pytest.fixture
def answers(record, run_module, monkeypatch):
    """Compare, 100 s after the beginning, with what CloudWatch says and the health of one target."""
    monkeypatch.setattr("time.time", lambda: 1_000_100.0)

    def compare(figures, health="healthy", **more):
        cloudwatch, balancing = record("cloudwatch"), record("elbv2")
        rows = [{"Id": ident, "Values": values, "StatusCode": "Complete"} for ident, values in figures.items()]
        cloudwatch.add_response("get_metric_data", {"MetricDataResults": rows})
        targets = [{"Target": {"Id": "i-1"}, "TargetHealth": {"State": health}}]
        balancing.add_response(
            "describe_target_health", {"TargetHealthDescriptions": targets}, {"TargetGroupArn": GREEN}
        )
        return run_module(
            "target_group_comparison_info",
            **{"load_balancer_arn": BALANCER, "candidate": GREEN, "serving": BLUE, "since": 1_000_000.0, **more},
        )

    return compare


FIGURES = {
    "candidate_requests": [10.0, 20.0],
    "candidate_errors": [0.0],
    "candidate_p99": [0.03, 0.05],
    "serving_requests": [200.0],
    "serving_p99": [0.04],
}


def test_a_group_is_watched_for_its_time(answers):
    result = answers(FIGURES, seconds=200)
    assert (result["verdict"], result["percent"], result["reason"]) == ("watching", 50, "")
    assert result["candidate"] == {"requests": 30.0, "errors": 0.0, "p99": 0.05}
    assert result["serving"] == {"requests": 200.0, "errors": 0.0, "p99": 0.04}


def test_a_group_is_good_when_its_time_is_over(answers):
    assert answers(FIGURES, seconds=100)["verdict"] == "good"


def test_a_worse_group_is_told_at_once(answers):
    result = answers({**FIGURES, "candidate_errors": [3.0]}, seconds=200)
    assert (result["verdict"], result["reason"]) == (
        "worse",
        "of demo-main-green, 3 of 30 requests got an error of the server.",
    )


def test_an_unhealthy_target_is_worse(answers):
    assert answers(FIGURES, health="unhealthy", seconds=200)["reason"] == (
        "of demo-main-green, i-1 fails the health check."
    )


def test_a_group_without_requests_is_known_by_what_it_did_before(answers):
    """It was the one that served, before all requests went to the other."""
    figures = {
        **FIGURES,
        "candidate_requests": [500.0],
        "serving_requests": [],
        "serving_p99": [],
        "candidate_p99": [0.5],
    }
    assert "those of the others 0.040 s" in answers(figures, seconds=200, usual={**USUAL, "p99": 0.04})["reason"]


def test_cloudwatch_is_asked_for_whole_minutes(record, run_module, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1_000_100.0)
    asked = {}
    cloudwatch, balancing = record("cloudwatch"), record("elbv2")
    cloudwatch.client.meta.events.register(
        "before-parameter-build.cloudwatch.GetMetricData", lambda params, **_: asked.update(params)
    )
    cloudwatch.add_response("get_metric_data", {"MetricDataResults": []})
    balancing.add_response("describe_target_health", {"TargetHealthDescriptions": []})
    result = run_module(
        "target_group_comparison_info",
        load_balancer_arn=BALANCER,
        candidate=GREEN,
        serving=BLUE,
        since=1_000_000.0,
        seconds=0,
    )
    assert result["verdict"] == "good"
    assert asked["StartTime"] == datetime.fromtimestamp(999_960, UTC)
    metrics = {query["MetricStat"]["Metric"]["MetricName"] for query in asked["MetricDataQueries"]}
    assert metrics == {"RequestCount", "HTTPCode_Target_5XX_Count", "TargetResponseTime"}
