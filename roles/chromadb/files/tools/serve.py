#!/usr/bin/env python3
"""Runs ChromaDB's container for as long as this host holds the data volume; the main process of chromadb.service.

In this order: the volume is mounted and no network file system, this process holds it, nobody else has the database
open, an empty directory is filled, the directory is whole or is made so from a checkpoint; then the container starts.
This process ends with the container, and the container with it. A restart of dockerd, which leaves containers running,
is waited out.

Exit code: 0 stopped, 3 refused for good (a person is needed), 1 anything that another try may cure.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import check
import holder
import recover
import wal

REFUSED = 3
LOCAL = ("xfs", "ext4")
JOBS_SECONDS = 30
TABLES_SECONDS = 60
SEED_SECONDS = 10


class RefusedError(Exception):
    """The server must not start; the text says why and what to do."""


class StoppedError(Exception):
    """systemd asked to stop."""


@dataclass(frozen=True)
class Places:
    """Where copies are that torn files are replaced from, if they are made, where those go, and what is told of it.

    `seed` is the command that fills an empty data directory, if there is one.
    """

    checkpoints: Path | None
    torn: Path
    result: Path
    seed: list[str]


def stopped(*_: object) -> NoReturn:
    """Interrupt whatever this process waits for."""
    # Once is enough: the way out must not be interrupted.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise StoppedError


def tell(text: str) -> None:
    """Tell systemd, which shows it as the unit's status."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.connect(address.replace("@", "\0", 1))
            manager.sendall(text.encode())


def check_mount(volume: Path) -> None:
    """Refuse the root disk and every file system that two hosts can share."""
    kinds = {}
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, after = line.split(" - ", 1)
        kinds[before.split(" ")[4]] = after.split(" ")[0]
    kind = kinds.get(str(volume))
    if kind is None:
        raise RefusedError(f"{volume} is no mount point; attach and mount the data volume")
    if kind not in LOCAL:
        raise RefusedError(
            f"{volume} is a file system of the type {kind}, but only {' and '.join(LOCAL)} on a volume of this host "
            "are safe: two servers on one directory lose data"
        )


def users_of(file: Path) -> list[int]:
    """The processes of this host, in containers too, that have a file open."""
    if not file.exists():
        return []
    wanted = file.stat()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            opened = [entry.stat() for entry in (process / "fd").iterdir()]
        except OSError:
            continue  # it has ended, or closed a file, meanwhile
        if any((one.st_dev, one.st_ino) == (wanted.st_dev, wanted.st_ino) for one in opened):
            found.append(int(process.name))
    return found


def check_alone(data: Path) -> None:
    """Refuse where a process outside of this unit keeps the database open."""
    # The jobs of this role have it open for a moment.
    until = time.monotonic() + JOBS_SECONDS
    while (pids := users_of(data / check.DATABASE)) and time.monotonic() < until:
        time.sleep(1)
    if pids:
        names = [Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() + f" ({pid})" for pid in pids]
        raise RefusedError(
            f"{data}/{check.DATABASE} is open in {', '.join(names)}; stop that, two servers on one directory lose data"
        )


def check_data(data: Path, places: Places, *, host_failed: bool) -> None:
    """Make torn vector segments good, and refuse what can't be."""
    began = time.monotonic()
    found = list(check.check(data, repair=True))
    for damage in found:
        print(damage, file=sys.stderr, flush=True)
    why = ""
    torn = {damage.segment for damage in found}
    doubts = recover.doubtful(data, places.checkpoints) if host_failed and places.checkpoints else []
    doubts = [doubt for doubt in doubts if doubt.segment not in torn]
    if (found or doubts) and places.checkpoints:
        tell("STATUS=Recovering vector segments")
        try:
            for done in recover.recover(data, places.checkpoints, places.torn, found, doubts):
                print(f"{done}.", file=sys.stderr, flush=True)
        except (recover.LostError, OSError) as lost:
            why = f"; {lost}"
        else:
            found = list(check.check(data))
    if found:
        raise RefusedError(
            f"{data} is damaged in {len(found)} places, of which the first is: {found[0]} "
            f"ChromaDB would serve it without a word; restore the data from the newest snapshot{why}"
        )
    print(f"{data} is whole, as a check of {time.monotonic() - began:.1f} s found.", flush=True)


def fill(data: Path, seed: list[str], held: holder.Holder) -> None:
    """Have a new volume filled, however long that takes."""
    if not seed or (data / check.DATABASE).exists():
        return
    tell("STATUS=Filling the new volume")
    with subprocess.Popen(seed) as filling:
        try:
            while filling.poll() is None:
                held.renew()
                tell(f"EXTEND_TIMEOUT_USEC={6 * SEED_SECONDS * 1_000_000}")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    filling.wait(SEED_SECONDS)
        finally:
            filling.terminate()
    if filling.returncode != 0:
        raise subprocess.CalledProcessError(filling.returncode, seed)


def report(places: Places) -> None:
    """What was recovered here, for the probe, which makes a metric of it."""
    recover.write(places.result, recover.reported(places.torn))


def keep_queue(data: Path, places: Places, container: Container) -> None:
    """Have Chroma leave its queue unpurged; a new directory gets the tables for that from the server itself."""
    until = time.monotonic() + TABLES_SECONDS
    while time.monotonic() < until and container.end() is None:
        try:
            if wal.keep(data, kept=places.checkpoints is not None):
                return
        except sqlite3.OperationalError as busy:
            print(f"{data}/{check.DATABASE}: {busy}; trying again.", file=sys.stderr, flush=True)
        time.sleep(0.2)
    print(
        f"{data}/{check.DATABASE} has no tables yet: the queue is purged as Chroma likes.", file=sys.stderr, flush=True
    )


class Container:
    """The server's container, by its compose file."""

    def __init__(self, name: str, compose: Path, grace: int) -> None:
        self.name = name
        self.command = ["docker-compose", "--project-name", name, "--file", str(compose)]
        self.grace = grace

    def stop(self) -> None:
        """Stop it, if it is there; requests in flight are finished. It stays, and its log with it."""
        self._docker("stop", "--time", str(self.grace), self.name)

    def kill(self) -> None:
        """End it at once."""
        self._docker("kill", self.name)

    def _docker(self, *command: str) -> None:
        done = subprocess.run(["docker", *command], capture_output=True, text=True, check=False)
        if done.returncode != 0 and "No such container" not in done.stderr:
            print(done.stderr.strip(), file=sys.stderr, flush=True)

    def start(self) -> None:
        """Make it what the compose file says."""
        subprocess.run([*self.command, "up", "--detach", "--remove-orphans"], check=True)

    def end(self) -> str | None:
        """How it ended, or None while it runs or dockerd doesn't answer."""
        form = "{{.State.Running}} code {{.State.ExitCode}}, out of memory: {{.State.OOMKilled}}"
        done = subprocess.run(
            ["docker", "container", "inspect", "--format", form, self.name], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            return "it was removed" if "No such container" in done.stderr else None
        return None if done.stdout.startswith("true") else done.stdout.split(" ", 1)[1].strip()


def watch(container: Container, held: holder.Holder) -> str:
    """Mark the volume until the container has ended; how it ended."""
    while (end := container.end()) is None:
        with subprocess.Popen(
            ["docker", "wait", container.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as waiting:
            try:
                while waiting.poll() is None:
                    held.renew()
                    try:
                        waiting.wait(holder.INTERVAL)
                    except subprocess.TimeoutExpired:
                        continue
            finally:
                waiting.kill()
        # dockerd is away when this comes at once: not in a busy loop.
        if waiting.returncode != 0:
            held.renew()
            time.sleep(holder.INTERVAL)
    return end


def serve(volume: Path, mark: Path, data: Path, places: Places, container: Container) -> int:
    """The life of the server; `mark` is the directory that this process holds, the whole volume or a slot on it."""
    check_mount(volume)
    held = holder.Holder(mark)
    held.take()
    try:
        # One that outlived an earlier process of this unit.
        container.stop()
        check_alone(data)
        fill(data, places.seed, held)
        tell("STATUS=Checking the data directory")
        check_data(data, places, host_failed=held.doubt)
        held.doubt = False
        held.renew()
        report(places)
        # Before the start, if there is a database: Chroma purges with the first write.
        known = wal.keep(data, kept=places.checkpoints is not None)
        container.start()
        if not known:
            keep_queue(data, places, container)
        tell("READY=1\nSTATUS=ChromaDB runs")
        print(f"The container has ended: {watch(container, held)}.", file=sys.stderr, flush=True)
    except StoppedError:
        tell("STOPPING=1")
        container.stop()
        return 0
    except holder.HeldError:
        container.kill()
        raise
    finally:
        held.release()
    return 1


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--volume", type=Path, required=True, help="mount point of the data volume")
    parser.add_argument("--data", type=Path, required=True, help="data directory on it")
    parser.add_argument("--slot", type=Path, help="directory that is held, where a volume has more than one server")
    parser.add_argument("--name", default="chromadb", help="name of the container")
    parser.add_argument("--compose", type=Path, required=True, help="compose file of the server")
    parser.add_argument("--grace", type=int, required=True, help="seconds that the server has to stop")
    parser.add_argument("--checkpoints", type=Path, help="directory of the checkpoints, if any are made")
    parser.add_argument("--torn", type=Path, help="where torn files are kept; beside the data by default")
    parser.add_argument("--seed", type=shlex.split, default=[], help="command that fills an empty data directory")
    parser.add_argument(
        "--result", type=Path, default=Path("/run/chromafleet/recovery.json"), help="file of the report"
    )
    arguments = parser.parse_args()
    torn = arguments.torn or arguments.data.with_name("torn")
    places = Places(arguments.checkpoints, torn, arguments.result, arguments.seed)
    signal.signal(signal.SIGTERM, stopped)
    try:
        container = Container(arguments.name, arguments.compose, arguments.grace)
        mark = arguments.slot or arguments.volume
        return serve(arguments.volume, mark, arguments.data, places, container)
    except StoppedError:
        return 0
    except RefusedError as refused:
        tell(f"STATUS=Refused: {refused}")
        print(f"ChromaDB is not started: {refused}.", file=sys.stderr, flush=True)
        return REFUSED
    except holder.HeldError as other:
        print(f"ChromaDB is not started: {other}.", file=sys.stderr, flush=True)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"`{' '.join(error.cmd)}` failed.", file=sys.stderr, flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
