# SPDX-License-Identifier: Apache-2.0
"""Compares what is wanted with what exists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

HIDDEN = "(hidden)"
MISSING = "(none)"


def canonical(value: Any) -> Any:
    """A value in the one form that is compared: no order in lists, no difference between 30 and "30"."""
    if isinstance(value, Mapping):
        return {str(key): canonical(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set)):
        return sorted((canonical(part) for part in value), key=lambda part: json.dumps(part, sort_keys=True))
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any], secret: set[str]) -> dict[str, dict[str, Any]]:
    """The wanted properties that are otherwise, with both values."""
    differ: dict[str, dict[str, Any]] = {}
    for name, value in wanted.items():
        before, after = canonical(found[name]) if name in found else MISSING, canonical(value)
        if before != after:
            differ[name] = {"before": HIDDEN, "after": HIDDEN} if name in secret else {"before": before, "after": after}
    return differ


class ActionModule(ActionBase):
    """Runs on the controller; needs no connection and no process of its own."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare and tell."""
        result = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            {
                "kind": {"type": "str", "required": True},
                "wanted": {"type": "list", "elements": "dict", "required": True},
                "found": {"type": "dict", "required": True},
                "purge": {"type": "bool", "default": False},
                "ignore": {"type": "list", "elements": "str", "default": []},
                "secret": {"type": "list", "elements": "str", "default": []},
            }
        )
        found, kind = arguments["found"], arguments["kind"]
        wanted = {str(one["name"]): one for one in arguments["wanted"]}
        if len(wanted) < len(arguments["wanted"]):
            names = [str(one["name"]) for one in arguments["wanted"]]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise AnsibleActionFail(f"More than one {kind} would have the name {', '.join(twice)}: name them apart.")
        uncompared = {"name", *arguments["ignore"]}
        differ = {
            name: differences(
                {key: value for key, value in one.items() if key not in uncompared},
                found[name],
                set(arguments["secret"]),
            )
            for name, one in wanted.items()
            if name in found
        }
        plan = {
            "kind": kind,
            "create": sorted(name for name in wanted if name not in found),
            "change": {name: properties for name, properties in sorted(differ.items()) if properties},
            "destroy": sorted(name for name in found if name not in wanted) if arguments["purge"] else [],
            "unchanged": sorted(name for name, properties in differ.items() if not properties),
        }
        todo = bool(plan["create"] or plan["change"] or plan["destroy"])
        check = bool(self._task.check_mode)
        result.update(
            changed=todo and check,
            check=check,
            apply=[] if check else [one for name, one in wanted.items() if name not in plan["unchanged"]],
            remove=[] if check else [{**found[name], "name": name} for name in plan["destroy"]],
            plan=plan,
        )
        if todo:
            result["diff"] = _diff(plan, found)
        return result


def _diff(plan: dict[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """What `--diff` shows: only what differs."""
    before: dict[str, Any] = {name: {key: two["before"] for key, two in properties.items()}
                              for name, properties in plan["change"].items()}  # fmt: skip
    after: dict[str, Any] = {name: {key: two["after"] for key, two in properties.items()}
                             for name, properties in plan["change"].items()}  # fmt: skip
    before |= dict.fromkeys(plan["destroy"], "exists")
    after |= dict.fromkeys(plan["create"], "created")
    return {"before": before, "after": after, "before_header": plan["kind"], "after_header": plan["kind"]}
