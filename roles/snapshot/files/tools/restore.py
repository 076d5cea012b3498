"""Brings a published snapshot back: beside the live data, proved like a copy, and then swapped in while writes wait.

What shall be done is in a request, which holds no secret. Until the swap nothing that is served changes; the swap is
one step (swap.py), and what it replaced stays beside until it is discarded.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import bring
import checkpoint
import choose
import compose
import proof
import status
import swap
from faults import Fault, told

if TYPE_CHECKING:
    from settings import Settings
    from shelf import Shelf

MIB = 1 << 20
#: Of the record's size: what is brought, its proof and its first checkpoint, with and without shared blocks.
ROOM_SHARED, ROOM_WHOLE = 1.15, 3.05
MARGIN = 64 * MIB
#: A snapshot may be under way (seconds).
PATIENCE = 1800
#: So long is the same request once more the second half of one that was killed (seconds).
AGAIN = 3600
SOURCES = ("source_bucket", "source_cell", "source_region", "source_secret")


@dataclass(frozen=True)
class Request:
    """What shall be done; without anything: the newest snapshot comes back."""

    snapshot: str = ""
    before: str = ""
    open: bool = False  # serve it beside rather than swap it in, until the unit is stopped
    undo: bool = False  # swap the data back that the last restore replaced
    image: str = ""  # by which it is proved and served, rather than by that of the server
    source_bucket: str = ""
    source_cell: str = ""
    source_region: str = ""
    source_secret: str = ""

    def applied(self, settings: Settings) -> Settings:
        """The settings with another source, for this run."""
        given = {name.removeprefix("source_"): getattr(self, name) for name in SOURCES}
        return replace(settings, **{name: value for name, value in given.items() if value})

    @property
    def is_foreign(self) -> bool:
        """Whether it comes from elsewhere."""
        return any(getattr(self, name) for name in SOURCES)


def parse(text: str) -> Request:
    """A request as JSON."""
    known = {field.name: field.type for field in fields(Request)}
    try:
        values = json.loads(text)
    except ValueError as error:
        raise Fault("input", f"The request is no JSON ({error}).") from None
    if not isinstance(values, dict):
        raise Fault("input", "The request is no mapping of names to values.")
    for name, value in values.items():
        kind = bool if known.get(name) == "bool" else str
        if name not in known or not isinstance(value, kind):
            told = f"{name}={value!r}"
            raise Fault("input", f"The request has {told}; expected are texts for {', '.join(known)}.")
    return Request(**values)


def read(settings: Settings) -> Request:
    """The request that was left for the unit."""
    try:
        return parse(settings.request.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Fault("input", f"There is no request in {settings.request}: `chromafleet-snapshot restore`.") from None


def leave(settings: Settings, request: Request) -> None:
    """Leave a request for the unit."""
    settings.request.unlink(missing_ok=True)
    with os.fdopen(os.open(settings.request, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({name: value for name, value in vars(request).items() if value}, file)


def chosen(settings: Settings, request: Request) -> tuple[Shelf, dict[str, Any]]:
    """The record of the snapshot that is meant; `settings` are those of the source."""
    from shelf import Shelf

    shelf = Shelf(settings)
    with explained(settings, request):
        record = shelf.choose(request.snapshot, request.before)
    if choose.is_newer(record["chroma"]["version"], settings.chroma_version):
        raise Fault(
            "newer",
            f"The snapshot {record['id']} is of ChromaDB {record['chroma']['version']}, and this host runs "
            f"{settings.chroma_version}, which can't be relied on to read it: update the fleet first "
            "(fleet_chroma_version), or take an older snapshot.",
        )
    return shelf, record


@contextlib.contextmanager
def explained(settings: Settings, request: Request) -> Any:
    """Where another place refuses, its owner must allow it."""
    try:
        yield
    except Fault as fault:
        if not request.is_foreign or fault.kind not in ("access-denied", "missing"):
            raise
        advice = (
            f"This host's role has to be allowed s3:ListBucket and s3:GetObject of s3://{settings.bucket}/"
            f"{settings.cell}/, secretsmanager:GetSecretValue of {settings.secret} in {settings.region}, and "
            "kms:Decrypt of their keys: docs/snapshots.md has the statements."
        )
        raise Fault(fault.kind, f"{str(fault).split(';')[0]}. {advice}") from None


def check_room(volume: swap.Volume, work: Path, record: dict[str, Any]) -> None:
    """Refuse before anything is changed."""
    shared = checkpoint.shares_blocks(work)
    needed = int(record["bytes"] * (ROOM_SHARED if shared else ROOM_WHOLE)) + MARGIN
    room = shutil.disk_usage(volume.root).free + (0 if shared else checkpoint.size_of(work))
    if room < needed:
        kept = len(volume.kept())
        advice = "enlarge it (aws_fleet_data_volume_size)"
        if kept:
            advice += f", or let the data of {kept} earlier restores go (`chromafleet-snapshot discard`)"
        raise Fault(
            "disk-full",
            f"{volume.root} has {room // MIB} MiB of room, but the snapshot {record['id']} takes up to "
            f"{needed // MIB} MiB beside the data: {advice}.",
        )


class Closed(Exception):  # noqa: N818 - no error
    """What was opened beside is wanted no more."""


def stopped(*_: object) -> NoReturn:
    """systemd asked to stop."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Fault("stopped", "The restore was stopped from outside, or took longer than snapshot_timeout allows.")


def closed(*_: object) -> NoReturn:
    """systemd asked to stop, which is how what was opened is closed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Closed


class Restore:
    """One attempt."""

    def __init__(self, settings: Settings, settings_file: Path) -> None:
        self.settings, self.settings_file = settings, settings_file
        self.request = Request()
        self.state = status.Status(settings.restore_status)
        self.volume = swap.Volume(settings)

    def run(self) -> None:
        """All steps."""
        self.state.step("prepare")
        self.request = read(self.settings)
        self.end_last()
        if self.request.undo:
            return self.undo()
        source = self.request.applied(self.settings)
        shelf, record = chosen(source, self.request)
        if not self.request.open and self.is_done(record["id"]):
            print("It was killed in the swap, which was completed since: there is nothing left to do.", flush=True)
            return self.state.end(state="done")
        image = self.prepare(record)
        self.state.step("bring")
        self.bring(source, shelf, record)
        self.state.step("prove")
        data = self.volume.work / "data"
        # Every file was compared with what was proved; only another image may see it with other eyes.
        whole = record["chroma"]["image_id"] != image
        collections = proof.prove_published(self.settings, record, data, image, self.state.progress, whole=whole)
        if self.request.open:
            return self.open(data, image)
        names = ("id", "time", "fleet", "cell", "records", "bytes")
        told = {name: record[name] for name in names} | {"collections": len(collections)}
        return self.swap(data, {one["id"]: one["records"] for one in collections}, told)

    def is_done(self, snapshot: str) -> bool:
        """Whether the attempt before this one was to do the same, was killed, and was completed by `end` just now."""
        last = self.state.values.get("last", {})
        return last.pop("by_itself", "") == snapshot and time.time() - last["ended"] < AGAIN

    def end_last(self) -> None:
        """A swap that the host's end has cut off is completed first."""
        proof.remove()
        if journal := swap.read(self.volume):
            after(self.state, self.settings, self.volume, journal)

    def prepare(self, record: dict[str, Any]) -> str:
        """Everything that can be asked before anything changes; the image that the server runs."""
        work = self.volume.work
        work.mkdir(mode=0o700, exist_ok=True)
        check_room(self.volume, work, record)
        shutil.rmtree(work / "proof", ignore_errors=True)
        if self.request.image:
            return proof.identity(self.request.image)
        return proof.image_of(self.settings.server_container)[0]

    def bring(self, source: Settings, shelf: Shelf, record: dict[str, Any]) -> None:
        """What is there already is not fetched again: what a killed run has brought, or the live data."""
        from repository import Repository

        data = self.volume.work / "data"
        if not data.exists() and checkpoint.shares_blocks(self.volume.work):
            # Without the times, by which restic would take a file for the same that was changed within its granularity.
            command = ["cp", "--recursive", "--reflink=always", "--preserve=mode", str(self.volume.data), str(data)]
            subprocess.run(command, capture_output=True, check=False)
        repository = Repository(source, self.settings_file, shelf.s3.meta.endpoint_url)
        with explained(source, self.request):
            try:
                bring.bring(source, repository, record, data, self.state.progress)
            except Fault as fault:
                if fault.kind != "unreadable":
                    raise
                # Only what is there could have misled it.
                shutil.rmtree(data)
                bring.bring(source, repository, record, data, self.state.progress)

    def open(self, data: Path, image: str) -> None:
        """Serve it beside the live server, until systemd asks to stop."""
        signal.signal(signal.SIGTERM, closed)
        try:
            proof.Throwaway(self.settings, data, image).start()
            self.state.step("open")
            while True:
                signal.pause()
        except Closed:
            self.state.end(state="done")
            print("What was served beside is closed.", flush=True)

    def undo(self) -> None:
        """Swap back, with the image that what comes back was taken from, where that changed with it."""
        data = self.volume.last_kept()
        last = self.state.values.get("last", {})
        if last.get("kept") == str(data):
            self.request = replace(self.request, image=last.get("replaced_image", ""))
        if damage := swap.is_whole(data):
            raise Fault("broken-copy", f"{data} is damaged: {damage}")
        self.volume.work.mkdir(mode=0o700, exist_ok=True)
        self.swap(data, {}, {"id": data.name.removeprefix(swap.KEPT), "undone": True})

    def swap(self, data: Path, counts: dict[str, int], told: dict[str, Any]) -> None:
        """Put it in the place of the live data."""
        checkpoints = swap.stage_checkpoint(self.volume, data)
        kept = swap.KEPT + time.strftime(choose.FORM, time.gmtime())
        root, images = self.volume.root, self.images()
        told |= {"kept": str(root / kept)}
        if images:
            told |= {"image": images["in"], "replaced_image": images["out"]}
        journal = swap.Journal(
            str(data.relative_to(root)), data.stat().st_ino, str(checkpoints.relative_to(root)),
            checkpoints.stat().st_ino, kept, counts, told, images,
        )  # fmt: skip
        self.state.step("swap")
        # Whoever wants to stop this now has to wait; what kills it is made good by `end`.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if why := swap.swap(self.settings, self.volume, journal):
            raise Fault("unhealthy", f"The server does not serve the restored data: {why}. The old data is served.")
        self.state.done(**journal.told)
        print(summary(self.state.values["last"]), flush=True)

    def images(self) -> dict[str, str]:
        """What the server is started from with the data that come in, and with those that go out."""
        if not self.request.image:
            return {}
        return {"in": self.request.image, "out": compose.image(self.volume.compose)}

    def leave(self) -> None:
        """Remove what no further attempt needs."""
        proof.remove()
        if not self.volume.journal.exists():
            shutil.rmtree(self.volume.work, ignore_errors=True)
        self.settings.request.unlink(missing_ok=True)


def after(state: status.Status, settings: Settings, volume: swap.Volume, journal: swap.Journal) -> str:
    """Complete a swap whose process is gone; why it was taken back, or nothing."""
    why = swap.complete(settings, volume, journal)
    swap.edge.release(swap.OWNER)
    if not why:
        # The same request once more finds that it is done.
        told = {"seconds": {}, "ended": int(time.time()), "by_itself": journal.told["id"]}
        state.values["last"] = journal.told | told
    return why


def restore(settings: Settings, settings_file: Path) -> int:
    """The command of the unit; exit code 0 done, 1 not."""
    signal.signal(signal.SIGTERM, stopped)
    attempt = Restore(settings, settings_file)
    attempt.state.begin()
    attempt.state.step("wait")
    with told(lambda fault: fail(attempt, fault)), status.lock(settings.status, patience=PATIENCE):
        try:
            attempt.run()
        finally:
            attempt.leave()
    return 0 if attempt.state.values["state"] == "done" else 1


def fail(attempt: Restore, fault: Fault) -> None:
    """Tell why, and what is served."""
    step = attempt.state.values.get("step", "prepare")
    attempt.state.end(state="failed", kind=fault.kind, error=str(fault))
    print(f"Nothing was restored, in the step `{step}`: {fault}", file=sys.stderr, flush=True)


def end(settings: Settings) -> int:
    """After every attempt, also after one that was killed: the server runs, and no write waits."""
    volume = swap.Volume(settings)
    if journal := swap.read(volume):
        end_left(settings, volume, journal)
    swap.edge.release(swap.OWNER)
    # Whoever works meanwhile has a throw-away server of their own.
    with contextlib.suppress(Fault), status.lock(settings.status):
        proof.remove()
    return 0


def end_left(settings: Settings, volume: swap.Volume, journal: swap.Journal) -> None:
    """Complete what was left, and say so in the status."""
    state = status.Status(settings.restore_status)
    if why := after(state, settings, volume, journal):
        state.end(state="failed", kind="killed", error=f"{why}.")
    else:
        state.end(state="done")


def discard(settings: Settings) -> int:
    """Remove what restores have replaced, and what a killed one has left."""
    volume = swap.Volume(settings)
    with status.lock(settings.status):
        if journal := swap.read(volume):
            end_left(settings, volume, journal)
        for folder in (*volume.kept(), volume.work, volume.root / "restore-copy"):
            if folder.exists():
                shutil.rmtree(folder)
                print(f"Removed {folder}.", flush=True)
    return 0


def look(settings: Settings, request: Request) -> dict[str, Any]:
    """What a request would do, for whoever has to agree to it; nothing is changed."""
    volume = swap.Volume(settings)
    if status.read(settings.restore_status).get("state") == "running" and not status.interrupted(
        settings.restore_status, settings.status
    ):
        raise Fault("busy", "A restore is under way on this host: `chromafleet-snapshot status restore`.")
    kept = [str(path) for path in volume.kept()]
    if request.undo:
        return {"undo": True, "kept": kept, "id": volume.last_kept().name.removeprefix(swap.KEPT)}
    _, record = chosen(request.applied(settings), request)
    names = ("id", "time", "fleet", "cell", "records", "bytes")
    told = {name: record[name] for name in names} | {"chroma": record["chroma"]["version"], "kept": kept}
    return told | {"collections": len(record["collections"])}


def summary(last: dict[str, Any]) -> str:
    """One line about what is in place."""
    seconds = ", ".join(f"{step} {number:.1f}" for step, number in last.get("seconds", {}).items())
    if last.get("undone"):
        text = f"The data of before {last['id']} is served again"
    else:
        size = last["bytes"] / 1e6
        text = (
            f"Snapshot {last['id']} is served: {last['records']} records in {last['collections']} collections, "
            f"{size:.1f} MB"
        )
    return (
        f"{text}; seconds: {seconds}. What it replaced is in {last['kept']}: `chromafleet-snapshot undo` brings it "
        "back, `chromafleet-snapshot discard` removes it."
    )
