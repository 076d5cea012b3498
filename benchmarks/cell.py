"""A writer with a large database, for the benchmarks of snapshots: the host of molecule/snapshot, made anew."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import testinfra

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "molecule/snapshot/tests"), str(ROOT / "tests/soak")]

from published import Snapshots, serve  # noqa: E402 - found through the line above
from scenario import hosts_of  # noqa: E402

HOST = "snapshot-debian13"
DATA = "/var/lib/chromadb/data"
COLLECTIONS = "http://127.0.0.1:8000/api/v2/tenants/default_tenant/databases/default_database/collections"
DIMENSION = 1536
#: Straight to the server: no client needs it meanwhile.
FILL = f"""
import json, random, urllib.request
def ask(path="", body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request("{COLLECTIONS}" + path, data, {{"Content-Type": "application/json"}})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)
name = ask(body={{"name": "benchmark", "get_or_create": True}})["id"]
for start in range(FIRST, FIRST + 1000, 250):
    ids = [str(one) for one in range(start, start + 250)]
    ask(f"/{{name}}/add", {{"ids": ids, "embeddings": [[random.random() for _ in range({DIMENSION})] for _ in ids],
                          "documents": [one * 30 for one in ids]}})
"""


@contextmanager
def cell() -> Iterator[Snapshots]:
    """The host, with room for several copies of some gigabytes."""
    os.environ["MOLECULE_VOLUME_SIZE"] = "12G"
    with hosts_of("snapshot"), serve() as api:
        yield Snapshots(testinfra.get_host(f"docker://{HOST}"), api)


def size(snapshots: Snapshots) -> float:
    """MB of the data."""
    return int(snapshots.host.check_output(f"du --summarize --bytes {DATA}").split()[0]) / 1e6


def fill(snapshots: Snapshots, megabytes: float) -> None:
    """Add records until the data is so large."""
    number = 0
    while size(snapshots) < megabytes:
        snapshots.host.check_output("python3 -c %s", FILL.replace("FIRST", str(number)))
        number += 1000
