"""Fills an empty data directory with the newest snapshot: what the server does first on a volume that is new.

A cell that has snapshots never begins empty. It would acknowledge writes, and the next snapshot would be published over
the last one that holds anything. So a server whose snapshots can't be reached is not started.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import bring
import check
import checkpoint
from faults import Fault
from repository import Repository
from shelf import Shelf

if TYPE_CHECKING:
    from settings import Settings


def seed(settings: Settings, settings_file: Path) -> int:
    """The command; chromadb.service calls it while it holds the volume. Killed, it goes on where it was."""
    data = settings.data
    if data.is_dir() and any(data.iterdir()):
        print(f"{data} is not empty: it stays as it is.")
        return 0
    checkpoints = settings.checkpoints
    if copies := sorted(path.name for path in checkpoints.glob("[0-9]*")):
        text = f"{data} is empty, but {checkpoints} has copies of it, which may be younger than any snapshot: "
        advice = f"move {copies[-1]} back into its place, or remove them to begin with the newest snapshot."
        raise Fault("lost-data", text + advice)
    shelf = Shelf(settings)
    record = shelf.latest()
    if record is None:
        print(f"{settings.place} has no snapshot yet: {data} begins empty.")
        return 0
    began = time.monotonic()
    into = data.with_name("seed")
    print(f"{data} is empty: bringing back snapshot {record['id']}, {record['bytes'] / 1e6:.1f} MB ...", flush=True)
    told = 0

    def tell(share: float) -> None:
        nonlocal told
        if share * 10 >= told + 1:
            told = int(share * 10)
            print(f"{told * 10} %", flush=True)

    bring.bring(settings, Repository(settings, settings_file, shelf.s3.meta.endpoint_url), record, into, tell)
    if damages := list(check.check(into)):
        raise Fault("broken-copy", f"Snapshot {record['id']} is damaged: {damages[0]}")
    # Takes the place of the empty directory in one step.
    into.replace(data)
    checkpoint.sync(data.parent)
    print(
        f"Snapshot {record['id']} is back after {time.monotonic() - began:.1f} s: {record['records']} records in "
        f"{len(record['collections'])} collections, as of {record['time']}.",
        flush=True,
    )
    return 0
