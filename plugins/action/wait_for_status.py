# SPDX-License-Identifier: Apache-2.0
"""Waits for a status and tells how far it is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.executor.module_common import _apply_action_arg_defaults
from ansible.plugins.action import ActionBase

ABSENT = "absent"
# A line is printed at least that often (seconds).
REPORT_EVERY = 30


def status_in(answer: Any, path: Sequence[str]) -> str:
    """What stands at the end of the path; `absent` where it leads nowhere."""
    for key in path:
        try:
            answer = answer[int(key)] if isinstance(answer, list) else answer[key]
        except (KeyError, IndexError, TypeError, ValueError):
            return ABSENT
    return str(answer)


def given(answer: Any, path: Sequence[str]) -> str:
    """What stands at the end of the path; empty without a path, and where it leads to nothing."""
    found = status_in(answer, path) if path else ""
    return "" if found in (ABSENT, "None") else found


def minutes(seconds: float) -> str:
    """A duration as one says it: `45 s`, `3 min 5 s`."""
    whole, rest = divmod(int(seconds), 60)
    return f"{whole} min {rest} s" if whole else f"{rest} s"


class ActionModule(ActionBase):
    """Runs on the controller, which looks through a module."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look until the status is there."""
        result = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            {
                "what": {"type": "str", "required": True},
                "module": {"type": "str", "required": True},
                "arguments": {"type": "dict", "default": {}},
                "status": {"type": "list", "elements": "str", "required": True},
                "until": {"type": "list", "elements": "str", "required": True},
                "failed": {"type": "list", "elements": "str", "default": []},
                "progress": {"type": "list", "elements": "str", "default": []},
                "reason": {"type": "list", "elements": "str", "default": []},
                "timeout": {"type": "int", "default": 1800},
                "delay": {"type": "int", "default": 15},
                "advice": {"type": "str", "default": "start the same command again to go on waiting"},
            }
        )
        if self._task.check_mode:
            return {**result, "skipped": True, "skip_reason": "A check run makes nothing to wait for."}
        what, started = arguments["what"], time.monotonic()
        told, told_at = "", started
        while True:
            found = self._look(arguments, task_vars)
            status, now = status_in(found, arguments["status"]), time.monotonic()
            result.update(status=status, elapsed=int(now - started), found=found)
            if status in arguments["until"]:
                return result
            if status in arguments["failed"]:
                reason = given(found, arguments["reason"]) or "look at its events in AWS."
                raise AnsibleActionFail(f"The {what} has the status {status}: {reason}", result=result)
            done = given(found, arguments["progress"])
            shown = f"{status}, {done} %" if done else status
            if shown != told or now - told_at >= REPORT_EVERY:
                told, told_at = shown, now
                self._display.display(f"  {what}: {shown} ({minutes(now - started)})")
            if now + arguments["delay"] - started > arguments["timeout"]:
                raise AnsibleActionFail(
                    f"The {what} is still {status} after {minutes(now - started)}, and goes on without this run: "
                    f"{arguments['advice']}.",
                    result=result,
                )
            time.sleep(arguments["delay"])

    def _look(self, arguments: Mapping[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """The module's answer, with the defaults that a task of its own would have."""
        context = self._shared_loader_obj.module_loader.find_plugin_with_context(arguments["module"])
        module_args = _apply_action_arg_defaults(
            context.resolved_fqcn, self._task, dict(arguments["arguments"]), self._templar
        )
        answer = self._execute_module(arguments["module"], module_args=module_args, task_vars=task_vars)
        if answer.get("failed"):
            raise AnsibleActionFail(
                f"Can't see the status of the {arguments['what']}: {answer.get('msg')}", result=answer
            )
        return answer
