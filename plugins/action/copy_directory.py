# SPDX-License-Identifier: Apache-2.0
"""Reads the files of a directory, which the module of the same name then brings to the host in one go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Runs on the controller and then, once for all files, on the host."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read, and let the module compare and write."""
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        source = arguments.pop("src", None)
        if not source or "files" in arguments:
            raise AnsibleActionFail("src is required: the directory among the role's files that is copied")
        try:
            folder = Path(self._find_needle("files", str(source)))
        except AnsibleError as error:
            raise AnsibleActionFail(f"src {source}: {error}") from error
        if not folder.is_dir():
            raise AnsibleActionFail(f"src {source} is not a directory; ansible.builtin.copy takes single files")
        try:
            arguments["files"] = {
                str(path.relative_to(folder)): path.read_text(encoding="utf-8")
                for path in sorted(folder.rglob("*"))
                if path.is_file() and "__pycache__" not in path.parts
            }
        except UnicodeDecodeError as error:
            raise AnsibleActionFail(f"src {source} holds a file that is not text in UTF-8: {error}") from error
        result.update(
            self._execute_module("chromafleet.aws.copy_directory", module_args=arguments, task_vars=task_vars)
        )
        # The module doesn't repeat the texts that it was given, since everything it says is logged on the host.
        for name, diff in zip(result.get("written", []), result.get("diff", []), strict=False):
            diff["after"] = arguments["files"][name]
        return result
