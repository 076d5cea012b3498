# SPDX-License-Identifier: Apache-2.0
"""How a load balancer tells endpoints and tenants apart, as listener rules."""

from __future__ import annotations

import re
import zlib
from typing import Any

Cell = dict[str, Any]
Rule = dict[str, Any]

# Where AWS wants several values of a condition.
CONFIGS = {"host-header": "HostHeaderConfig", "path-pattern": "PathPatternConfig"}

# AWS's limits: rules of a load balancer, characters of a path pattern. A condition takes 3 values and a tenant needs 2.
RULES_MAX = 100
PATTERN_MAX = 128
ENDPOINTS = 2

# What no client percent-encodes: a pattern is compared with the path as it was sent. `*` and `?` would be wildcards.
TENANT = re.compile(r"(?!\.+$)[A-Za-z0-9._~-]+")
TENANT_PATH = "/api/v2/tenants/{}"
TENANT_MAX = PATTERN_MAX - len(TENANT_PATH.format("/*"))

# A tenant's rules are looked at before those of the endpoints. Its priority comes from its name, so that one more
# tenant leaves all other rules alone.
FIRST_TENANT = 1000
SLOTS = 20_000
WRITER, READER = 45_001, 45_002


def slots(tenants: list[str]) -> dict[str, int]:
    """A number of its own for each tenant; of two whose names meet, the latter takes the next free one."""
    taken: dict[int, str] = {}
    for tenant in sorted(tenants):
        slot = zlib.crc32(tenant.encode()) % SLOTS
        while slot in taken:
            slot = (slot + 1) % SLOTS
        taken[slot] = tenant
    return {tenant: slot for slot, tenant in taken.items()}


def rules(cells: list[Cell], prefix: str, endpoint: str, reader_endpoint: str) -> list[Rule]:
    """The rules in the order in which they are looked at.

    The first cell serves whoever is not placed on another one, so its tenants need no rule.
    """
    placed = {str(tenant): cell for cell in cells[1:] for tenant in cell.get("tenants") or []}
    numbers = slots(list(placed))
    made = [
        _rule(FIRST_TENANT + 2 * numbers[tenant] + second, host, f"{prefix}-{cell['name']}-{end}", tenant)
        for tenant, cell in placed.items()
        for second, (host, end) in enumerate(((endpoint, "writer"), (reader_endpoint, _readers(cell))))
    ]
    made.append(_rule(WRITER, endpoint, f"{prefix}-{cells[0]['name']}-writer"))
    made.append(_rule(READER, reader_endpoint, f"{prefix}-{cells[0]['name']}-{_readers(cells[0])}"))
    return sorted(made, key=lambda rule: rule["priority"])


def _readers(cell: Cell) -> str:
    """The end of the name of the target group of its readers."""
    return cell.get("readers", "reader")


def _rule(priority: int, host: str, target_group: str, tenant: str | None = None) -> Rule:
    conditions = {"host-header": [host]}
    if tenant is not None:
        path = TENANT_PATH.format(tenant)
        conditions["path-pattern"] = [path, f"{path}/*"]
    return {
        "priority": priority,
        "conditions": conditions,
        "target_groups": [target_group],
        # What the module elb_application_lb takes.
        "rule": {
            "Priority": priority,
            "Conditions": [
                {"Field": field, CONFIGS[field]: {"Values": values}} for field, values in conditions.items()
            ],
            "Actions": [{"Type": "forward", "TargetGroupName": target_group}],
        },
    }


def faults(cells: list[Cell], variable: str) -> list[str]:
    """A sentence for each thing in the list of cells that can't work."""
    if not cells:
        return [f"{variable} is empty: list at least one cell, such as [{{name: main, tenants: []}}]."]
    names = [str(cell.get("name", "")) for cell in cells]
    said = [
        f"{variable} lists the cell {name!r} {names.count(name)} times: name the cells apart."
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    tenants = [
        (str(tenant), name) for cell, name in zip(cells, names, strict=True) for tenant in cell.get("tenants") or []
    ]
    said += _twice(tenants, variable)
    for tenant in dict.fromkeys(tenant for tenant, _cell in tenants):
        if not TENANT.fullmatch(tenant) or len(tenant) > TENANT_MAX:
            said.append(
                f"{variable} lists the tenant {tenant!r} ({len(tenant)} characters), but a load balancer's path rule "
                f"only tells names of 1 to {TENANT_MAX} letters, digits and - . _ ~ apart (* and ? are wildcards, and "
                "clients percent-encode the rest): rename the tenant, or leave it out, and so on the first cell."
            )
    placed = sum(len(cell.get("tenants") or []) for cell in cells[1:])
    count = ENDPOINTS * (placed + 1)
    if count > RULES_MAX:
        most = RULES_MAX // ENDPOINTS - 1
        said.append(
            f"{variable} places {placed} tenants on other cells than the first, which takes {count} rules, but AWS "
            f"allows {RULES_MAX} at a load balancer: place at most {most}, and leave the others on the first cell."
        )
    return said


def _twice(tenants: list[tuple[str, str]], variable: str) -> list[str]:
    where: dict[str, list[str]] = {}
    for tenant, cell in tenants:
        where.setdefault(tenant, []).append(cell)
    return [
        f"{variable} lists the tenant {tenant!r} {len(cells)} times (cells: {', '.join(cells)}), but a tenant lives on "
        "one cell: list it once."
        for tenant, cells in where.items()
        if len(cells) > 1
    ]


def target_groups(cells: list[Cell], prefix: str, tags: dict[str, str]) -> list[dict[str, Any]]:
    """Name, cell, role and tags of every cell's target groups."""
    return [
        {
            "name": f"{prefix}-{cell['name']}-{end}",
            "cell": cell["name"],
            "role": role,
            "tags": {**tags, "chromafleet:cell": cell["name"], "chromafleet:role": role},
        }
        for cell in cells
        for role, end in (("writer", "writer"), ("reader", _readers(cell)))
    ]
