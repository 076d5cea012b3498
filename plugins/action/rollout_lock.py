# SPDX-License-Identifier: Apache-2.0
"""Knows who this run is, and whether another one has ended; the module of the same name does the rest."""

from __future__ import annotations

import getpass
import os
import re
import socket
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

HOLDER = re.compile(r"(?P<user>.+)@(?P<machine>.+) pid (?P<process>\d+)")


def this_run() -> str:
    """The user, the machine, and the process of ansible-playbook, whose child an action plugin runs in."""
    return f"{getpass.getuser()}@{socket.gethostname()} pid {os.getppid()}"


def has_ended(holder: str) -> bool:
    """Whether a run of this machine holds the lock that is none any more."""
    known = HOLDER.fullmatch(holder)
    if not known or known["machine"] != socket.gethostname():
        return False
    try:
        os.kill(int(known["process"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # somebody else's
    return False


class ActionModule(ActionBase):
    """Only the controller knows its processes."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Take the lock, or free it, in the name of this run."""
        result = super().run(tmp, task_vars)
        arguments = {key: value for key, value in self._task.args.items() if value}
        if "holder" in arguments:
            raise AnsibleActionFail("holder is set by this action: it is the run itself")
        arguments["holder"] = this_run()

        def ask() -> dict[str, Any]:
            return self._execute_module("chromafleet.aws.rollout_lock", module_args=arguments, task_vars=task_vars)

        answer = ask()
        if answer.get("failed") and has_ended(answer.get("holder", "")):
            self._display.warning(f"The run {answer['holder']} has ended without freeing the lock, which is free now.")
            arguments["take_over"] = answer["holder"]
            answer = ask()
        return {**result, **answer}
