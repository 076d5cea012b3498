# SPDX-License-Identifier: Apache-2.0
"""What a check run would do, as a table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ansible import constants
from ansible.plugins.callback import CallbackBase

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult

DOCUMENTATION = r"""
name: fleet_plan
type: aggregate
short_description: What a check run would create, change and destroy in AWS, as a table
description:
  - Collects the results of the action M(chromafleet.aws.plan) and prints them as one table at the end of a check run.
  - Prints nothing at the end of a run that is no check run.
author:
  - Chroma Fleet developers (@chromafleet)
requirements:
  - enabled by C(callbacks_enabled = chromafleet.aws.fleet_plan) in ansible.cfg
options:
  value_length:
    description: Cut a shown value to this many characters.
    type: int
    default: 60
    ini:
      - section: callback_fleet_plan
        key: value_length
    env:
      - name: FLEET_PLAN_VALUE_LENGTH
"""

EXAMPLES = r"""
# ansible.cfg
# [defaults]
# callbacks_enabled = chromafleet.aws.fleet_plan, chromafleet.aws.fleet_summary
- name: Compare the log groups, and have what differs in the table of a check run
  chromafleet.aws.plan:
    kind: log group
    wanted: [{name: /chromafleet/production/main/nginx, retention: 30}]
    found: {}
"""

COLOURS = {"create": constants.COLOR_OK, "change": constants.COLOR_CHANGED, "destroy": constants.COLOR_ERROR}
Row = tuple[str, str, str, str]


def shown(value: Any, length: int) -> str:
    """A value in one line, cut in the middle so that both ends can be told apart."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    text = " ".join(text.split()) or '""'
    half = (length - 5) // 2
    return text if len(text) <= length else f"{text[:half]} ... {text[-half:]}"


def only_in(one: Any, other: Any) -> Any:
    """Of a list, what the other lacks; anything else as it is."""
    if isinstance(one, list) and isinstance(other, list):
        return [part for part in one if part not in other]
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: part for key, part in one.items() if other.get(key) != part}
    return one


def change(name: str, before: Any, after: Any, length: int) -> str:
    """`name: before -> after`, of lists and dictionaries only what differs."""
    left, right = shown(only_in(before, after), length), shown(only_in(after, before), length)
    return f"{name}: {left} -> {right}"


def rows_of(plan: dict[str, Any], length: int) -> list[Row]:
    """A plan's lines: action, kind, name, what differs."""
    kind = str(plan["kind"])
    rows: list[Row] = [("create", kind, name, "") for name in plan["create"]]
    for name, properties in plan["change"].items():
        texts = [change(key, two["before"], two["after"], length) for key, two in properties.items()]
        rows.append(("change", kind, name, texts[0]))
        rows += [("", "", "", text) for text in texts[1:]]
    return rows + [("destroy", kind, name, "") for name in plan["destroy"]]


def counts_of(plans: list[dict[str, Any]]) -> dict[str, int]:
    """How many resources each action has."""
    return {action: sum(len(plan[action]) for plan in plans) for action in ("create", "change", "destroy", "unchanged")}


class CallbackModule(CallbackBase):
    """Collects while the run goes on, prints once at its end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "chromafleet.aws.fleet_plan"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Start with nothing to say."""
        super().__init__(*args, **kwargs)
        self.plans: list[dict[str, Any]] = []

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Remember a plan of a check run; a loop has one for each item."""
        answer = result.result
        for part in answer.get("results", [answer]):
            if isinstance(part, dict) and part.get("check") and "plan" in part:
                self.plans.append(part["plan"])

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Print the table."""
        if not self.plans:
            return
        self._display.banner("FLEET PLAN")
        rows = [row for plan in self.plans for row in rows_of(plan, self.get_option("value_length"))]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
        colour = None
        for row in rows:
            colour = COLOURS.get(row[0], colour)
            cells = [cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)]
            self._display.display("  ".join(cells).rstrip(), color=colour)
        self._show_unchanged()
        counts = counts_of(self.plans)
        self._display.display(", ".join(f"{count} {action}" for action, count in counts.items()))

    def _show_unchanged(self) -> None:
        kinds: dict[str, int] = {}
        for plan in self.plans:
            kinds[plan["kind"]] = kinds.get(plan["kind"], 0) + len(plan["unchanged"])
        said = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()) if count)
        if said:
            self._display.display(f"unchanged: {said}")
