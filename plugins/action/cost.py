# SPDX-License-Identifier: Apache-2.0
"""Estimates what the inventory's fleet costs in a month."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.chromafleet.aws.plugins.module_utils.cost import (
    VARIABLES,
    CostError,
    Line,
    Prices,
    Switch,
    Values,
    estimate,
    savings,
)

COLLECTION = Path(__file__).parents[2]
HEADER = ["Resource", "Number", "Unit", "Price"]
SWITCH_HEADER = ["Switch", "Setting"]


def money(amount: float) -> str:
    """Dollars and cents; without `-0.00`."""
    return f"{round(amount, 2) + 0:.2f}"


def number(one: float, other: float) -> str:
    """How many, or from how many to how many."""
    shown = [f"{count:g}" for count in (one, other)]
    return shown[0] if shown[0] == shown[1] else "-".join(shown)


def line_row(one: Line, other: Line) -> list[str]:
    """A resource's row, without the months."""
    return [one.resource, number(one.count, other.count), one.unit, f"{one.price:.4f}"]


def setting(switch: Switch) -> str:
    """What to write into the inventory."""
    return ", ".join(f"{name}: {json.dumps(value)}".replace('"', "") for name, value in switch.changes.items())


class ActionModule(ActionBase):
    """Runs on the controller; needs no connection and no credentials."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Reckon and tell."""
        result = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            {"region": {"type": "str", "required": True}, "prices": {"type": "path", "required": True}}
        )
        self._variables = self._defaults() | (task_vars or {})
        try:
            prices = self._prices(Path(arguments["prices"]), arguments["region"])
            values = self._evaluate({})
            now = estimate(values, prices)
            saved = savings(self._evaluate, prices)
        except CostError as error:
            raise AnsibleActionFail(str(error)) from error
        # One column where the number of readers doesn't vary.
        readers = sorted({int(values[name]) for name in ("fleet_readers_min", "fleet_readers_max")})
        months = [f"{count} readers" for count in readers]

        def in_months(fewest: float, most: float) -> list[str]:
            return [money(fewest), money(most)][: len(months)]

        rows = [line_row(one, other) + in_months(one.month, other.month) for one, other in now["lines"]]
        switch_rows = [[switch.label, setting(switch), *in_months(fewest, most)] for switch, fewest, most in saved]
        result.update(
            changed=False,
            header=HEADER + months,
            rows=[*rows, ["Total", "", "", "", *in_months(now["fewest"], now["most"])]],
            switch_header=SWITCH_HEADER + months,
            switch_rows=switch_rows,
            fewest=round(now["fewest"], 2),
            most=round(now["most"], 2),
            as_of=prices.as_of,
        )
        return result

    def _defaults(self) -> dict[str, Any]:
        """The defaults of all roles, with what these are made from: the estimate needs many roles' and runs none."""
        defaults: dict[str, Any] = {}
        for path in sorted((COLLECTION / "roles").glob("*/[dv]*s/main.yml")):
            defaults |= self._loader.load_from_file(str(path), cache="all", trusted_as_template=True) or {}
        return defaults

    def _prices(self, folder: Path, region: str) -> Prices:
        path = folder / f"{region}.yml"
        if not path.exists():
            known = ", ".join(sorted(other.stem for other in folder.glob("*.yml")))
            raise CostError(
                f"fleet_region is {region}, for which there are no prices: write {path} after the ones of {known}."
            )
        where = path.relative_to(COLLECTION) if path.is_relative_to(COLLECTION) else path
        return Prices(self._loader.load_from_file(str(path), cache="all"), str(where))

    def _evaluate(self, changes: dict[str, Any]) -> Values:
        """The variables with these changes; a variable that is made from a changed one follows it."""
        variables = self._variables | changes
        templar = self._templar.copy_with_new_env(available_variables=variables)
        return Values({name: templar.template(variables[name]) for name in VARIABLES})
