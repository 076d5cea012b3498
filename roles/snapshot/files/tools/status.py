"""How the last attempt went, and which snapshot is the newest one: a file, for metrics, playbooks and people."""

from __future__ import annotations

import calendar
import fcntl
import json
import time
from typing import IO, TYPE_CHECKING, Any

import atomic
from faults import Fault

if TYPE_CHECKING:
    from pathlib import Path


class Status:
    """The file; each step is written as it begins."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.values: dict[str, Any] = read(file)
        self.step_began = 0.0
        self.told = 0.0

    def begin(self) -> None:
        """A new attempt."""
        kept = {name: self.values[name] for name in ("last", "pruned", "failing") if name in self.values}
        self.values = {**kept, "state": "running", "began": int(time.time()), "seconds": {}}
        self._write()

    def step(self, name: str) -> None:
        """The next step begins."""
        self._end_step()
        self.values |= {"step": name, "percent": 0}
        self.step_began = time.monotonic()
        print(f"{name} ...", flush=True)
        self._write()

    def progress(self, share: float) -> None:
        """How far the step is; written once a second."""
        if time.monotonic() - self.told >= 1:
            self.told = time.monotonic()
            self.values["percent"] = int(100 * share)
            self._write()

    def done(self, **last: Any) -> None:
        """The attempt has made something, which is told until the next one does."""
        self._end_step()
        ended = {"ended": int(time.time()), "seconds": dict(self.values["seconds"])}
        self.values["last"] = {**last, **ended}
        self.end(state="done")

    def end(self, **values: Any) -> None:
        """The attempt is over."""
        self._end_step()
        self.values |= {"ended": int(time.time()), **values}
        self._write()

    def _end_step(self) -> None:
        if self.step_began:
            self.values["seconds"][self.values["step"]] = round(time.monotonic() - self.step_began, 3)
        self.step_began = 0.0

    def _write(self) -> None:
        atomic.write(self.file, json.dumps(self.values) + "\n")


def read(file: Path) -> dict[str, Any]:
    """The values; none where there was no attempt yet."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


def stood_still(record: dict[str, Any]) -> int:
    """When the data of a published snapshot stood still, in seconds since 1970."""
    return calendar.timegm(time.strptime(record["time"], "%Y-%m-%dT%H:%M:%SZ"))


def lock(file: Path, *, shared: bool = False, patience: float = 0) -> IO[str]:
    """Hold the lock for as long as the result is open; a Fault where somebody else has it, after some seconds."""
    held = file.with_suffix(".lock").open("w", encoding="utf-8")
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(held, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:
                time.sleep(0.2)
                continue
            held.close()
            text = "A snapshot, a restore or a drill is under way on this host: `chromafleet-snapshot status` tells."
            raise Fault("busy", text) from None
        return held


def interrupted(file: Path, locked: Path | None = None) -> bool:
    """Whether the last attempt ended without a word: it was killed, or the host went down. All take one lock."""
    if read(file).get("state") != "running":
        return False
    try:
        lock(locked or file, shared=True).close()
    except Fault:
        return False
    return read(file).get("state") == "running"


def summary(last: dict[str, Any]) -> str:
    """One line about a snapshot."""
    seconds = ", ".join(f"{step} {number:.1f}" for step, number in last["seconds"].items())
    size, stored = last["bytes"] / 1e6, last["stored_bytes"] / 1e6
    fenced = last["fenced_seconds"]
    return (
        f"Snapshot {last['id']} is published: {last['records']} records in {last['collections']} collections, "
        f"{size:.1f} MB ({stored:.1f} MB stored anew); writes waited {fenced:.2f} s; seconds: {seconds}."
    )
