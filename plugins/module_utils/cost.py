# SPDX-License-Identifier: Apache-2.0
"""What a fleet costs in a month, from the inventory's variables and a file of prices. Calls no API."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.chromafleet.aws.plugins.module_utils.spelling import closest

HOURS = 730
# What a gp3 volume has without further charge.
VOLUME_IOPS = 3000
VOLUME_THROUGHPUT = 125
DETAILED_METRICS = 7
ARM = {"t3": "t4g", "m6i": "m7g", "m7i": "m7g", "r6i": "r7g", "r7i": "r7g"}
NAT_GATEWAYS: dict[str, Callable[[int], int]] = {
    "none": lambda zones: 0,
    "single": lambda zones: 1,
    "per_az": lambda zones: zones,
}

# Every variable that the estimate reads. The action `cost` takes them from the inventory, else the roles' defaults.
VARIABLES = (
    "aws_cache_enabled",
    "aws_cache_node_type",
    "aws_cache_num_cache_clusters",
    "aws_fleet_data_volume_iops",
    "aws_fleet_data_volume_size",
    "aws_fleet_data_volume_throughput",
    "aws_fleet_detailed_monitoring",
    "aws_fleet_instance_type",
    "aws_fleet_reader_instance_types",
    "aws_fleet_reader_on_demand_base",
    "aws_fleet_reader_spot_percentage",
    "aws_fleet_reader_volume_size",
    "aws_fleet_reader_warm_pool_size",
    "aws_fleet_root_volume_size",
    "aws_identity_kms_key",
    "aws_load_balancer_waf",
    "aws_network_availability_zones",
    "aws_network_az_count",
    "aws_network_flow_logs",
    "aws_network_interface_endpoints",
    "aws_network_nat",
    "aws_observability_alarms",
    "aws_observability_dashboard",
    "aws_observability_retention",
    "fleet_cells",
    "fleet_cost_agent_metrics",
    "fleet_cost_alarms",
    "fleet_cost_cell_metrics",
    "fleet_cost_flow_log_gb",
    "fleet_cost_image_gb",
    "fleet_cost_internet_gb",
    "fleet_cost_lcu",
    "fleet_cost_log_gb",
    "fleet_cost_million_requests",
    "fleet_cost_nat_gb",
    "fleet_cost_secrets",
    "fleet_cost_snapshot_gb",
    "fleet_cost_spot_share",
    "fleet_cost_waf_rules",
    "fleet_cost_zone_gb",
    "fleet_readers_max",
    "fleet_readers_min",
)


class CostError(Exception):
    """A sentence for the user."""


@dataclass(frozen=True)
class Line:
    """A resource, how many of it, and the price of one unit: an hour, a GB, a month of it (`each`)."""

    resource: str
    count: float
    unit: str
    price: float

    @property
    def month(self) -> float:
        """Dollars a month."""
        return self.count * self.price * (HOURS if self.unit == "hour" else 1)


@dataclass(frozen=True)
class Switch:
    """A setting that would cost less (or more), as the variables that it changes."""

    label: str
    changes: dict[str, Any]


class Values:
    """The inventory's values, with a sentence for one that can't be reckoned with."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        """`values` holds all of VARIABLES."""
        self._values = values

    def __getitem__(self, name: str) -> Any:
        """The value as it is."""
        return self._values[name]

    def number(self, name: str) -> float:
        """A number, 0 or more."""
        try:
            number = float(self._values[name])
        except (TypeError, ValueError):
            number = -1
        if number < 0:
            raise CostError(f'{name} is "{self._values[name]}", but must be a number, 0 or more.')
        return number

    def flag(self, name: str) -> bool:
        """Whether it is switched on; a list or dictionary is when it isn't empty."""
        value = self._values[name]
        return boolean(value, strict=False) if isinstance(value, str) else bool(value)

    @property
    def reader_type(self) -> str:
        """The readers' first instance type: which others AWS gives is its choice."""
        return self._values["aws_fleet_reader_instance_types"][0]

    @property
    def cells(self) -> int:
        """How many cells there are; each has what the inventory says of one."""
        return len(self._values["fleet_cells"])

    @property
    def zones(self) -> int:
        """How many availability zones there are."""
        return len(self._values["aws_network_availability_zones"]) or int(self.number("aws_network_az_count"))


class Prices:
    """A region's prices, with a sentence for one that isn't there."""

    def __init__(self, prices: Mapping[str, Any], where: str) -> None:
        """`where` is the file, to name it."""
        self._prices = prices
        self.where = where
        self.as_of = str(prices.get("as_of", ""))

    def __getitem__(self, name: str) -> float:
        """The price of something that every fleet has."""
        if name not in self._prices:
            raise CostError(f"{self.where} has no price {name}: add it, as in the files beside it.")
        return self._prices[name]

    def of_type(self, kind: str, variable: str, name: str) -> float:
        """The price of an hour of an instance or cache node of this type."""
        known = self._prices[kind]
        if name not in known:
            near = closest(name, known)
            meant = f"did you mean {near}? Otherwise add" if near else "add"
            raise CostError(f'{variable} is "{name}", which has no price: {meant} it to {kind} in {self.where}.')
        return known[name]

    def smaller(self, name: str) -> str | None:
        """The next smaller instance type of the same family that has a price."""
        price = self._prices["instance"][name]
        family = [other for other in self._prices["instance"] if other.split(".")[0] == name.split(".")[0]]
        cheaper = [other for other in family if self._prices["instance"][other] < price]
        return max(cheaper, key=self._prices["instance"].__getitem__, default=None)

    def arm(self, name: str) -> str | None:
        """The Graviton type of the same size, if it has a price."""
        family, size = name.split(".")
        other = f"{ARM.get(family)}.{size}"
        return other if other in self._prices["instance"] else None


def lines(values: Values, prices: Prices, readers: int) -> list[Line]:
    """Each resource with its number, for this number of readers; always the same resources in the same order."""
    return [
        *_compute(values, prices, readers),
        *_network(values, prices),
        *_services(values, prices),
        *_observability(values, prices, values.cells * (1 + readers)),
    ]


def _compute(values: Values, prices: Prices, readers: int) -> Iterator[Line]:
    writer, reader = values["aws_fleet_instance_type"], values.reader_type
    writer_hour = prices.of_type("instance", "aws_fleet_instance_type", writer)
    reader_hour = prices.of_type("instance", "aws_fleet_reader_instance_types", reader)
    cells = values.cells
    above_base = max(0, readers - int(values.number("aws_fleet_reader_on_demand_base")))
    spot = math.floor(above_base * values.number("aws_fleet_reader_spot_percentage") / 100)
    yield Line(f"Writer {writer}", cells, "hour", writer_hour)
    yield Line(f"Readers {reader}", cells * (readers - spot), "hour", reader_hour)
    yield Line(f"Readers {reader}, Spot", cells * spot, "hour", reader_hour * values.number("fleet_cost_spot_share"))
    # Of a reader that waits in the warm pool only the volumes are paid for.
    volumes = cells * (1 + readers + (values.number("aws_fleet_reader_warm_pool_size") if readers else 0))
    iops = max(0, values.number("aws_fleet_data_volume_iops") - VOLUME_IOPS)
    throughput = max(0, values.number("aws_fleet_data_volume_throughput") - VOLUME_THROUGHPUT)
    yield Line("Data volume, gp3", cells * values.number("aws_fleet_data_volume_size"), "GB", prices["volume_gb"])
    yield Line("Data volumes, more IOPS", volumes * iops, "each", prices["volume_iops"])
    yield Line("Data volumes, more throughput", volumes * throughput, "MiB/s", prices["volume_throughput"])
    yield Line(
        "Readers' data volumes, gp3",
        (volumes - cells) * values.number("aws_fleet_reader_volume_size"),
        "GB",
        prices["volume_gb"],
    )
    yield Line("Root volumes, gp3", volumes * values.number("aws_fleet_root_volume_size"), "GB", prices["volume_gb"])


def _network(values: Values, prices: Prices) -> Iterator[Line]:
    mode = values["aws_network_nat"]
    if mode not in NAT_GATEWAYS:
        raise CostError(f'aws_network_nat is "{mode}", but must be one of {", ".join(NAT_GATEWAYS)}.')
    gateways = NAT_GATEWAYS[mode](values.zones)
    endpoints = len(values["aws_network_interface_endpoints"]) * values.zones
    traffic = values.number("fleet_cost_nat_gb")
    yield Line("NAT gateways", gateways, "hour", prices["nat_gateway_hour"])
    yield Line("NAT traffic", traffic if gateways else 0, "GB", prices["nat_gateway_gb"])
    yield Line("Interface endpoints", endpoints, "hour", prices["interface_endpoint_hour"])
    yield Line("Endpoint traffic", 0 if gateways else traffic, "GB", prices["interface_endpoint_gb"])
    # One of each NAT gateway, and one of the load balancer in each zone.
    yield Line("Public IPv4 addresses", gateways + values.zones, "hour", prices["public_address_hour"])
    yield Line("Traffic to the Internet", values.number("fleet_cost_internet_gb"), "GB", prices["internet_gb"])
    yield Line("Traffic between zones", values.number("fleet_cost_zone_gb"), "GB", prices["zone_gb"])
    flow_logs = values.number("fleet_cost_flow_log_gb")
    to_logs, to_bucket = (values["aws_network_flow_logs"] == where for where in ("cloudwatch", "s3"))
    yield Line("Flow logs", flow_logs if to_logs else 0, "GB", prices["log_gb"])
    yield Line("Flow logs in S3", flow_logs if to_bucket else 0, "GB", prices["log_to_bucket_gb"])


def _services(values: Values, prices: Prices) -> Iterator[Line]:
    waf, cache = values.flag("aws_load_balancer_waf"), values.flag("aws_cache_enabled")
    node = values["aws_cache_node_type"]
    nodes = values.cells * values.number("aws_cache_num_cache_clusters") if cache else 0
    yield Line("Load balancer", 1, "hour", prices["load_balancer_hour"])
    yield Line(
        "Load balancer capacity (LCU)", values.number("fleet_cost_lcu"), "hour", prices["load_balancer_lcu_hour"]
    )
    yield Line("Web ACL", int(waf), "each", prices["waf_acl"])
    yield Line("Web ACL rules", values.number("fleet_cost_waf_rules") if waf else 0, "each", prices["waf_rule"])
    requests = values.number("fleet_cost_million_requests") if waf else 0
    yield Line("Web ACL requests", requests, "million", prices["waf_million_requests"])
    node_hour = prices.of_type("cache_node", "aws_cache_node_type", node) if cache else 0
    yield Line(f"Cache nodes {node}", nodes, "hour", node_hour)
    yield Line("KMS key", int(values["aws_identity_kms_key"] == "customer"), "each", prices["kms_key"])
    yield Line("Secrets", values.number("fleet_cost_secrets"), "each", prices["secret"])
    yield Line("Snapshots in S3", values.number("fleet_cost_snapshot_gb"), "GB", prices["bucket_gb"])
    yield Line("Images in ECR", values.number("fleet_cost_image_gb"), "GB", prices["repository_gb"])


def _observability(values: Values, prices: Prices, instances: int) -> Iterator[Line]:
    logs = values.number("fleet_cost_log_gb")
    stored = logs * values.number("aws_observability_retention") / 30
    alarms = values.number("fleet_cost_alarms") if values.flag("aws_observability_alarms") else 0
    detailed = DETAILED_METRICS * instances if values.flag("aws_fleet_detailed_monitoring") else 0
    yield Line("Logs taken in", logs, "GB", prices["log_gb"])
    yield Line("Logs stored", stored, "GB", prices["log_stored_gb"])
    yield Line("Metrics of the agent", values.number("fleet_cost_agent_metrics") * instances, "each", prices["metric"])
    of_cells = values.number("fleet_cost_cell_metrics") * values.cells
    yield Line("Metrics of the cells", of_cells, "each", prices["metric"])
    yield Line("Metrics of detailed monitoring", detailed, "each", prices["metric"])
    yield Line("Alarms", alarms, "each", prices["alarm"])
    yield Line("Dashboard", int(values.flag("aws_observability_dashboard")), "each", prices["dashboard"])


def switches(values: Values, prices: Prices) -> Iterator[Switch]:
    """What the inventory could set otherwise."""
    nat = values["aws_network_nat"]
    if nat == "per_az":
        yield Switch("One NAT gateway for all zones", {"aws_network_nat": "single"})
    if nat != "none":
        yield Switch("No NAT gateway, but interface endpoints", {"aws_network_nat": "none"})
    if values.zones > 2:
        yield Switch("Two zones", {"aws_network_az_count": 2, "aws_network_availability_zones": []})
    if values["aws_network_flow_logs"] != "none":
        yield Switch("No flow logs", {"aws_network_flow_logs": "none"})
    if values["aws_identity_kms_key"] == "customer":
        yield Switch("AWS's own keys", {"aws_identity_kms_key": "aws"})
    for name, label in (
        ("aws_load_balancer_waf", "No web ACL"),
        ("aws_cache_enabled", "No query cache"),
        ("aws_fleet_detailed_monitoring", "Metrics every 5 minutes"),
        ("aws_observability_alarms", "No alarms"),
        ("aws_observability_dashboard", "No dashboard"),
    ):
        if values.flag(name):
            yield Switch(label, {name: False})
    if values.flag("aws_cache_enabled") and values.number("aws_cache_num_cache_clusters") > 1:
        yield Switch("One cache node", {"aws_cache_num_cache_clusters": 1})
    if values.number("fleet_readers_max") and values.number("aws_fleet_reader_spot_percentage") < 100:
        base = int(values.number("aws_fleet_reader_on_demand_base"))
        label = f"All readers but {base} on Spot" if base else "All readers on Spot"
        yield Switch(label, {"aws_fleet_reader_spot_percentage": 100})
    yield from _types(values, prices)


def _types(values: Values, prices: Prices) -> Iterator[Switch]:
    writer, reader = values["aws_fleet_instance_type"], values.reader_type

    def types(writer: str, reader: str) -> dict[str, Any]:
        # The readers' type is the writer's where it isn't set: each is changed without the other.
        changes: dict[str, Any] = {"aws_fleet_instance_type": writer}
        return changes | ({"aws_fleet_reader_instance_types": [reader]} if values.number("fleet_readers_max") else {})

    if smaller := prices.smaller(writer):
        yield Switch("Writer one size smaller", types(smaller, reader))
    if values.number("fleet_readers_max") and (smaller := prices.smaller(reader)):
        yield Switch("Readers one size smaller", types(writer, smaller))
    if (writer_arm := prices.arm(writer)) and (reader_arm := prices.arm(reader)):
        yield Switch("Graviton (with an arm64 image)", types(writer_arm, reader_arm))


def estimate(values: Values, prices: Prices) -> dict[str, Any]:
    """The month with the fewest and with the most readers."""
    fewest = lines(values, prices, int(values.number("fleet_readers_min")))
    most = lines(values, prices, int(values.number("fleet_readers_max")))
    return {
        "lines": [(one, other) for one, other in zip(fewest, most, strict=True) if one.count or other.count],
        "fewest": sum(line.month for line in fewest),
        "most": sum(line.month for line in most),
    }


def savings(evaluate: Callable[[dict[str, Any]], Values], prices: Prices) -> list[tuple[Switch, float, float]]:
    """Each switch with what it would save, fewest and most readers; the estimate is made anew for each."""
    now = evaluate({})
    before = estimate(now, prices)
    after = [(switch, estimate(evaluate(switch.changes), prices)) for switch in switches(now, prices)]
    saved = [(switch, before["fewest"] - new["fewest"], before["most"] - new["most"]) for switch, new in after]
    return sorted(saved, key=lambda one: -one[2])
