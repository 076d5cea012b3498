# SPDX-License-Identifier: Apache-2.0
"""The filter `dashboard`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.chromafleet.aws.plugins.module_utils.cloudwatch import dashboard_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

DOCUMENTATION = r"""
name: dashboard
short_description: The body of a CloudWatch dashboard from rows of widgets
description:
  - Puts a heading above each row and shares the width of 24 columns among the row's widgets, from left to right.
  - A row, a widget or a metric (in its last part) with C(when=false) is left out, and so is a row without widgets.
author:
  - Chroma Fleet developers (@chromafleet)
positional: region
options:
  _input:
    description:
      - "The rows, each with a C(title), C(widgets) and, unless it is 6, a C(height)."
      - "Each widget has a C(type) and its C(properties) as CloudWatch takes them."
    type: list
    elements: dict
    required: true
  region:
    description: The region of metric widgets that name none.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the body
  ansible.builtin.debug:
    msg: "{{ [{'title': 'Traffic', 'widgets': [requests, errors]}] | chromafleet.aws.dashboard('eu-central-1') }}"
"""

RETURN = r"""
_value:
  description: C(body), and the C(widgets) and C(settings) in it as fleet_info tells them.
  type: dict
"""

COLUMNS = 24
HEIGHT = 6


def shown(parts: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows or widgets that are not left out."""
    return [part for part in parts if part.get("when", True)]


def metrics_of(given: Iterable[list[Any]]) -> list[list[Any]]:
    """The metrics that are not left out, without the word that said so."""
    metrics = []
    for metric in given:
        *names, options = metric if isinstance(metric[-1], dict) else [*metric, {}]
        if options.get("when", True):
            options = {key: value for key, value in options.items() if key != "when"}
            metrics.append([*names, options] if options else names)
    return metrics


def properties_of(widget: dict[str, Any], region: str) -> dict[str, Any]:
    """A widget's properties; a metric widget's are completed."""
    if widget["type"] != "metric":
        return widget["properties"]
    return {"region": region, **widget["properties"], "metrics": metrics_of(widget["properties"]["metrics"])}


def placed(rows: Iterable[dict[str, Any]], region: str) -> Iterator[dict[str, Any]]:
    """The widgets of all rows with their places."""
    y = 0
    for row in shown(rows):
        widgets = shown(row["widgets"])
        if not widgets:
            continue
        heading = {"markdown": f"## {row['title']}", "background": "transparent"}
        yield {"type": "text", "x": 0, "y": y, "width": COLUMNS, "height": 1, "properties": heading}
        height = row.get("height", HEIGHT)
        # Where the columns don't divide evenly, the widgets differ by one.
        edges = [COLUMNS * number // len(widgets) for number in range(len(widgets) + 1)]
        for left, right, widget in zip(edges, edges[1:], widgets, strict=False):
            place = {"x": left, "y": y + 1, "width": right - left, "height": height}
            yield {"type": widget["type"], **place, "properties": properties_of(widget, region)}
        y += 1 + height


def dashboard(rows: Iterable[dict[str, Any]], region: str) -> dict[str, Any]:
    """The body, and what of it is compared."""
    body = {"start": "-PT12H", "widgets": list(placed(rows, region))}
    return {"body": body, **dashboard_of(body)}


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"dashboard": dashboard}
