"""Brings a published snapshot into a directory, and nothing else: no byte differs from what was proved."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import copies
from faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from repository import Repository
    from settings import Settings


def bring(
    settings: Settings,
    repository: Repository,
    record: dict[str, Any],
    into: Path,
    progress: Callable[[float], None],
) -> None:
    """Make a directory what the snapshot of this record is; from an earlier one only what differs is fetched."""
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    repository.restore(record["restic_snapshot"], into, progress)
    if said := copies.difference(record["files"], copies.sums(into)):
        raise Fault("unreadable", f"What was brought back is not the snapshot {record['id']}: {said}.")
    for path in (into, *into.rglob("*")):
        os.chown(path, settings.server_uid, settings.server_uid)
