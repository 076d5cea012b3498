"""Shows that the newest snapshot can be restored: brings it from S3, with nothing that this host has, and proves it."""

from __future__ import annotations

import shutil
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import bring
import proof
import report
import restore
import status
from faults import told

if TYPE_CHECKING:
    from pathlib import Path

    from faults import Fault
    from settings import Settings


def run(settings: Settings, settings_file: Path, state: status.Status) -> None:
    """All steps."""
    from repository import Repository

    work = settings.work / "drill"
    state.step("prepare")
    shutil.rmtree(settings.work, ignore_errors=True)
    work.mkdir(mode=0o700, parents=True)
    # restic's cache as well: it would hide what S3 has lost.
    fresh = replace(settings, cache=work / "cache")
    shelf, record = restore.chosen(fresh, restore.Request())
    image, _ = proof.image_of(settings.server_container)
    restore.check_room(restore.swap.Volume(settings), work, record)
    state.step("bring")
    repository = Repository(fresh, settings_file, shelf.s3.meta.endpoint_url)
    bring.bring(fresh, repository, record, work / "data", state.progress)
    state.step("prove")
    proof.prove_published(settings, record, work / "data", image, state.progress)
    state.done(id=record["id"], records=record["records"], bytes=record["bytes"])


def summary(last: dict[str, Any]) -> str:
    """One line about a drill."""
    seconds = ", ".join(f"{step} {number:.1f}" for step, number in last["seconds"].items())
    return f"Snapshot {last['id']} can be restored: {last['records']} records were read back; seconds: {seconds}."


def drill(settings: Settings, settings_file: Path) -> int:
    """The command; exit code 0 it can be restored, 1 not."""
    with status.lock(settings.status, patience=restore.PATIENCE):
        signal.signal(signal.SIGTERM, restore.stopped)
        state = status.Status(settings.drill_status)
        state.begin()
        try:
            with told(lambda fault: fail(state, fault)):
                run(settings, settings_file, state)
                print(summary(state.values["last"]))
        finally:
            proof.remove()
            shutil.rmtree(settings.work, ignore_errors=True)
    report.send(settings)
    return 0 if state.values["state"] == "done" else 1


def fail(state: status.Status, fault: Fault) -> None:
    """Tell why."""
    state.end(state="failed", kind=fault.kind, error=str(fault))
    step = state.values["step"]
    print(f"The newest snapshot could not be restored, in the step `{step}`: {fault}", file=sys.stderr)
