#!/usr/bin/env python3
"""Reads embeddings back from the running server, for a few collections at a time, one group after the other.

Counts, queries and the server's own health check hide lost vectors; only an embedding that comes back proves that it
is there. The result is a metric and a file, whose `failed` and `time` a health check can look at. The cost is bounded:
some collections a run, some records of each, a limit of time. As any request, it loads the index of what it reads.

Exit code: 0 all came back, 1 something did not.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sqlite3
import subprocess
import sys
import time
import urllib.error
from pathlib import Path
from typing import Any

import atomic
import chroma
import database
import metrics

RECORDS = 5
HOUR = 3600
NEXT = """
    SELECT c.id, c.name, c.dimension, d.name, d.tenant_id FROM collections c JOIN databases d ON d.id = c.database_id
    WHERE c.id > ? ORDER BY c.id LIMIT ?
"""


class Server(chroma.Server):
    """Chroma's API, within a limit of time for the whole probe."""

    def __init__(self, port: int, seconds: float) -> None:
        super().__init__(port)
        self.until = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left."""
        return self.until - time.monotonic()

    def ask(self, path: str, body: dict[str, Any] | None = None, seconds: float = math.inf) -> Any:
        """One answer about a collection, in what is left."""
        return super().ask(path, body, min(seconds, max(self.left(), 0.1)))


def fault_of(server: Server, collection: str, dimension: int | None) -> str | None:
    """Read some records of a collection back; what is wrong with them."""
    count = server.ask(f"{collection}/count")
    wanted = min(count, RECORDS)
    if not wanted:
        return None
    place = random.randint(0, count - wanted)  # noqa: S311 - a sample, no secret
    got = server.ask(f"{collection}/get", {"limit": wanted, "offset": place, "include": ["embeddings"]})
    vectors = got.get("embeddings") or []
    sound = [
        vector
        for vector in vectors
        if vector and (dimension in (None, len(vector))) and all(map(math.isfinite, vector))
    ]
    # Fewer than counted is no fault by itself: a client may delete in between.
    if len(sound) < len(got["ids"]) or (not sound and server.ask(f"{collection}/count") >= count):
        return f"{len(sound)} of {wanted} embeddings came back"
    return None


def check_collection(server: Server, collection: str, dimension: int | None) -> str | None:
    """The fault of a collection, or None; one that was deleted meanwhile has none."""
    try:
        return fault_of(server, collection, dimension)
    except urllib.error.HTTPError as error:
        return (
            None
            if error.code == 404
            else f"the server answered {error.code}: {error.read(300).decode(errors='replace')}"
        )
    except (OSError, ValueError) as error:
        return f"the server gave no answer ({error})"


def other_containers(data: Path, ours: str) -> list[str]:
    """Containers beside ours that have the data directory: two servers on it lose data."""
    command = ["docker", "ps", "--filter", f"volume={data}", "--format", "{{.Names}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return [name for name in done.stdout.split() if name != ours]


def recovered(report: Path) -> int:
    """Segments that were recovered before a start in the last hour, as that start told."""
    try:
        found = json.loads(report.read_text(encoding="utf-8"))
        return sum(one["time"] > time.time() - HOUR for one in found)
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", default="chromadb", help="name of the server's container")
    parser.add_argument("--collections", type=int, required=True, help="collections in one run")
    parser.add_argument("--seconds", type=float, required=True, help="limit of time for one run")
    parser.add_argument("--result", type=Path, required=True, help="file for the result")
    parser.add_argument("--tags", default="", help="tags of the metrics")
    arguments = parser.parse_args()

    began = time.monotonic()
    server = Server(arguments.port, arguments.seconds)
    others = other_containers(arguments.data, arguments.name)
    faults = [f"the container {name} has {arguments.data} too" for name in others]
    try:
        last = json.loads(arguments.result.read_text(encoding="utf-8"))["last"]
    except (OSError, ValueError, KeyError):
        last = ""
    found, read = [], []
    try:
        found = database.read(arguments.data, NEXT, (last, arguments.collections))
        # From the front again after the last one.
        if len(found) < arguments.collections:
            found += database.read(arguments.data, NEXT, ("", arguments.collections - len(found)))
    except sqlite3.Error as error:
        faults.append(f"{arguments.data}/chroma.sqlite3 can't be read ({error})")
    for collection, name, dimension, base, tenant in dict.fromkeys(found):
        if server.left() <= 0:
            break
        read.append(collection)
        if fault := check_collection(server, collection, dimension):
            faults.append(f"collection {name} (tenant {tenant}, database {base}): {fault}")
    seconds = time.monotonic() - began
    result = {
        "failed": bool(faults),
        "faults": faults,
        "collections": len(read),
        "last": read[-1] if read else "",
        "seconds": round(seconds, 3),
        "time": int(time.time()),
    }
    atomic.write(arguments.result, json.dumps(result) + "\n")
    metrics.send(
        {
            "DeepProbeFailed": int(bool(faults)),
            "DeepProbeSeconds": seconds,
            "DeepProbeCollections": len(read),
            "SegmentsRecovered": recovered(arguments.result.with_name("recovery.json")),
        },
        arguments.tags,
    )
    print("\n".join(faults) or f"{len(read)} collections were read back.", file=sys.stderr if faults else sys.stdout)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
