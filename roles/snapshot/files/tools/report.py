"""Sends the age, the size and the success of snapshots as metrics; each minute, so that a late one shows by its age."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import metrics
import settings as files
import status

if TYPE_CHECKING:
    from settings import Settings


def age_of(last: dict[str, Any] | None) -> float:
    """Seconds since the newest snapshot's data stood still; where there is none, since the role was set up."""
    if last:
        return time.time() - status.stood_still(last)
    return time.time() - files.FILE.stat().st_mtime


def adopt(settings: Settings) -> dict[str, Any] | None:
    """On a new host: the newest snapshot as S3 has it, which was made by the host before."""
    from faults import Fault
    from shelf import Shelf

    try:
        latest = Shelf(settings).latest()
    except Fault:
        return None
    if latest:
        state = status.Status(settings.status)
        state.values["last"] = {
            **{name: value for name, value in latest.items() if name not in ("files", "collections")},
            "collections": len(latest["collections"]),
        }
        state.end()
    return latest


def send(settings: Settings) -> dict[str, float]:
    """Send what the status file says; the values."""
    known = status.read(settings.status)
    last = known.get("last")
    failed = known.get("state") == "failed" or status.interrupted(settings.status)
    values = {"SnapshotAgeSeconds": age_of(last), "SnapshotFailed": float(failed)}
    if last:
        values |= {"SnapshotSizeBytes": last["bytes"], "WriteFenceSeconds": last["fenced_seconds"]}
    metrics.send(values | of_drill(settings), settings.tags)
    return values


def of_drill(settings: Settings) -> dict[str, float]:
    """The last restore drill, and its age; where there was none, since the role was set up."""
    if not settings.drill:
        return {}
    known = status.read(settings.drill_status)
    last = known.get("last", {})
    failed = known.get("state") == "failed" or status.interrupted(settings.drill_status, settings.status)
    since = last.get("ended") or files.FILE.stat().st_mtime
    values = {"RestoreDrillFailed": float(failed), "RestoreDrillAgeSeconds": time.time() - since}
    return values | ({"RestoreDrillSeconds": sum(last["seconds"].values())} if last else {})


def run(settings: Settings) -> int:
    """The command."""
    if not status.read(settings.status):
        adopt(settings)
    send(settings)
    return 0
