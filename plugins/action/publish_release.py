# SPDX-License-Identifier: Apache-2.0
"""Finds the collections on the controller, which the module of the same name then packs and uploads."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars


def directory(collection: str) -> str:
    """Where a collection is installed."""
    try:
        return next(iter(import_module(f"ansible_collections.{collection}").__path__))
    except ImportError:
        raise AnsibleActionFail(
            f"The collection {collection} is not installed: `ansible-galaxy collection install -r requirements.yml`."
        ) from None


class ActionModule(ActionBase):
    """Only Ansible itself knows where it finds collections."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look, and let the module do the rest."""
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if "directories" in arguments:
            raise AnsibleActionFail("directories is set by this action: name the collections")
        if not arguments.get("collections"):
            return {
                **result,
                **self._execute_module("chromafleet.aws.publish_release", module_args=arguments, task_vars=task_vars),
            }
        arguments["directories"] = {name: directory(name) for name in arguments.get("collections", [])}
        # They may be secret, so they are not kept.
        if given := sorted(load_extra_vars(self._loader)):
            self._display.warning(
                f"A new instance will not have what the command line gave ({', '.join(given)}): "
                f"if it is to last, write it into {arguments.get('inventory')}/group_vars."
            )
        result.update(
            self._execute_module("chromafleet.aws.publish_release", module_args=arguments, task_vars=task_vars)
        )
        return result
