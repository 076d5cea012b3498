"""What an inventory's fleet costs: the estimate in this process, then the playbook as a user runs it."""

from __future__ import annotations

import re

import pytest
import yaml
from ansible_collections.chromafleet.aws.plugins.inventory.fleet import needs_no_host
from ansible_collections.chromafleet.aws.plugins.module_utils.cost import (
    VARIABLES,
    CostError,
    Prices,
    Values,
    estimate,
    savings,
)
from ansible_collections.chromafleet.aws.plugins.module_utils.tables import markdown_table, text_table
from ansible_runs import ROOT

PRICES = ROOT / "roles" / "fleet" / "files" / "prices"
REGIONS = sorted(path.stem for path in PRICES.glob("*.yml"))
SMALL = {
    "aws_cache_enabled": True,
    "aws_cache_node_type": "cache.t4g.small",
    "aws_cache_num_cache_clusters": 1,
    "aws_fleet_data_volume_iops": 3000,
    "aws_fleet_data_volume_size": 20,
    "aws_fleet_data_volume_throughput": 125,
    "aws_fleet_detailed_monitoring": False,
    "aws_fleet_instance_type": "t3.medium",
    "aws_fleet_reader_instance_types": ["t3.medium"],
    "aws_fleet_reader_on_demand_base": 0,
    "aws_fleet_reader_spot_percentage": 0,
    "aws_fleet_reader_warm_pool_size": 0,
    "aws_fleet_reader_volume_size": 40,
    "aws_fleet_root_volume_size": 20,
    "aws_identity_kms_key": "aws",
    "aws_load_balancer_waf": False,
    "aws_network_availability_zones": [],
    "aws_network_az_count": 2,
    "aws_network_flow_logs": "none",
    "aws_network_interface_endpoints": [],
    "aws_network_nat": "single",
    "aws_observability_alarms": False,
    "aws_observability_dashboard": False,
    "aws_observability_retention": 30,
    "fleet_cells": [{"name": "main"}],
    "fleet_cost_agent_metrics": 70,
    "fleet_cost_alarms": 12,
    "fleet_cost_cell_metrics": 40,
    "fleet_cost_flow_log_gb": 5,
    "fleet_cost_image_gb": 1,
    "fleet_cost_internet_gb": 50,
    "fleet_cost_lcu": 1,
    "fleet_cost_log_gb": 10,
    "fleet_cost_million_requests": 10,
    "fleet_cost_nat_gb": 50,
    "fleet_cost_secrets": 3,
    "fleet_cost_snapshot_gb": 50,
    "fleet_cost_spot_share": 0.5,
    "fleet_cost_waf_rules": 3,
    "fleet_cost_zone_gb": 100,
    "fleet_readers_max": 0,
    "fleet_readers_min": 0,
}


def prices(region="us-east-1"):
    return Prices(yaml.safe_load((PRICES / f"{region}.yml").read_text()), f"prices/{region}.yml")


def months(values=None, region="us-east-1"):
    """Dollars for each resource, with the most readers."""
    now = estimate(Values(SMALL | (values or {})), prices(region))
    return {most.resource: most.month for _fewest, most in now["lines"]}


def total(values=None):
    return estimate(Values(SMALL | (values or {})), prices())["most"]


# --- Orders of magnitude -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("region", REGIONS)
def test_known_orders_of_magnitude(region):
    month = months({"aws_load_balancer_waf": True, "aws_fleet_detailed_monitoring": True}, region)
    assert 32 <= month["NAT gateways"] <= 40
    assert 16 <= month["Load balancer"] <= 25
    assert 16 <= month["Load balancer"] + 0.25 * month["Load balancer capacity (LCU)"] <= 25
    assert 13 <= month["Cache nodes cache.t4g.small"] <= 25
    assert 30 <= month["Writer t3.medium"] <= 36
    assert month["Web ACL"] + month["Web ACL rules"] == 8
    assert month["Metrics of detailed monitoring"] == pytest.approx(2.1)
    assert 7 <= month["Public IPv4 addresses"] <= 11


@pytest.mark.parametrize("region", REGIONS)
def test_each_region_has_the_same_prices_with_a_date(region):
    told, first = (yaml.safe_load((PRICES / f"{name}.yml").read_text()) for name in (region, REGIONS[0]))
    assert re.fullmatch(r"20\d\d-[01]\d", told["as_of"])
    assert told.keys() == first.keys()
    assert [told[kind].keys() for kind in ("instance", "cache_node")] == [
        first[kind].keys() for kind in ("instance", "cache_node")
    ]
    figures = [*told["instance"].values(), *told["cache_node"].values()]
    figures += [value for value in told.values() if not isinstance(value, (dict, str))]
    assert min(figures) > 0


def test_no_region_is_cheaper_than_virginia():
    """A slip of a digit in a price file shows as a region that costs half or twice as much."""
    here = sum(months().values())
    for region in REGIONS:
        assert here <= sum(months(region=region).values()) <= 1.3 * here, region


# --- Quantities ----------------------------------------------------------------------------------------------------


def test_what_the_inventory_asks_for_is_counted():
    three = {"aws_network_az_count": 3}
    assert months({**three, "aws_network_nat": "per_az"})["NAT gateways"] == pytest.approx(3 * months()["NAT gateways"])
    without = months({**three, "aws_network_nat": "none", "aws_network_interface_endpoints": ["sts", "logs"]})
    assert without["Interface endpoints"] == pytest.approx(2 * 3 * 730 * 0.01)
    assert {"NAT gateways", "NAT traffic"}.isdisjoint(without)
    assert months({"aws_network_availability_zones": ["a", "b", "c"]})["Public IPv4 addresses"] == pytest.approx(14.6)
    assert "Flow logs in S3" in months({"aws_network_flow_logs": "s3"})
    assert months({"aws_fleet_data_volume_iops": 5000})["Data volumes, more IOPS"] == pytest.approx(10)
    assert months({"aws_fleet_data_volume_throughput": 225})["Data volumes, more throughput"] == pytest.approx(4)
    assert months({"aws_observability_retention": 90})["Logs stored"] == pytest.approx(0.9)
    assert [name for name in months({"aws_cache_enabled": False}) if "Cache" in name] == []
    # A key that is somebody else's is not in this bill.
    assert "KMS key" not in months({"aws_identity_kms_key": "arn:aws:kms:us-east-1:123456789012:key/1"})


def test_readers_vary_and_spot_is_above_the_base():
    values = {"fleet_readers_min": 2, "fleet_readers_max": 5, "aws_fleet_reader_on_demand_base": 1}
    now = estimate(Values(SMALL | values | {"aws_fleet_reader_spot_percentage": 50}), prices())
    counts = {most.resource: (fewest.count, most.count) for fewest, most in now["lines"]}
    assert counts["Readers t3.medium"] == (2, 3)
    assert counts["Readers t3.medium, Spot"] == (0, 2)
    assert counts["Root volumes, gp3"] == (60, 120)
    spot = next(most for _fewest, most in now["lines"] if most.resource == "Readers t3.medium, Spot")
    assert spot.price == pytest.approx(0.0416 / 2)


def test_each_cell_has_its_own_instances():
    one, two = months(), months({"fleet_cells": [{"name": "main"}, {"name": "big"}]})
    double = {name for name in one if two[name] == pytest.approx(2 * one[name])}
    assert double == {
        "Writer t3.medium",
        "Data volume, gp3",
        "Root volumes, gp3",
        "Cache nodes cache.t4g.small",
        "Metrics of the agent",
        "Metrics of the cells",
    }


# --- Switches ------------------------------------------------------------------------------------------------------


def saved(values):
    """What each switch saves, with the values that it was reckoned with."""
    values = SMALL | values
    told = savings(lambda changes: Values(values | changes), prices())
    return {switch.label: (switch.changes, most) for switch, _fewest, most in told}


def test_a_switch_saves_what_the_estimate_says_without_it():
    values = {
        "aws_network_nat": "per_az",
        "aws_network_az_count": 3,
        "aws_cache_num_cache_clusters": 2,
        "aws_load_balancer_waf": True,
        "aws_fleet_detailed_monitoring": True,
        "aws_network_flow_logs": "cloudwatch",
        "aws_identity_kms_key": "customer",
        "aws_observability_alarms": True,
        "aws_observability_dashboard": True,
        "aws_fleet_reader_on_demand_base": 1,
        "fleet_readers_max": 5,
    }
    told = saved(values)
    assert set(told) == {
        "AWS's own keys",
        "All readers but 1 on Spot",
        "Graviton (with an arm64 image)",
        "Metrics every 5 minutes",
        "No NAT gateway, but interface endpoints",
        "No alarms",
        "No dashboard",
        "No flow logs",
        "No query cache",
        "No web ACL",
        "One NAT gateway for all zones",
        "One cache node",
        "Readers one size smaller",
        "Two zones",
        "Writer one size smaller",
    }
    for label, (changes, saving) in told.items():
        assert saving == pytest.approx(total(values) - total(values | changes)), label
        assert saving > 0, label
    # Two gateways, each with its address.
    assert told["One NAT gateway for all zones"][1] == pytest.approx(2 * 730 * (0.045 + 0.005))
    assert told["All readers but 1 on Spot"][1] == pytest.approx(4 * 730 * 0.0416 / 2)
    assert told["Writer one size smaller"][0] == {
        "aws_fleet_instance_type": "t3.small",
        "aws_fleet_reader_instance_types": ["t3.medium"],
    }


def test_what_is_off_already_is_no_switch():
    told = saved({"aws_cache_enabled": False, "aws_network_nat": "none", "aws_fleet_instance_type": "t3.small"})
    assert set(told) == {"Graviton (with an arm64 image)"}


# --- Bad values ----------------------------------------------------------------------------------------------------

FAULTS = {
    "instance type": (
        {"aws_fleet_instance_type": "m8i.large"},
        (
            'aws_fleet_instance_type is "m8i.large", which has no price: did you mean m7i.large? Otherwise add it to '
            "instance in prices/us-east-1.yml."
        ),
    ),
    "reader type": (
        {"aws_fleet_reader_instance_types": ["warp"]},
        'aws_fleet_reader_instance_types is "warp", which has no price: add it to instance in prices/us-east-1.yml.',
    ),
    "cache node": ({"aws_cache_node_type": "cache.t4g.smal"}, 'aws_cache_node_type is "cache.t4g.smal", which has no'),
    "nat": ({"aws_network_nat": "two"}, 'aws_network_nat is "two", but must be one of none, single, per_az.'),
    "number": ({"fleet_cost_lcu": "many"}, 'fleet_cost_lcu is "many", but must be a number, 0 or more.'),
    "negative": ({"fleet_cost_log_gb": -1}, 'fleet_cost_log_gb is "-1", but must be a number, 0 or more.'),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_value_that_has_no_price_is_one_sentence(case):
    values, sentence = FAULTS[case]
    with pytest.raises(CostError, match=re.escape(sentence)):
        total(values)


def test_a_price_that_a_file_lacks_is_named():
    known = yaml.safe_load((PRICES / "us-east-1.yml").read_text())
    del known["kms_key"]
    with pytest.raises(CostError, match=re.escape("prices/x.yml has no price kms_key: add it")):
        estimate(Values(SMALL), Prices(known, "prices/x.yml"))


def test_every_variable_is_one_that_a_role_declares():
    declared = set()
    for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        for spec in yaml.safe_load(path.read_text())["argument_specs"].values():
            declared |= set(spec.get("options") or {})
    assert set(VARIABLES) - declared == set()
    assert set(SMALL) == set(VARIABLES)


# --- Tables --------------------------------------------------------------------------------------------------------


def test_tables():
    header, rows = ["Name", "Number"], [["a", "1"], ["long name", "12.50"], ["none", ""]]
    assert text_table(header, rows).splitlines() == [
        "Name       Number",
        "---------  ------",
        "a               1",
        "long name   12.50",
        "none",
    ]
    assert markdown_table(header, rows).splitlines()[:3] == ["| Name | Number |", "| --- | ---: |", "| a | 1 |"]


# --- The playbook, without credentials -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("playbooks", "answer"),
    [
        (("playbooks/cost.yml",), True),
        (("chromafleet.aws.cost",), True),
        (("playbooks/cost.yml", "site.yml"), False),
        (("site.yml",), False),
        ((), False),
        (("cost",), False),  # a pattern of hosts, of the command `ansible`
    ],
)
def test_only_the_estimate_needs_no_host(playbooks, answer):
    assert needs_no_host(playbooks) is answer


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_inventory_as_it_stands_has_an_estimate_and_the_page_shows_it(play, tmp_path, environment):
    """Neither credentials nor an API: the environment of these tests has none."""
    report = tmp_path / "report.md"
    done = play(
        ROOT / "playbooks" / "cost.yml",
        "-e",
        f"fleet_cost_report={report}",
        inventory=ROOT / "inventories" / environment,
        env={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (ROOT / "docs" / "cost" / f"{environment}.md").read_text()
    assert report.read_text() == page, "run `make cost` and commit docs/cost"
    assert re.search(
        rf"{environment} in eu-central-1, US dollars a month by the list prices of 20\d\d-\d\d", done.stdout
    )
    total = re.search(r"Total .* (\d+\.\d\d) \|\n", page)[1]
    assert re.search(rf"Total .* {total}$", done.stdout, re.MULTILINE)


BAD_RUNS = {
    "misspelt": (
        {"aws_fleet_instance_tipe": "t3.large"},
        (
            "aws_fleet_instance_tipe (extra variables, -e) is not a variable of the role aws_fleet: rename it to "
            "aws_fleet_instance_type"
        ),
    ),
    "region": (
        {"fleet_region": "ap-south-1"},
        "fleet_region is ap-south-1, for which there are no prices: write",
    ),
}


@pytest.mark.parametrize("case", BAD_RUNS)
def test_a_run_that_can_not_tell_stops_with_one_sentence(play, case):
    values, sentence = BAD_RUNS[case]
    extra = [part for name, value in values.items() for part in ("-e", f"{name}={value}")]
    done = play(ROOT / "playbooks" / "cost.yml", *extra, inventory=ROOT / "inventories" / "staging")
    assert done.returncode == 2
    assert sentence in " ".join(done.stdout.split())
