# SPDX-License-Identifier: Apache-2.0
"""The filter `alarms`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils.cloudwatch import complete

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DOCUMENTATION = r"""
name: alarms
short_description: A list of alarms, each with all its properties
description:
  - Completes alarms, so that they can be compared with those that M(chromafleet.aws.fleet_info) tells.
  - An alarm with C(when=false) is left out.
  - An alarm with C(across) (V(MAX), V(SUM) ...) has a dimension with a list of values, over which metric math is done.
  - An alarm tells when it rings and when all is well again; one with C(tell_missing=true) also when data stops coming.
author:
  - Chroma Fleet developers (@chromafleet)
positional: prefix
options:
  _input:
    description: The alarms, in the words of M(chromafleet.aws.cloudwatch_metric_alarms).
    type: list
    elements: dict
    required: true
  prefix:
    description: What all names begin with; a hyphen comes after it.
    type: str
    required: true
  actions:
    description: ARNs of what is told.
    type: list
    elements: str
    required: true
  tags:
    description: Tags of each alarm.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the alarms
  ansible.builtin.debug:
    msg: "{{ alarms | chromafleet.aws.alarms('production-main', actions=[topic_arn], tags={'team': 'search'}) }}"
"""

RETURN = r"""
_value:
  description:
    - The alarms, each with all properties for the comparison, its C(tags),
      and as C(options) what M(chromafleet.aws.cloudwatch_metric_alarms) takes.
  type: list
  elements: dict
"""


def spread(alarm: dict[str, Any]) -> dict[str, Any]:
    """An alarm over several values of a dimension as metric math; over one, as it is."""
    if "across" not in alarm:
        return alarm
    ((dimension, values),) = alarm["dimensions"].items()
    if len(values) == 1:
        return {**alarm, "dimensions": {dimension: values[0]}}
    queries = [
        {
            "id": f"m{number}",
            "return_data": False,
            "metric_stat": {
                "metric": {
                    "namespace": alarm["namespace"],
                    "metric_name": alarm["metric_name"],
                    "dimensions": [{"name": dimension, "value": value}],
                },
                "period": alarm["period"],
                "stat": alarm["statistic"],
            },
        }
        for number, value in enumerate(values, 1)
    ]
    math = {
        "id": "all",
        "label": alarm["metric_name"],
        "expression": f"{alarm['across']}([{', '.join(query['id'] for query in queries)}])",
    }
    elsewhere = ("namespace", "metric_name", "dimensions", "period", "statistic")
    return {**{key: value for key, value in alarm.items() if key not in elsewhere}, "metrics": [math, *queries]}


def alarms(
    given: Iterable[dict[str, Any]], prefix: str, *, actions: list[str], tags: dict[str, str]
) -> list[dict[str, Any]]:
    """The alarms that are not left out, complete."""
    told = {"alarm_actions": actions, "ok_actions": actions}
    wanted = []
    for alarm in given:
        if not alarm.get("when", True):
            continue
        silence = {"insufficient_data_actions": actions if alarm.get("tell_missing") else []}
        full = complete({**told, **silence, **spread(alarm), "name": f"{prefix}-{alarm['name']}"})
        options = {name: value for name, value in full.items() if value is not None}
        wanted.append({**full, "options": options, "tags": tags})
    return wanted


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"alarms": alarms}
