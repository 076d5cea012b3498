#!/usr/bin/env python3
"""Kills ChromaDB under write load on its host, and compares what it serves then with what it acknowledged.

A record whose write was under way at the kill may have its old or its new state; every other one must have the state
that was acknowledged, embedding included. Checkpoints are made meanwhile, and killed as well. A torn directory that is
refused before it is served counts as `refused`: the data is then wiped, as a restore would. Prints a line of JSON:
anything in `lost`, `wrong` or `refused` is a failure.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

DATA = Path("/var/lib/chromadb/data")
DIMENSION = 32
BATCH = 150
ANEW = 20  # kills, after which a new collection is begun, so that reading it back stays quick


def vector(name: str, version: int) -> list[float]:
    """The embedding of a version of a record."""
    source = random.Random(f"{name} {version}")  # noqa: S311
    return [round(source.random(), 4) for _ in range(DIMENSION)]


def show(unit_property: str) -> str:
    """A property of the server's unit."""
    command = ["systemctl", "show", "--property", unit_property, "--value", "chromadb"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class Load:
    """A collection, what was acknowledged of it, and a writer."""

    def __init__(self, base: str, *, mixed: bool, threshold: int) -> None:
        self.base = base
        self.mixed = mixed
        self.threshold = threshold
        self.random = random.Random(7)  # noqa: S311
        self.total = {"kills": 0, "lost": 0, "wrong": 0, "refused": 0, "repaired": 0, "recovered": 0}
        self.total |= {"checkpoints": 0, "acknowledged": 0}
        self.recovery: list[float] = []
        self.refusals: list[str] = []

    def ask(self, path: str = "", body: object = None, seconds: float = 60) -> object:
        """One request."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310
            return json.load(answer)

    def begin(self) -> None:
        """A new collection."""
        self.name = f"load-{time.time_ns()}"
        configuration = {"hnsw": {"sync_threshold": self.threshold, "batch_size": min(self.threshold, 100)}}
        self.collection = self.ask(body={"name": self.name, "configuration": configuration})["id"]
        self.sure: dict[str, int] = {}
        self.unsure: dict[str, set[int | None]] = {}
        self.next = 0

    def write(self, operation: str, records: dict[str, int | None]) -> None:
        """One write; its records are unsure until it is acknowledged."""
        for name, version in records.items():
            self.unsure[name] = {self.sure.get(name), version}
        body: dict[str, object] = {"ids": list(records)}
        if operation != "delete":
            body["embeddings"] = [vector(name, version) for name, version in records.items()]
        self.ask(f"/{self.collection}/{operation}", body)
        for name, version in records.items():
            del self.unsure[name]
            if version is None:
                del self.sure[name]
            else:
                self.sure[name] = version
        self.total["acknowledged"] += len(records)

    def write_until_killed(self) -> None:
        """The writer's life."""
        try:
            while True:
                kind = self.random.random() if self.mixed and len(self.sure) > 1500 else 0.0
                if kind < 0.4:
                    names = [f"r{self.next + i}" for i in range(BATCH)]
                    self.next += BATCH
                    self.write("add", dict.fromkeys(names, 0))
                elif kind < 0.7:
                    names = self.random.sample(sorted(self.sure), BATCH)
                    self.write("upsert", {name: self.sure[name] + 1 for name in names})
                else:
                    self.write("delete", dict.fromkeys(self.random.sample(sorted(self.sure), BATCH)))
        except (OSError, http.client.HTTPException, ValueError):
            return

    def checkpoint(self) -> None:
        """One more copy; the kill may come in the middle of it."""
        done = subprocess.run(["systemctl", "start", "chromadb-checkpoint"], capture_output=True, check=False)
        self.total["checkpoints"] += done.returncode == 0

    def kill(self, what: str) -> None:
        """The server's process, or its container."""
        if what == "process":
            pid = subprocess.run(
                ["pgrep", "--newest", "--full", "chroma run"], capture_output=True, text=True, check=True
            )
            subprocess.run(["kill", "-9", *pid.stdout.split()], check=True)
        else:
            subprocess.run(["docker", "kill", "chromadb"], stdout=subprocess.DEVNULL, check=True)
        self.total["kills"] += 1

    def wait(self, old: str) -> bool:
        """Until systemd has started it again, or refused to; whether it runs."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            if show("ActiveState") == "failed":
                return False
            if show("MainPID") not in ("0", old):
                try:
                    self.ask(seconds=2)
                except (OSError, http.client.HTTPException):
                    pass
                else:
                    return True
            time.sleep(0.1)
        raise TimeoutError(f"chromadb is {show('ActiveState')}: {show('StatusText')}")

    def verify(self) -> None:
        """Read everything back."""
        served: dict[str, list[float]] = {}
        try:
            while True:
                body = {"limit": 500, "offset": len(served), "include": ["embeddings"]}
                page = self.ask(f"/{self.collection}/get", body)
                served |= dict(zip(page["ids"], page["embeddings"], strict=True))
                if len(page["ids"]) < 500:
                    break
            self.ask(f"/{self.collection}/query", {"query_embeddings": [[0.5] * DIMENSION], "n_results": 5})
        except (urllib.error.HTTPError, TypeError) as error:
            # Served although it is torn: the worst.
            said = error.read().decode() if isinstance(error, urllib.error.HTTPError) else error
            self.refusals.append(f"served, but: {said}")
            self.total["wrong"] += len(self.sure)
            return
        for name in sorted({*self.sure, *self.unsure, *served}):
            allowed = self.unsure.get(name, {self.sure.get(name)})
            found = served.get(name)
            matching = {
                version
                for version in allowed
                if (found is None) == (version is None)
                and (found is None or all(abs(a - b) < 1e-5 for a, b in zip(found, vector(name, version), strict=True)))
            }
            if not matching:
                self.total["lost" if found is None else "wrong"] += 1
            version = next(iter(matching), None)
            if version is None:
                self.sure.pop(name, None)
            else:
                self.sure[name] = version
        self.unsure.clear()

    def run(self, kills: int) -> None:
        """All kills, the server's process and its container by turns."""
        self.begin()
        for number in range(kills):
            if number and number % ANEW == 0:
                self.begin()
            writer = threading.Thread(target=self.write_until_killed)
            writer.start()
            copier = threading.Thread(target=self.checkpoint)
            if self.random.random() < 0.5:
                copier.start()
            time.sleep(self.random.uniform(0.5, 3.0))
            old = show("MainPID")
            self.kill(("process", "container")[number % 2])
            began = time.monotonic()
            running = self.wait(old)
            writer.join()
            if copier.ident:
                copier.join()
            if running:
                self.recovery.append(time.monotonic() - began)
                self.verify()
                continue
            self.total["refused"] += 1
            self.refusals.append(show("StatusText"))
            shutil.rmtree(DATA, ignore_errors=True)
            DATA.mkdir(mode=0o700, exist_ok=True)
            shutil.chown(DATA, 10001, 10001)
            subprocess.run(["systemctl", "start", "chromadb"], check=True)
            self.wait("0")
            self.begin()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--base", required=True, help="address of the collections")
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--mixed", action="store_true", help="upserts and deletions beside the additions")
    parser.add_argument("--threshold", type=int, default=1000, help="writes after which Chroma writes its vector files")
    arguments = parser.parse_args()
    load = Load(arguments.base, mixed=arguments.mixed, threshold=arguments.threshold)
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    try:
        load.run(arguments.kills)
    except TimeoutError as late:
        load.total["refused"] += 1
        load.refusals.append(str(late))
    log = ["journalctl", "--unit", "chromadb", "--since", since, "--output", "cat", "--no-pager"]
    said = subprocess.run(log, capture_output=True, text=True, check=True).stdout
    load.total["repaired"] = said.count("deletions are left to the queue again")
    load.total["recovered"] = said.count("Recovered: ")
    recovery = (
        {"p50": round(statistics.median(load.recovery), 2), "max": round(max(load.recovery), 2)}
        if load.recovery
        else {}
    )
    print(json.dumps(load.total | {"recovery_seconds": recovery, "refusals": load.refusals}))
    return 1 if any(load.total[name] for name in ("lost", "wrong", "refused")) else 0


if __name__ == "__main__":
    sys.exit(main())
