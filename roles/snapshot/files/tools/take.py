"""Makes a snapshot: copy, prove, upload, read back, publish. Whatever fails or is killed, what was published stays.

Each step needs the one before it. Nothing but the last one changes what readers and restores see, and that is one PUT.
A run that was killed leaves copies, a container and an unpublished upload behind; the next one removes them first.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import clean
import copies
import database
import proof
import report
import samples
import status
from chroma import Server
from faults import Fault, told
from repository import Repository
from settings import TOOLS, Settings
from shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator

CPU_WEIGHT = 20  # as the unit has it


def stopped(*_: object) -> NoReturn:
    """systemd asked to stop, since the time is up or the host goes down."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Fault("stopped", "The snapshot was stopped from outside, or took longer than snapshot_timeout allows.")


class Snapshot:
    """One attempt."""

    def __init__(self, settings: Settings, settings_file: Path) -> None:
        self.settings = settings
        self.state = status.Status(settings.status)
        self.shelf = Shelf(settings)
        self.repository = Repository(settings, settings_file, self.shelf.s3.meta.endpoint_url)
        self.image, self.reference = "", ""
        self.uploaded: str | None = None

    def take(self) -> dict[str, Any]:
        """All steps; the record that was published."""
        self.state.begin()
        self.state.step("prepare")
        self.prepare()
        self.state.step("copy")
        with hurried():
            made = self.copy()
        kept = self.settings.work / "data"
        files = copies.sums(kept)
        answers = json.loads((self.settings.work / "answers.json").read_text(encoding="utf-8"))
        self.state.step("prove")
        collections = proof.prove(self.settings, kept, self.image, answers, self.state.progress)
        self.state.step("upload")
        when = time.strptime(made["id"][:15], "%Y%m%dT%H%M%S")
        summary = self.repository.backup(
            kept, made["id"], time.strftime("%Y-%m-%d %H:%M:%S", when), self.state.progress
        )
        self.uploaded = summary["snapshot_id"]
        self.state.step("read back")
        if said := copies.difference(files, self.repository.read_back(self.uploaded)):
            raise Fault("unreadable", f"What was stored is not what was proved: {said}. Nothing was published.")
        self.state.step("publish")
        record = {
            "id": made["id"],
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", when),
            "fleet": self.settings.fleet,
            "cell": self.settings.cell,
            "restic_snapshot": self.uploaded,
            "chroma": {"version": self.settings.chroma_version, "image": self.reference, "image_id": self.image},
            "collections": collections,
            "records": sum(collection["records"] for collection in collections),
            "bytes": sum(file["bytes"] for file in files.values()),
            "stored_bytes": summary.get("data_added_packed", summary.get("data_added", 0)),
            "files": files,
            "fenced_seconds": made["fenced_seconds"],
            "samples": len(answers),
            "seconds": dict(self.state.values["seconds"]),
        }
        self.shelf.publish(record)
        self.uploaded = None
        brief = {name: value for name, value in record.items() if name not in ("files", "collections")}
        self.state.values["last"] = {**brief, "collections": len(collections)}
        return record

    def prepare(self) -> None:
        """Everything that can fail is asked before a write has to wait."""
        clean.clean(self.settings)
        self.settings.work.mkdir(mode=0o700, parents=True, exist_ok=True)
        latest = self.shelf.latest()
        self.repository.open(expected=latest is not None)
        # Of a run that was killed before it published: younger than all that was.
        published = self.shelf.ids()
        since = published[-1] if published else ""
        self.repository.forget(
            [one["id"] for one in self.repository.snapshots() if published and max(one.get("tags") or [""]) > since]
        )
        self.image, self.reference = proof.image_of(self.settings.server_container)
        server = Server(self.settings.server_port)
        if not server.answers():
            raise Fault("no-server", "ChromaDB does not answer: `systemctl status chromadb` tells why.")

    def copy(self) -> dict[str, Any]:
        """The copy, as hard links in the place of work, and the live server's answers beside it."""
        settings = self.settings
        server = Server(settings.server_port)
        collections = [name for (name,) in database.read(settings.data, "SELECT id FROM collections")]
        questions, answers = settings.work / "questions.json", settings.work / "answers.json"
        questions.write_text(json.dumps(samples.choose(server, collections, settings.samples)), encoding="utf-8")
        asked = ["/usr/bin/python3", f"{TOOLS}/samples.py", "--port", str(settings.server_port)]
        made = copies.make(settings, [*asked, "--questions", str(questions), "--answers", str(answers)])
        copies.keep(Path(made["path"]), settings.work / "data")
        return made

    def retain(self) -> None:
        """Let go of what is too old; a snapshot that was published is one, whatever happens here."""
        prune = time.time() - self.state.values.get("pruned", 0) >= self.settings.prune_interval
        if not self.repository.retain(prune=prune):
            print("The repository is locked: what is too old stays until the next snapshot.", file=sys.stderr)
            return
        if prune:
            self.state.values["pruned"] = int(time.time())
        held = {tag for one in self.repository.snapshots() for tag in one.get("tags") or []}
        for snapshot in self.shelf.ids():
            if snapshot not in held:
                self.shelf.remove(snapshot)

    def undo(self) -> None:
        """Take out what was uploaded, but not proved."""
        if self.uploaded:
            with contextlib.suppress(Fault):
                self.repository.forget([self.uploaded])


@contextlib.contextmanager
def hurried() -> Iterator[None]:
    """Take an equal share of the processors while writes wait; the unit has a small one otherwise."""
    command = ["systemctl", "set-property", "--runtime", "chromafleet-snapshot.service"]
    subprocess.run([*command, "CPUWeight=100"], capture_output=True, check=False)
    try:
        yield
    finally:
        subprocess.run([*command, f"CPUWeight={CPU_WEIGHT}"], capture_output=True, check=False)


def take(settings: Settings, settings_file: Path) -> int:
    """The command; exit code 0 published, 1 not."""
    try:
        held = status.lock(settings.status)
    except Fault as busy:
        print(busy, file=sys.stderr)
        return 1
    with held:
        signal.signal(signal.SIGTERM, stopped)
        attempt = Snapshot(settings, settings_file)
        try:
            with told(lambda fault: fail(attempt, fault)):
                attempt.take()
                attempt.state.step("retain")
                try:
                    attempt.retain()
                except Fault as fault:
                    if fault.kind == "stopped":
                        raise
                    print(f"What is too old was not removed: {fault}", file=sys.stderr)
                attempt.state.end(state="done")
                print(status.summary(attempt.state.values["last"]), flush=True)
        finally:
            clean.clean(settings)
            report.send(settings)
    return 0 if attempt.state.values["state"] == "done" else 1


def fail(attempt: Snapshot, fault: Fault) -> None:
    """Tell why, and that the ones before it are still there."""
    step = attempt.state.values.get("step", "prepare")
    last = attempt.state.values.get("last")
    before = f"The newest one is still {last['id']}." if last else "There is none yet."
    attempt.undo()
    attempt.state.end(state="failed", kind=fault.kind, error=str(fault))
    print(
        f"No snapshot was published, in the step `{step}`: {fault} {before} Serving goes on.",
        file=sys.stderr,
        flush=True,
    )
