#!/usr/bin/env python3
"""Serves the newest published snapshot on this host, by two servers by turns.

chromafleet-reader status    what serves, and how the last refresh went, as JSON
chromafleet-reader answers   sample queries and what serves answers, as JSON, for another reader to be compared with
chromafleet-reader compare   the same queries, from standard input, to what serves here: 1 where it answers otherwise or
                             later, 3 where it serves another snapshot
chromafleet-reader run       what chromafleet-reader.service runs
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import nginx
import own as files
import settings as snapshots
import status
import watch
from chroma import Server
from faults import Fault, of_error
from own import Own
from slots import Slots

TOOLS = Path(__file__).resolve().parent
LONGEST = 600
#: So often in a row S3 must fail to be asked before it counts as a failure: what serves is none the worse.
LOOKS = 3
#: Sample queries for another reader, which an answer of some vectors each makes large.
ANSWERS = 5
OTHER_DATA = 3


class Reader:
    """What runs for as long as the host does."""

    def __init__(self, own: Own, settings_file: Path) -> None:
        # boto3 takes a second to load, and the other commands need none.
        from refresh import Refresh
        from repository import Repository
        from shelf import Shelf

        settings = snapshots.load(settings_file)
        self.own, self.settings = own, settings
        self.slots = Slots(own)
        self.state = status.Status(own.status)
        self.shelf = Shelf(settings)
        repository = Repository(settings, settings_file, self.shelf.s3.meta.endpoint_url)
        self.refresh = Refresh(own, self.slots, self.state, settings, repository)
        self.latest: dict[str, Any] | None = None
        self.etag = ""
        self.failures = 0
        self.unseen = 0

    def settle(self) -> dict[str, Any] | None:
        """Have the server that was proved last run and serve, and no other one; after a kill or a boot too."""
        serving = self.slots.serving()
        if serving and self.slots.state(serving["slot"]) not in ("active", "activating"):
            try:
                self.slots.start(serving["slot"])
            except Fault as fault:
                if fault.kind != "refused":
                    raise
                # Damaged on the disk: to be fetched anew, and until then the writer answers.
                print(f"The slot {serving['slot']} is given up: {fault}", file=sys.stderr, flush=True)
                serving = None
                self.slots.serve(None)
        nginx.serve(self.own.nginx_port, serving)
        if serving:
            self.slots.probe(serving)
        for slot, port in self.own.slots.items():
            if not serving or slot != serving["slot"]:
                self.rest(slot, port)
        return serving

    def rest(self, slot: str, port: int) -> None:
        """Stop a server that doesn't serve, when it has answered all that it was asked."""
        if self.slots.state(slot) in ("inactive", "failed"):
            return
        until = time.monotonic() + self.own.drain
        while nginx.in_flight(self.own.nginx_port, port) > 0 and time.monotonic() < until:
            time.sleep(0.1)
        self.slots.stop(slot)

    def look(self) -> dict[str, Any] | None:
        """The newest published snapshot."""
        try:
            found, self.etag = self.shelf.changed(self.etag)
        except Fault:
            self.unseen += 1
            if self.unseen < LOOKS and self.latest:
                return self.latest
            raise
        self.unseen = 0
        if found or not self.etag:
            self.latest = found
        return self.latest

    def once(self) -> None:
        """Look, and refresh where there is something newer, or the server shall be another one."""
        serving = self.settle()
        record = self.look()
        if not record:
            said = (
                f"No snapshot is published in {self.settings.place} yet: the writer makes one each hour, and "
                "playbooks/backup.yml makes one now."
            )
            self.tell(state="waiting", error=said)
            return
        is_newest = serving and serving["snapshot"] == record["id"]
        if serving and is_newest and serving.get("revision") == self.slots.revision(serving["slot"]):
            if self.state.values.get("state") != "done":
                self.tell(state="done", failing=False, error="")
            return
        began = time.monotonic()
        made = self.refresh.make(record, serving)
        self.slots.serve(made)
        nginx.serve(self.own.nginx_port, made)
        self.state.step("drain")
        self.settle()
        brief = {name: record[name] for name in ("id", "time", "records", "bytes")}
        self.state.values["last"] = {**brief, **made}
        self.state.end(state="done", failing=False)
        seconds = time.monotonic() - began
        print(f"{record['id']} serves in the slot {made['slot']} after {seconds:.1f} s.", flush=True)

    def tell(self, **values: Any) -> None:
        """Note a state that is no attempt's."""
        if any(self.state.values.get(name) != value for name, value in values.items()):
            self.state.end(**values)
            if values.get("error"):
                print(values["error"], flush=True)

    def fail(self, fault: Fault) -> None:
        """Tell why, and what goes on."""
        serving = self.slots.serving()
        goes_on = (
            f"The snapshot {serving['snapshot']} goes on serving" if serving else "The writer is asked for everything"
        )
        step = self.state.values.get("step", "look") if self.state.values.get("state") == "running" else "look"
        text = f"No newer snapshot serves, in the step `{step}`: {fault} {goes_on}; it is tried again by itself."
        self.state.end(state="failed", step=step, kind=fault.kind, error=str(fault), failing=True)
        print(text, file=sys.stderr, flush=True)

    def run(self) -> None:
        """Until the process is ended."""
        if self.state.values:
            # Of before: killed, or failed; whether it still fails is seen at once.
            self.state.end(state="begins")
        watch.begin(self.own, self.slots)
        watched = watched_files(self.own)
        started_with = stamp(watched)
        while True:
            pause = self.own.interval
            try:
                self.once()
                self.failures = 0
            except Fault as fault:
                self.fail(fault)
                pause = self.pause()
            except OSError as error:
                self.fail(of_error(error))
                pause = self.pause()
            until = time.monotonic() + pause
            while time.monotonic() < until and stamp(watched) == started_with:
                time.sleep(min(1.0, max(0.0, until - time.monotonic())))
            # Other settings, another container, other tools: with them from the start.
            if stamp(watched) != started_with:
                os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 - itself

    def pause(self) -> float:
        """After a failure longer each time: a broken snapshot is a lot of work each time."""
        self.failures += 1
        return min(self.own.interval * 2 ** min(self.failures, 10), LONGEST)


def watched_files(own: Own) -> list[Path]:
    """What this process was started with: settings, containers, tools."""
    compose = [Path(own.compose.format(slot=slot)) for slot in own.slots]
    return [files.FILE, snapshots.FILE, *compose, *TOOLS.glob("*.py")]


def stamp(watched: list[Path]) -> list[int]:
    """How they are now."""
    return [path.stat().st_mtime_ns for path in watched]


def brief(own: Own) -> str:
    """One word for a playbook, or the step and how far it is."""
    slots = Slots(own)
    serving = slots.serving()
    known = status.read(own.status)
    if serving and serving.get("revision") == slots.revision(serving["slot"]):
        return "serving" if slots.state(serving["slot"]) == "active" else "starting"
    if known.get("state") == "running":
        return f"{known.get('step')} {known.get('percent', 0)} %"
    return known.get("state") if known.get("state") in ("waiting", "failed") else "begins"


def answers(own: Own) -> int:
    """Of what serves here."""
    from refresh import answers_of
    from shelf import Shelf

    serving = Slots(own).serving()
    if not serving:
        print("No snapshot serves here.", file=sys.stderr)
        return OTHER_DATA
    record = Shelf(snapshots.load(snapshots.FILE)).record(serving["snapshot"])
    if not record:
        print(f"The snapshot {serving['snapshot']}, which serves here, was let go; a newer one comes.", file=sys.stderr)
        return OTHER_DATA
    print(json.dumps(answers_of(Server(serving["port"]), record, ANSWERS)))
    return 0


def compare(own: Own, given: dict[str, Any]) -> int:
    """What serves here with what another reader answers."""
    from refresh import judge

    serving = Slots(own).serving()
    if not serving or serving["snapshot"] != given["snapshot"]:
        here = serving["snapshot"] if serving else "none"
        print(f"The answers are of the snapshot {given['snapshot']}, and here serves {here}.", file=sys.stderr)
        return OTHER_DATA
    try:
        judge(Server(serving["port"]), given)
    except (Fault, OSError) as fault:
        print(fault, file=sys.stderr)
        return 1
    print(f"{len(given['answers'])} sample queries of {given['snapshot']} are answered the same, and as soon.")
    return 0


def run(own: Own) -> int:
    """The command of the unit."""
    with own.status.with_suffix(".lock").open("w", encoding="utf-8") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("chromafleet-reader.service runs already.", file=sys.stderr)
            return 1
        Reader(own, snapshots.FILE).run()
    return 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["status", "brief", "answers", "compare", "run"])
    given = parser.parse_args()
    own = files.load()
    if given.verb == "run":
        return run(own)
    if given.verb == "answers":
        return answers(own)
    if given.verb == "compare":
        return compare(own, json.load(sys.stdin))
    if given.verb == "brief":
        print(brief(own))
    else:
        print(json.dumps({"serving": Slots(own).serving(), **status.read(own.status)}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
