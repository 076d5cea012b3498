# SPDX-License-Identifier: Apache-2.0
"""Alarms and dashboards in the one form in which they are wanted, found and compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict, snake_dict_to_camel_dict

# An alarm's property, named as amazon.aws.cloudwatch_metric_alarm names its options -> PutMetricAlarm's argument.
ALARM_ARGUMENTS = {
    "name": "AlarmName",
    "description": "AlarmDescription",
    "metric_name": "MetricName",
    "namespace": "Namespace",
    "dimensions": "Dimensions",
    "metrics": "Metrics",
    "statistic": "Statistic",
    "extended_statistic": "ExtendedStatistic",
    "comparison": "ComparisonOperator",
    "threshold": "Threshold",
    "period": "Period",
    "unit": "Unit",
    "evaluation_periods": "EvaluationPeriods",
    "datapoints_to_alarm": "DatapointsToAlarm",
    "treat_missing_data": "TreatMissingData",
    "evaluate_low_sample_count_percentile": "EvaluateLowSampleCountPercentile",
    "actions_enabled": "ActionsEnabled",
    "alarm_actions": "AlarmActions",
    "ok_actions": "OKActions",
    "insufficient_data_actions": "InsufficientDataActions",
}
ACTIONS = ("alarm_actions", "ok_actions", "insufficient_data_actions")
# What an alarm has that doesn't say. Period and threshold of a metric math alarm stand elsewhere or are always said.
ALARM_DEFAULTS: dict[str, Any] = {
    "comparison": "GreaterThanThreshold",
    "evaluation_periods": 1,
    "treat_missing_data": "missing",
    "actions_enabled": True,
}


def _query(query: Mapping[str, Any]) -> dict[str, Any]:
    """A query of metric math with what it returns by default, its dimensions in one order."""
    full = {"return_data": True, **query}
    if "metric_stat" in full:
        metric = {"dimensions": [], **full["metric_stat"]["metric"]}
        metric["dimensions"] = sorted(metric["dimensions"], key=lambda pair: str(pair["name"]))
        full["metric_stat"] = {**full["metric_stat"], "metric": metric}
    return full


def complete(alarm: Mapping[str, Any]) -> dict[str, Any]:
    """An alarm with all its properties, None or empty where it has none, so that two can be compared."""
    full = {name: alarm.get(name) for name in ALARM_ARGUMENTS}
    for name, value in ALARM_DEFAULTS.items():
        full[name] = value if full[name] is None else full[name]
    for name in ACTIONS:
        full[name] = sorted(full[name] or [])
    full["metrics"] = sorted((_query(query) for query in full["metrics"] or []), key=lambda query: str(query["id"]))
    full["dimensions"] = {str(name): str(value) for name, value in (full["dimensions"] or {}).items()}
    full["threshold"] = None if full["threshold"] is None else float(full["threshold"])
    # All of the periods, as CloudWatch takes it.
    full["datapoints_to_alarm"] = full["datapoints_to_alarm"] or full["evaluation_periods"]
    return full


def alarm_of(described: Mapping[str, Any]) -> dict[str, Any]:
    """A described alarm's properties."""
    alarm = {name: described.get(argument) for name, argument in ALARM_ARGUMENTS.items()}
    alarm["dimensions"] = {pair["Name"]: pair["Value"] for pair in alarm["dimensions"] or []}
    alarm["metrics"] = [camel_dict_to_snake_dict(query) for query in alarm["metrics"] or []]
    return complete(alarm)


def arguments_of(alarm: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of PutMetricAlarm for an alarm."""
    full = complete(alarm)
    full["dimensions"] = [{"Name": name, "Value": value} for name, value in full["dimensions"].items()]
    full["metrics"] = snake_dict_to_camel_dict(full["metrics"], capitalize_first=True)
    if full["metrics"]:
        # CloudWatch refuses both in one call.
        del full["dimensions"]
    else:
        del full["metrics"]
    return {ALARM_ARGUMENTS[name]: value for name, value in full.items() if value is not None}


def canonical_json(value: Any) -> str:
    """JSON in which equal values are equal texts."""
    return json.dumps(value, sort_keys=True)


def dashboard_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """What of a dashboard is compared: its widgets, each with its place, and what stands beside them."""
    return {
        "widgets": [canonical_json(widget) for widget in body.get("widgets", [])],
        "settings": canonical_json({name: value for name, value in body.items() if name != "widgets"}),
    }
