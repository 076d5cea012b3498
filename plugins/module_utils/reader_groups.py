# SPDX-License-Identifier: Apache-2.0
"""The two groups of readers that a cell may have, of which one serves."""

from __future__ import annotations

from typing import Any

#: The ends of their names; target groups end the same.
NAMES = ("reader", "green")
#: The tag of a group that does not serve: `candidate` before its turn, `standby` after it.
STATE = "chromafleet:state"
#: The tag with the digest of the release that such a group runs.
RELEASE = "chromafleet:release"


def serving(groups: dict[str, dict[str, Any]], cell: str) -> str:
    """The end of the name of the group that serves a cell.

    `groups` is what M(chromafleet.aws.fleet_info) tells. Where a switch was interrupted, one stands by already and the
    other is not yet said to serve: it does.
    """
    states = {
        name.rpartition("-")[2]: group["tags"].get(STATE, "")
        for name, group in groups.items()
        if group["cell"] == cell and group["role"] == "reader"
    }
    for state in ("", "candidate"):
        for name in NAMES:
            if states.get(name) == state:
                return name
    return NAMES[0]


def other(name: str) -> str:
    """The end of the name of a cell's other group."""
    return NAMES[1 - NAMES.index(name)]


def serving_cells(cells: list[dict[str, Any]], groups: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Each cell with `readers`, the group that serves it, and `second`, the one that does not."""
    found = {cell["name"]: serving(groups, cell["name"]) for cell in cells}
    return [{**cell, "readers": found[cell["name"]], "second": other(found[cell["name"]])} for cell in cells]


def aside(cells: list[dict[str, Any]], groups: dict[str, dict[str, Any]], fleet: str) -> list[dict[str, Any]]:
    """The groups that serve none of the cells, each of which has `second`."""
    names = {cell["name"]: f"{fleet}-{cell['name']}-{cell['second']}" for cell in cells}
    return [
        {
            "name": name,
            "cell": cell,
            "state": groups[name]["tags"].get(STATE, ""),
            "release": groups[name]["tags"].get(RELEASE, ""),
            "instances": groups[name]["instances"],
        }
        for cell, name in names.items()
        if name in groups
    ]
