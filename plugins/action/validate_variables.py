# SPDX-License-Identifier: Apache-2.0
"""Finds variables that look like a role's but that no role declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.chromafleet.aws.plugins.module_utils.spelling import closest

ROLES = Path(__file__).parents[2] / "roles"
PLACEHOLDER = "CHANGE-ME"
SET_FACT = ("ansible.builtin.set_fact", "set_fact")


class Variable(NamedTuple):
    """A variable that a user has set, and where."""

    name: str
    value: Any
    where: str


def holds_placeholder(value: Any) -> bool:
    """Whether a value, or a part of it, is still the example's. A vaulted value is no `str` and stays closed."""
    if isinstance(value, str):
        return PLACEHOLDER in value
    if isinstance(value, Mapping):
        return any(holds_placeholder(part) for part in value.values())
    return isinstance(value, list) and any(holds_placeholder(part) for part in value)


def facts_in(tasks: Any) -> Iterator[str]:
    """The names that tasks set as facts, in blocks too."""
    for task in tasks if isinstance(tasks, list) else []:
        if not isinstance(task, Mapping):
            continue
        for action in SET_FACT:
            if isinstance(task.get(action), Mapping):
                yield from task[action]
        for block in ("block", "rescue", "always"):
            yield from facts_in(task.get(block))


class ActionModule(ActionBase):
    """Runs on the controller; needs no connection."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare and tell."""
        result = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            {"allow": {"type": "list", "elements": "str", "default": []}, "report": {"type": "bool", "default": False}}
        )
        self._user_variables = list(self._set_by_user(task_vars or {}))
        faults = [*self._undeclared(set(arguments["allow"])), *self._placeholders(), *self._texts_for_booleans()]
        result.update(changed=False, faults=faults)
        if faults and not arguments["report"]:
            result.update(failed=True, msg="\n".join(faults))
        return result

    # --- what the roles declare ---------------------------------------------------------------------------------

    @cached_property
    def _declared(self) -> dict[str, set[str]]:
        """The variables of each role that has argument_specs, of all its entry points."""
        declared = {}
        for specs in sorted(ROLES.glob("*/meta/argument_specs.yml")):
            entries = (self._load(specs) or {}).get("argument_specs") or {}
            role = specs.parents[1].name
            declared[role] = {name for entry in entries.values() for name in entry.get("options") or {}}
        return declared

    @cached_property
    def _booleans(self) -> set[str]:
        """The variables of all roles that are true or false."""
        return {
            name
            for specs in ROLES.glob("*/meta/argument_specs.yml")
            for entry in self._load(specs)["argument_specs"].values()
            for name, option in (entry.get("options") or {}).items()
            if option.get("type") == "bool"
        }

    def _facts_of(self, role: str) -> set[str]:
        """The facts that a role sets; read from its tasks, because a list of them would go stale."""
        return {fact for tasks in (ROLES / role / "tasks").glob("**/*.yml") for fact in facts_in(self._load(tasks))}

    def _role_of(self, name: str) -> str | None:
        """The role whose variable this would be by its name: the longest that fits."""
        return max((role for role in self._declared if name.startswith(f"{role}_")), key=len, default=None)

    def _load(self, path: Path) -> Any:
        return self._loader.load_from_file(str(path), cache="all", unsafe=True)

    # --- what the user has set ----------------------------------------------------------------------------------

    def _set_by_user(self, task_vars: dict[str, Any]) -> Iterator[Variable]:
        for directory in self._directories(task_vars):
            yield from self._in_files(directory)
        # The values in the inventory's own files; group_vars and host_vars are not in these.
        inventory = getattr(task_vars.get("hostvars"), "_inventory", None)
        for kind, entities in (("group", "groups"), ("host", "hosts")):
            for entity in getattr(inventory, entities, {}).values():
                for name, value in entity.vars.items():
                    yield Variable(name, value, f"inventory, {kind} {entity.name}")
        for name, value in load_extra_vars(self._loader).items():
            yield Variable(name, value, "extra variables, -e")

    def _directories(self, task_vars: dict[str, Any]) -> list[Path]:
        """Where group_vars and host_vars are looked for, as Ansible does."""
        sources = [Path(source) for source in task_vars.get("ansible_inventory_sources") or [] if "," not in source]
        beside = [source if source.is_dir() else source.parent for source in sources]
        return list(dict.fromkeys([*beside, Path(task_vars.get("playbook_dir") or ".")]))

    def _in_files(self, directory: Path) -> Iterator[Variable]:
        for kind in ("group_vars", "host_vars"):
            folder = directory / kind
            if not folder.is_dir():
                continue
            # By the folder's entries, not by the inventory's groups: an empty fleet has no hosts and so no groups.
            for entity in sorted({entry.stem if entry.is_file() else entry.name for entry in folder.iterdir()}):
                for file in self._loader.find_vars_files(str(folder), entity):
                    values = self._load(Path(str(file)))
                    for name, value in values.items() if isinstance(values, Mapping) else ():
                        yield Variable(str(name), value, self._short(Path(str(file))))

    @staticmethod
    def _short(file: Path) -> str:
        """Relative to where the command was started, if it is below."""
        return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)

    # --- the sentences ------------------------------------------------------------------------------------------

    def _undeclared(self, allowed: set[str]) -> Iterator[str]:
        # A name is told once, with the last of its places.
        for name, variable in {variable.name: variable for variable in self._user_variables}.items():
            role = self._role_of(name)
            if role is None or name in allowed or name in self._declared[role] or name in self._facts_of(role):
                continue
            near = closest(name, self._declared[role], prefix=f"{role}_")
            fix = (
                f"rename it to {near}, or remove it"
                if near
                else f"remove it, or take a name that `ansible-doc -t role chromafleet.aws.{role}` lists"
            )
            yield f"{name} ({variable.where}) is not a variable of the role {role}: {fix}."

    def _placeholders(self) -> Iterator[str]:
        # In every place, not only in the one that wins: a file may lie in group_vars that is no group's. An extra
        # variable wins over all of them, though.
        extra = load_extra_vars(self._loader)
        for name, value, where in self._user_variables:
            if holds_placeholder(extra.get(name, value)):
                yield f"{name} ({where}) still holds the example's {PLACEHOLDER}: set your own value."

    def _texts_for_booleans(self) -> Iterator[str]:
        # `-e name=false` makes a text, and every text but an empty one is true in a condition. Variables that are meant
        # for the command line begin with fleet_, and common.yml makes booleans of them.
        for name, value in load_extra_vars(self._loader).items():
            if (
                name in self._booleans
                and not name.startswith("fleet_")
                and isinstance(value, str)
                and "{{" not in value
            ):
                yield (
                    f"{name} (extra variables, -e) is the text {value!r}, which a condition takes for true: "
                    f"write -e '{{\"{name}\": {'true' if value.lower() in ('true', 'yes', 'on', '1') else 'false'}}}'."
                )
