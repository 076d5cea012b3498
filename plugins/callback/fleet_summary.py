# SPDX-License-Identifier: Apache-2.0
"""The end of a run in a few lines: what changed, the fleet's figures, and what failed."""

from __future__ import annotations

import sys
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible import constants, context
from ansible.plugins.callback import CallbackBase

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook.task import Task

DOCUMENTATION = r"""
name: fleet_summary
type: aggregate
short_description: What changed, the fleet's figures and what failed, at the end of a run
description:
  - Prints one line for each task that changed something, with its hosts.
  - Prints a table of the rows that playbooks hand over as the custom statistic C(fleet_summary), see the example.
  - Prints, when a host failed, the host, the task and the message in one line, and how to go on.
  - Prints nothing at all when a run changed nothing, handed over no row and did not fail.
  - Repeats nothing of a task with C(no_log), beyond its name.
author:
  - Chroma Fleet developers (@chromafleet)
requirements:
  - enabled by C(callbacks_enabled = chromafleet.aws.fleet_summary) in ansible.cfg
options:
  max_changes:
    description: Print at most this many changed tasks, then how many more there were.
    type: int
    default: 40
    ini:
      - section: callback_fleet_summary
        key: max_changes
    env:
      - name: FLEET_SUMMARY_MAX_CHANGES
"""

EXAMPLES = r"""
# Every set_stats adds rows; a value that is a list takes one line for each element.
- name: Hand the endpoints over to the summary
  ansible.builtin.set_stats:
    data:
      fleet_summary:
        - [Endpoint, "https://{{ fleet_endpoint }}"]
        - [Instances, ["i-0a1 writer us-east-1a healthy", "i-0b2 reader us-east-1b healthy"]]
"""

STATISTIC = "fleet_summary"
COLLECTION = "chromafleet.aws."
HOSTS_SHOWN = 4
MESSAGE_LENGTH = 1000
WIDTH_OF_A_FILE = 120


@dataclass
class Change:
    """A task that changed something, on the hosts where it did."""

    name: str
    check_mode: bool
    hosts: list[str] = field(default_factory=list)


def task_name(task: Task) -> str:
    """`role : task`, without the collection, which is the same in every line."""
    return str(task.get_name()).strip().removeprefix(COLLECTION)


def some_of(hosts: list[str]) -> str:
    """The first hosts' names and how many more there are."""
    more = len(hosts) - HOSTS_SHOWN
    return ", ".join(sorted(hosts)[:HOSTS_SHOWN]) + (f" +{more} more" if more > 0 else "")


def message_of(result: dict[str, Any]) -> str:
    """A failed result's message in one line; of a `no_log` task only that it is hidden."""
    if "censored" in result:
        return str(result["censored"])
    message = str(result.get("msg") or result.get("reason") or "no message was returned")
    # A loop only says that an item failed; the item's own message is the one that helps.
    for item in result.get("results") or []:
        if isinstance(item, dict) and (item.get("failed") or item.get("unreachable")):
            message = message_of(item)
            break
    # `command` says no more than "non-zero return code".
    stderr = str(result.get("stderr") or "").strip()
    if result.get("rc") and stderr and stderr not in message:
        message = f"{message}: {stderr.splitlines()[-1]}"
    message = " ".join(message.split())
    return message if len(message) <= MESSAGE_LENGTH else message[: MESSAGE_LENGTH - 4] + " ..."


def rows_of(statistic: Any) -> list[tuple[str, list[str]]]:
    """The table's rows as (label, lines); a row that is no pair is shown as it is, never an error."""
    rows: list[tuple[str, list[str]]] = []
    for row in statistic if isinstance(statistic, list) else [statistic]:
        label, value = row if isinstance(row, (list, tuple)) and len(row) == 2 else ("", row)
        lines = [str(line) for line in value] if isinstance(value, (list, tuple)) else str(value).splitlines()
        shown = (str(label), lines or [""])
        if shown not in rows:  # several hosts, or two plays, may hand over the same row
            rows.append(shown)
    return rows


def table(rows: list[tuple[str, list[str]]], width: int) -> list[str]:
    """The rows with their labels in one column; long values go on below themselves and are never cut."""
    column = max(len(label) for label, _ in rows)
    lines: list[str] = []
    for label, values in rows:
        for number, value in enumerate(values):
            head = f"  {label if number == 0 else '':<{column}}  "
            wrapped = textwrap.wrap(
                value, max(20, width - len(head)), break_long_words=False, break_on_hyphens=False
            ) or [""]
            lines += [(head if part == 0 else " " * len(head)) + text for part, text in enumerate(wrapped)]
    return [line.rstrip() for line in lines]


class CallbackModule(CallbackBase):
    """Collects while the run goes on, prints once at its end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "chromafleet.aws.fleet_summary"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Start with nothing to say."""
        super().__init__(*args, **kwargs)
        self.changes: dict[tuple[str, str], Change] = {}
        self.failures: dict[str, tuple[str, str]] = {}
        self.check_mode = bool(context.CLIARGS.get("check"))
        self.planned = False

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Remember a change; what a plan would change is in the table of fleet_plan."""
        self.planned = self.planned or "plan" in result.result
        if result.is_changed() and "plan" not in result.result:
            self._remember(result)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        """Remember a failure; whether a rescue dealt with it is known at the end only."""
        if result.is_changed():
            self._remember(result)
        if not ignore_errors:
            self.failures[result.host.get_name()] = (task_name(result.task), message_of(result.result))

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        """Remember a host that can't be reached."""
        self.failures[result.host.get_name()] = (task_name(result.task), message_of(result.result))

    def _remember(self, result: CallbackTaskResult) -> None:
        task, host = result.task, result.host.get_name()
        # Not by the task's uuid: the same task of a later batch (`serial`) is the same line.
        change = self.changes.setdefault(
            (task.get_path() or "", task_name(task)), Change(task_name(task), bool(task.check_mode or self.check_mode))
        )
        if host not in change.hosts:
            change.hosts.append(host)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Print what there is to say."""
        rows = rows_of(stats.custom.get("_run", {}).get(STATISTIC, []))
        # A failure that a rescue dealt with is in `rescued`, not in these.
        failed = {host: what for host, what in self.failures.items() if host in stats.failures or host in stats.dark}
        if not (self.changes or rows or failed):
            return
        self._display.banner("FLEET SUMMARY")
        self._show_changes()
        if rows:
            self._display.display("")
            for line in table(rows, self._width()):
                self._display.display(line)
        if failed:
            self._display.display("")
            self._show_failures(failed)

    def _show_changes(self) -> None:
        changed = "Would change" if self.check_mode else "Changed"
        if not self.changes and self.check_mode and self.planned:
            self._display.display("What would change in AWS is in the table above.")
            return
        if not self.changes:
            self._display.display(f"{changed}: nothing", color=constants.COLOR_OK)
            return
        self._display.display(f"{changed}:", color=constants.COLOR_CHANGED)
        changes, most = list(self.changes.values()), self.get_option("max_changes")
        for change in changes[:most]:
            would = "would change: " if change.check_mode and not self.check_mode else ""
            self._display.display(f"  {would}{change.name} [{some_of(change.hosts)}]", color=constants.COLOR_CHANGED)
        if len(changes) > most:
            self._display.display(f"  +{len(changes) - most} more", color=constants.COLOR_CHANGED)

    def _show_failures(self, failed: dict[str, tuple[str, str]]) -> None:
        for host, (task, message) in failed.items():
            self._display.display(f"Failed: {host}: {task}: {message}", color=constants.COLOR_ERROR)
        if self.check_mode:
            return
        if self.changes:
            advice = (
                "Everything above stays done and nothing of this run is lost: when the cause is gone, start the same "
                "command again; it finds what exists and goes on from there."
            )
        else:
            advice = "No task had changed anything before that: when the cause is gone, start the same command again."
        for line in textwrap.wrap(advice, self._width()):
            self._display.display(line)

    def _width(self) -> int:
        return int(self._display.columns) if sys.stdout.isatty() else WIDTH_OF_A_FILE
