"""The role `aws_observability`: its alarms and dashboard as data, what it refuses, what it makes in an account."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
import yaml
from ansible_collections.chromafleet.aws.plugins.module_utils.aws_reader import Reader
from ansible_collections.chromafleet.aws.plugins.module_utils.fleet_state import observability
from ansible_runs import ROOT, run_ansible

ACCOUNT = "123456789012"
REGION = "us-east-1"
ELB = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:demo-main-alarms"
TAGS = {"chromafleet:fleet": "demo", "chromafleet:cell": "main"}
NOTHING = {"alarms": {}, "dashboards": {}, "log_groups": {}, "topics": {}}
# A fleet with everything; each is private to the role's main entry point.
WHOLE = {
    "name": "demo-main",
    "fleet": "demo",
    "cell": "main",
    "region": REGION,
    "account_id": ACCOUNT,
    "tags": TAGS,
    "found": NOTHING,
    "log_group_prefix": "/chromafleet/demo/main",
    "load_balancer_arn": f"{ELB}:loadbalancer/app/demo/0123456789abcdef",
    "writer_target_group_arn": f"{ELB}:targetgroup/demo-main-writer/1111111111111111",
    "reader_target_group_arn": f"{ELB}:targetgroup/demo-main-reader/2222222222222222",
    "certificate_arn": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/0f3c0b7e",
    "readers_min": 2,
    "readers_max": 4,
    "cache_nodes": ["demo-main-001", "demo-main-002"],
}
OWN = {"name": "own", "description": "Mine.", "namespace": "N", "metric_name": "M", "statistic": "Sum", "period": 60}
OWN |= {"threshold": 5}


def variables(**more):
    return {f"aws_observability_{name}": value for name, value in {**WHOLE, **more}.items()}


def plays(cases, tasks):
    """One playbook with a play for each case, so that Ansible starts once."""
    start = {"hosts": "localhost", "connection": "local", "gather_facts": False}
    return yaml.safe_dump(
        [{**start, "name": name, "vars": variables(**values), "tasks": tasks(name)} for name, values in cases.items()]
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Run plays that each write a file named as they are, and return what is in the files."""

    def run(cases, tasks):
        folder = tmp_path_factory.mktemp("plays")
        (folder / "play.yml").write_text(plays(cases, lambda name: tasks(str(folder / f"{name}.json"))))
        process = run_ansible(folder / "play.yml", inventory="localhost,")
        assert process.returncode == 0, process.stdout + process.stderr
        return {name: json.loads((folder / f"{name}.json").read_text()) for name in cases}

    return run


# --- The data --------------------------------------------------------------------------------------------------------

VARIANTS = {
    "whole": {},
    "writer only": {"readers_min": 0, "readers_max": 0},
    "readers may be none": {"readers_min": 0},
    "one cache node": {"cache_nodes": ["demo-main-001"]},
    "no cache": {"cache_nodes": []},
    "certificate of IAM": {"certificate_arn": f"arn:aws:iam::{ACCOUNT}:server-certificate/demo"},
    "another cell": {"shared": False},
    "some off, one more": {"alarms_off": ["cache-memory", "writer-disk"], "alarms_extra": [OWN]},
    "no alarms": {"alarms": False},
    "no dashboard": {"dashboard": False},
    "thresholds": {"max_disk": 66, "max_error_rate": 0.5, "min_certificate_days": 14},
    "China": {"partition": "aws-cn", "region": "cn-north-1"},
    "people": {
        "alarm_emails": ["ops@example.com"],
        "alarm_subscriptions": [{"protocol": "https", "endpoint": "https://pager.example.com/x"}],
        "found": {
            **NOTHING,
            "topics": {
                "demo-main-alarms": {
                    "cell": "main",
                    "pending": [{"protocol": "email", "endpoint": "former@example.com"}],
                }
            },
        },
    },
}


@pytest.fixture(scope="module")
def wanted(results):
    """What the role wants, for each variant."""
    kinds = ("alarms", "dashboards", "log_groups", "topics")
    content = {kind: f"{{{{ __aws_observability_wanted_{kind} }}}}" for kind in kinds}

    def tasks(path):
        role = {"name": "chromafleet.aws.aws_observability", "tasks_from": "preflight", "public": True}
        return [
            {"ansible.builtin.include_role": role},
            {"ansible.builtin.copy": {"dest": path, "content": "{{ wanted | to_json }}"}, "vars": {"wanted": content}},
        ]

    return results(VARIANTS, tasks)


def alarms_of(answer):
    return {alarm["name"].removeprefix("demo-main-"): alarm for alarm in answer["alarms"]}


EVERY = {
    "cache-cpu",
    "cache-evictions",
    "cache-memory",
    "certificate-expiry",
    "checkpoint-failed",
    "deep-probe",
    "load-balancer-errors",
    "reader-data-age",
    "reader-disk",
    "reader-errors",
    "reader-latency",
    "reader-memory",
    "reader-missing",
    "reader-refresh",
    "reader-unhealthy",
    "restore-drill-age",
    "restore-drill-failed",
    "segments-recovered",
    "snapshot-age",
    "snapshot-failed",
    "writer-disk",
    "writer-errors",
    "writer-latency",
    "writer-memory",
    "writer-missing",
    "writer-unhealthy",
}
READERS = {name for name in EVERY if name.startswith("reader-")}
CACHE = {name for name in EVERY if name.startswith("cache-")}
LEFT_OUT = {
    "whole": set(),
    "writer only": READERS,
    "readers may be none": {"reader-missing"},
    "one cache node": set(),
    "no cache": CACHE,
    "certificate of IAM": {"certificate-expiry"},
    "another cell": {"certificate-expiry", "load-balancer-errors"},
    "no alarms": EVERY,
}


@pytest.mark.parametrize("variant", LEFT_OUT)
def test_alarms_that_make_no_sense_are_left_out(wanted, variant):
    assert set(alarms_of(wanted[variant])) == EVERY - LEFT_OUT[variant]


def test_alarms_can_be_switched_off_and_added(wanted):
    alarms = alarms_of(wanted["some off, one more"])
    assert set(alarms) == EVERY - {"cache-memory", "writer-disk"} | {"own"}
    assert alarms["own"]["alarm_actions"] == [TOPIC]
    assert alarms["own"]["tags"] == TAGS


@pytest.mark.parametrize("name", sorted(EVERY))
def test_each_alarm_says_what_it_means_and_tells_the_topic(wanted, name):
    alarm = alarms_of(wanted["whole"])[name]
    assert alarm["name"] == f"demo-main-{name}"
    text = alarm["description"]
    # Two sentences: what it means, with the figure and its unit; what to do.
    assert len(re.findall(r"\. [A-Z]", text)) >= 1, text
    assert text.endswith(".")
    assert "{{" not in text
    assert len(text) <= 1024
    things = "answers|snapshot|restore drill|checkpoint|segment"
    unit = rf"(%|seconds?\b|days\b|healthy (host|readers)|host|reader unhealthy|{things})"
    assert re.search(rf"\b{alarm['threshold']:.10g} {unit}", text), text
    assert alarm["alarm_actions"] == alarm["ok_actions"] == [TOPIC]
    assert alarm["actions_enabled"] is True
    assert alarm["tags"] == TAGS
    # CloudWatch looks back over a day at most, and takes minutes.
    periods = [
        alarm["period"],
        *(query["metric_stat"]["period"] for query in alarm["metrics"] if "metric_stat" in query),
    ]
    assert [
        period for period in periods if period and (period % 60 or period * alarm["evaluation_periods"] > 86400)
    ] == []
    assert alarm["datapoints_to_alarm"] <= alarm["evaluation_periods"]


def test_missing_data_rings_only_where_it_means_something(wanted):
    alarms = alarms_of(wanted["whole"])
    treated = {name: alarm["treat_missing_data"] for name, alarm in alarms.items()}
    # A target group without a target sends nothing.
    assert {name for name, how in treated.items() if how == "breaching"} == {"writer-missing", "reader-missing"}
    # What the hosts send is "missing" while there is nothing yet; where it has stopped, some tell so.
    own = {name for name, alarm in alarms.items() if alarm["namespace"] == "ChromaFleet"}
    assert {treated.pop(name) for name in ("snapshot-failed", "restore-drill-failed", "segments-recovered")} == {
        "notBreaching"
    }
    # Four times an hour only, and the certificate's figure twice a day, so that they must keep their state between.
    assert {treated.pop(name) for name in ("checkpoint-failed", "certificate-expiry")} == {"ignore"}
    assert {treated[name] for name in own & treated.keys()} == {"missing"}
    told = {name for name, alarm in alarms.items() if alarm["insufficient_data_actions"] == [TOPIC]}
    assert told == {"reader-data-age", "snapshot-age", "writer-disk"}
    assert all(treated[name] == "missing" for name in told)


def test_metrics_are_found_by_what_exists(wanted):
    alarms = alarms_of(wanted["whole"])
    assert alarms["writer-missing"]["dimensions"] == {
        "LoadBalancer": "app/demo/0123456789abcdef",
        "TargetGroup": "targetgroup/demo-main-writer/1111111111111111",
    }
    assert alarms["reader-latency"]["dimensions"]["TargetGroup"] == "targetgroup/demo-main-reader/2222222222222222"
    assert alarms["reader-latency"]["extended_statistic"] == "p99"
    assert alarms["writer-disk"]["dimensions"] == {"Fleet": "demo", "Cell": "main", "Role": "writer"}
    assert alarms["snapshot-age"]["dimensions"] == {"Fleet": "demo", "Cell": "main"}
    assert alarms["reader-missing"]["threshold"] == 2
    queries = {query["id"]: query for query in alarms["load-balancer-errors"]["metrics"]}
    assert queries["rate"]["return_data"] is True
    assert [queries[name]["return_data"] for name in ("errors", "requests")] == [False, False]
    assert queries["errors"]["metric_stat"]["metric"] == {
        "namespace": "AWS/ApplicationELB",
        "metric_name": "HTTPCode_ELB_5XX_Count",
        "dimensions": [{"name": "LoadBalancer", "value": "app/demo/0123456789abcdef"}],
    }


def test_an_alarm_of_several_cache_nodes_is_metric_math(wanted):
    alarm = alarms_of(wanted["whole"])["cache-evictions"]
    queries = {query["id"]: query for query in alarm["metrics"]}
    assert queries["all"]["expression"] == "SUM([m1, m2])"
    nodes = [queries[name]["metric_stat"]["metric"]["dimensions"][0]["value"] for name in ("m1", "m2")]
    assert nodes == ["demo-main-001", "demo-main-002"]
    assert (alarm["metric_name"], alarm["dimensions"], alarm["period"]) == (None, {}, None)
    alone = alarms_of(wanted["one cache node"])["cache-evictions"]
    assert (alone["metrics"], alone["dimensions"]) == ([], {"CacheClusterId": "demo-main-001"})


def test_thresholds_are_variables(wanted):
    alarms = alarms_of(wanted["thresholds"])
    assert [alarms[name]["threshold"] for name in ("writer-disk", "writer-errors", "certificate-expiry")] == [
        66,
        0.5,
        14,
    ]
    assert "66 %" in alarms["reader-disk"]["description"]


def body_of(answer):
    (dashboard,) = answer["dashboards"]
    return dashboard["body"]


SHOWN = [name for name in VARIANTS if name != "no dashboard"]


@pytest.mark.parametrize("variant", SHOWN)
def test_widgets_stay_in_the_grid_and_apart(wanted, variant):
    taken = set()
    for widget in body_of(wanted[variant])["widgets"]:
        assert widget["width"] >= 1
        assert widget["x"] + widget["width"] <= 24
        place = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert not place & taken
        taken |= place


@pytest.mark.parametrize("variant", SHOWN)
def test_metrics_are_well_formed(wanted, variant):
    widgets = [widget for widget in body_of(wanted[variant])["widgets"] if widget["type"] == "metric"]
    for widget in widgets:
        properties = widget["properties"]
        assert properties["title"]
        assert properties["region"]
        assert properties["period"] % 60 == 0
        assert properties["metrics"]
        for metric in properties["metrics"]:
            *names, last = metric
            options = last if isinstance(last, dict) else {}
            names = names if options else metric
            assert set(options) <= {"expression", "id", "label", "stat", "yAxis"}
            if names:
                # Namespace, name, then pairs of dimension and value.
                assert len(names) >= 4
                assert len(names) % 2 == 0
                assert all(isinstance(name, str) and name and "{{" not in name for name in names)
                assert "stat" in properties or "stat" in options
            else:
                assert re.fullmatch(r"SEARCH\('[^']+', '(Average|Maximum|Sum)', 60\)", options["expression"])
                assert options["id"][0].islower()


def headings(answer):
    texts = [widget["properties"]["markdown"] for widget in body_of(answer)["widgets"] if widget["type"] == "text"]
    return [text.removeprefix("## ") for text in texts if text.startswith("## ")]


def test_the_dashboard_has_a_row_for_each_question(wanted):
    rows = ["Alarms", "Traffic", "Latency", "Fleet", "nginx", "Chroma", "Cache", "Snapshots", "Cost"]
    assert headings(wanted["whole"]) == rows
    assert headings(wanted["no cache"]) == [row for row in rows if row != "Cache"]
    assert headings(wanted["no alarms"]) == rows[1:]
    assert wanted["no dashboard"]["dashboards"] == []


def metrics_in(answer):
    return json.dumps([widget["properties"].get("metrics", []) for widget in body_of(answer)["widgets"]])


def test_the_dashboard_shows_what_there_is(wanted):
    (alarms,) = [widget for widget in body_of(wanted["whole"])["widgets"] if widget["type"] == "alarm"]
    assert len(alarms["properties"]["alarms"]) == len(EVERY)
    assert f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:demo-main-writer-disk" in alarms["properties"]["alarms"]
    for percentile in ("p50", "p90", "p99"):
        assert f'"stat": "{percentile}"' in metrics_in(wanted["whole"])
    assert "DataAgeSeconds" in metrics_in(wanted["whole"])
    assert "reader" not in metrics_in(wanted["writer only"])
    assert "DataAgeSeconds" not in metrics_in(wanted["writer only"])


def test_charges_come_from_where_they_are(wanted):
    charges = [
        widget["properties"]["region"]
        for widget in body_of(wanted["whole"])["widgets"]
        if "EstimatedCharges" in json.dumps(widget)
    ]
    assert charges == ["us-east-1"]
    # CloudWatch refuses a region of another partition.
    assert "EstimatedCharges" not in metrics_in(wanted["China"])
    assert "playbooks/cost.yml" in json.dumps(body_of(wanted["China"]))


def test_only_this_accounts_alarms_may_publish(wanted):
    (topic,) = wanted["whole"]["topics"]
    allowed, denied = topic["policy"]["Statement"]
    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allowed["Resource"] == TOPIC
    assert allowed["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:demo-main-*"},
    }
    assert denied["Effect"] == "Deny"


def test_a_subscription_that_waits_is_no_difference(wanted):
    (topic,) = wanted["people"]["topics"]
    assert topic["subscriptions"] == [
        {"endpoint": "ops@example.com", "protocol": "email"},
        {"endpoint": "https://pager.example.com/x", "protocol": "https"},
        {"endpoint": "former@example.com", "protocol": "email"},
    ]


# --- What it refuses -------------------------------------------------------------------------------------------------

BAD = {
    "retention between": (
        {"retention": 100},
        (
            "aws_observability_retention is 100, but CloudWatch keeps logs for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, "
            "180, 365, 400, 545, 731, 1827, 3653 days: the nearest is 90."
        ),
    ),
    "retention too long": ({"retention": 9999}, "the nearest is 3653."),
    "retention of nothing": ({"retention": 0}, "the nearest is 1."),
    "retention nearer above": ({"retention": 110}, "the nearest is 120."),
    "tags of another cell": (
        {"tags": {**TAGS, "chromafleet:cell": "other"}},
        "aws_observability_tags must hold chromafleet:fleet: demo and chromafleet:cell: main, by which the cell's",
    ),
    "name of another fleet": (
        {"name": "other-main"},
        'aws_observability_name is "other-main", but must begin with aws_observability_fleet and a hyphen, demo-,',
    ),
    "name with a dot": (
        {"name": "demo-main.x"},
        'aws_observability_name makes the topic name "demo-main.x-alarms" (18 characters), but AWS allows at most 256',
    ),
    "name too long": ({"name": "demo-" + "n" * 250}, "(262 characters), but AWS allows at most 256 letters, digits"),
    "log group too long": (
        {"log_group_prefix": "/" + "g" * 510},
        "(517 characters), but CloudWatch allows at most 512",
    ),
    "log group with a space": (
        {"log_groups": ["my logs"]},
        'make the name "/chromafleet/demo/main/my logs" (30 characters)',
    ),
    "alarm name too long": (
        {"alarms_extra": [{**OWN, "name": "a" * 250}]},
        "has 260 characters, but CloudWatch allows 255: shorten its name in aws_observability_alarms_extra",
    ),
    "key by alias": (
        {"kms_key_arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/logs"},
        "but must be the ARN of a key (no alias) in us-east-1, such as arn:aws:kms:us-east-1:123456789012:key/..., or",
    ),
    "key of another region": (
        {"topic_kms_key_arn": f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/x"},
        'aws_observability_topic_kms_key_arn is "arn:aws:kms:eu-west-1:123456789012:key/x", but must be',
    ),
    "no address": (
        {"alarm_emails": ["ops"]},
        "aws_observability_alarm_emails and aws_observability_alarm_subscriptions hold email ops, but email takes an",
    ),
    "no number": (
        {"alarm_subscriptions": [{"protocol": "sms", "endpoint": "030 123"}]},
        "hold sms 030 123, but email takes an address",
    ),
    "http for https": (
        {"alarm_subscriptions": [{"protocol": "https", "endpoint": "http://pager.example.com"}]},
        "hold https http://pager.example.com, but",
    ),
    "unknown protocol": (
        {"alarm_subscriptions": [{"protocol": "pigeon", "endpoint": "coo"}]},
        "value of protocol must be one of: email, email-json, http, https, lambda, sms, sqs, got: pigeon",
    ),
    "misspelt alarm": (
        {"alarms_off": ["cache-memroy"]},
        'aws_observability_alarms_off holds "cache-memroy", but there is no such alarm: did you mean cache-memory?',
    ),
    "alarm that nobody knows": (
        {"alarms_off": ["zzz"]},
        'aws_observability_alarms_off holds "zzz", but there is no such alarm: there are load-balancer-errors, writer-',
    ),
    "alarm of nothing": (
        {"alarms_extra": [{key: value for key, value in OWN.items() if key != "metric_name"}]},
        "aws_observability_alarms_extra: own must have either metric_name or metrics.",
    ),
    "alarm without statistic": (
        {"alarms_extra": [{key: value for key, value in OWN.items() if key != "statistic"}]},
        "aws_observability_alarms_extra: own must have a period, and either statistic or extended_statistic.",
    ),
    "alarm without description": (
        {"alarms_extra": [{key: value for key, value in OWN.items() if key != "description"}]},
        "missing required arguments: description found in aws_observability_alarms_extra",
    ),
    "more than all": (
        {"max_disk": 101},
        "aws_observability_max_disk is 101.0, but must be a percentage above 0 and at most 100; an alarm is left out",
    ),
    "latency of nothing": (
        {"max_writer_latency": 0},
        "aws_observability_max_writer_latency is 0.0, but must be above 0",
    ),
}


@pytest.fixture(scope="module")
def refused(results):
    """The sentence for each bad input."""

    def tasks(path):
        return [
            {
                "block": [
                    {"ansible.builtin.include_role": {"name": "chromafleet.aws.aws_observability"}},
                    {"ansible.builtin.set_fact": {"said": "nothing"}},
                ],
                "rescue": [{"ansible.builtin.set_fact": {"said": "{{ ansible_failed_result.msg }}"}}],
                # Nothing answers there: a call to AWS would fail with another sentence.
                "module_defaults": {
                    f"group/{collection}.aws.aws": {"endpoint_url": "http://127.0.0.1:9", "region": REGION}
                    for collection in ("amazon", "community", "chromafleet")
                },
            },
            {"ansible.builtin.copy": {"dest": path, "content": "{{ [said] | to_json }}"}},
        ]

    return results({case: values for case, (values, _) in BAD.items()}, tasks)


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(refused, case):
    (said,) = refused[case]
    assert BAD[case][1] in " ".join(said.split())


def test_alarms_of_ones_own_have_the_modules_words():
    doc = (ROOT / "plugins/modules/cloudwatch_metric_alarms.py").read_text()
    module = yaml.safe_load(re.search(r'DOCUMENTATION = r"""(.*?)"""', doc, re.S)[1])["options"]["alarms"]["suboptions"]
    specs = yaml.safe_load((ROOT / "roles/aws_observability/meta/argument_specs.yml").read_text())
    own = specs["argument_specs"]["main"]["options"]["aws_observability_alarms_extra"]["options"]
    assert set(own) - set(module) == {"tell_missing", "when"}
    assert set(module) <= set(own)
    for name, option in module.items():
        assert {key: option.get(key) for key in ("type", "choices")} == {
            key: own[name].get(key) for key in ("type", "choices")
        }


# --- What is found ---------------------------------------------------------------------------------------------------

ALARM = {"MetricName": "M", "Namespace": "N", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1}


def make_parts(aws, fleet, cell):
    """One resource of each kind."""
    name, tags = f"{fleet}-{cell}", {"chromafleet:fleet": fleet, "chromafleet:cell": cell}
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    aws.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{name}-disk", ComparisonOperator="GreaterThanThreshold", Tags=pairs, **ALARM
    )
    aws.client("cloudwatch").put_dashboard(DashboardName=name, DashboardBody='{"widgets": [{"x": 0}]}', Tags=pairs)
    aws.client("logs").create_log_group(logGroupName=f"/chromafleet/{fleet}/{cell}/nginx", tags=tags)
    topic = aws.client("sns").create_topic(Name=f"{name}-alarms", Tags=pairs)["TopicArn"]
    for protocol, endpoint in (("email", "ops@example.com"), ("sms", "+4930123456")):
        aws.client("sns").subscribe(TopicArn=topic, Protocol=protocol, Endpoint=endpoint)


def found_in(aws):
    module = SimpleNamespace(region=REGION, client=aws.client)
    return observability.read(Reader(module, "demo"))


def test_an_empty_account_takes_few_calls(aws):
    assert found_in(aws) == NOTHING
    assert len(aws.calls()) == 2


def test_all_that_is_the_fleets_is_found_and_nothing_else(aws):
    make_parts(aws, "demo", "main")
    make_parts(aws, "demo", "second")
    # Its names begin the same.
    make_parts(aws, "demo-eu", "main")
    # Another layer's.
    aws.client("logs").create_log_group(logGroupName="/chromafleet/demo/flow", tags={"chromafleet:fleet": "demo"})
    found = found_in(aws)
    assert {kind: sorted(parts) for kind, parts in found.items()} == {
        "alarms": ["demo-main-disk", "demo-second-disk"],
        "dashboards": ["demo-main", "demo-second"],
        "log_groups": ["/chromafleet/demo/main/nginx", "/chromafleet/demo/second/nginx"],
        "topics": ["demo-main-alarms", "demo-second-alarms"],
    }
    for parts in found.values():
        assert [part["cell"] for _, part in sorted(parts.items())] == ["main", "second"]
        assert all(part["tags"]["chromafleet:fleet"] == "demo" for part in parts.values())
    assert found["topics"]["demo-main-alarms"]["arn"] == TOPIC
    assert len(found["topics"]["demo-main-alarms"]["subscriptions"]) == 2
    assert found["topics"]["demo-main-alarms"]["pending"] == [{"protocol": "email", "endpoint": "ops@example.com"}]
    assert found["dashboards"]["demo-main"]["widgets"] == ['{"x": 0}']
    assert found["alarms"]["demo-main-disk"]["threshold"] == 1.0
    assert found["log_groups"]["/chromafleet/demo/main/nginx"]["retention"] == 0
