#!/usr/bin/env python3
"""Seconds from the repository to the first answered query, and how that compares with a bare copy of the same data.

On a host of the scenario `snapshot` that is kept (`molecule converge -s snapshot`). Its volume needs room for three
times the data, and grows by these, on the host:

    truncate --size 6G /volume.img
    losetup --set-capacity $(readlink -f /dev/chroma-data)
    xfs_growfs /var/lib/chromadb
    benchmarks/restore.py --host snapshot-debian13 --megabytes 234

It fills the cell up to that size, makes a snapshot, empties the live data so that every byte is fetched, restores, and
prints a row of docs/snapshots.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import testinfra

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "molecule/snapshot/tests"))

from published import TOOL, Snapshots, serve  # noqa: E402 - found through the line above

DATA = "/var/lib/chromadb/data"
DIMENSION = 1536
#: Fills on the host, straight to the server: no client needs it meanwhile.
FILL = f"""
import json, random, urllib.request
base = "http://127.0.0.1:8000/api/v2/tenants/default_tenant/databases/default_database/collections"
def ask(path="", body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, {{"Content-Type": "application/json"}})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)
name = ask(body={{"name": "benchmark", "get_or_create": True}})["id"]
for start in range(FIRST, FIRST + 1000, 250):
    ids = [str(one) for one in range(start, start + 250)]
    ask(f"/{{name}}/add", {{"ids": ids, "embeddings": [[random.random() for _ in range({DIMENSION})] for _ in ids],
                          "documents": [one * 30 for one in ids]}})
"""


def size(host: testinfra.host.Host) -> float:
    """MB of the data."""
    return int(host.check_output(f"du --summarize --bytes {DATA}").split()[0]) / 1e6


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="snapshot-debian13")
    parser.add_argument("--megabytes", type=float, default=234)
    given = parser.parse_args()
    host = testinfra.get_host(f"docker://{given.host}")
    with serve() as api:
        snapshots = Snapshots(host, api)
        number = 0
        while size(host) < given.megabytes:
            host.check_output("python3 -c %s", FILL.replace("FIRST", str(number)))
            number += 1000
        record = snapshots.now()
        (collection,) = [one["id"] for one in record["collections"] if one["name"] == "benchmark"]
        copied = []
        for _ in range(3):
            host.check_output("rm -rf /var/lib/chromadb/bench; sync; echo 3 >/proc/sys/vm/drop_caches; true")
            began = time.monotonic()
            host.check_output(f"cp --recursive --reflink=never {DATA} /var/lib/chromadb/bench")
            copied.append(time.monotonic() - began)
        host.check_output("rm -rf /var/lib/chromadb/bench /var/cache/chromafleet/restic/*")
        # As on an empty volume.
        host.check_output(
            f"systemctl stop chromadb; rm -rf {DATA}/* /var/lib/chromadb/checkpoints/*; systemctl start chromadb"
        )
        host.check_output("sync; echo 3 >/proc/sys/vm/drop_caches; true")
        began = time.monotonic()
        host.check_output(f"{TOOL} restore --id {record['id']}")
        body = json.dumps({"query_embeddings": [[0.5] * DIMENSION], "n_results": 1})
        base = "http://127.0.0.1:8000/api/v2/tenants/default_tenant/databases/default_database/collections"
        ask = (
            f"curl --silent --fail --header 'Content-Type: application/json' --data '{body}' {base}/{collection}/query"
        )
        host.check_output(ask)
        took = time.monotonic() - began
        seconds = json.loads(host.check_output(f"{TOOL} status restore"))["last"]["seconds"]
        steps = " | ".join(f"{seconds[step]:.1f} s" for step in ("prepare", "bring", "prove", "swap"))
        bare = sorted(copied)[1]
        print(
            f"| {record['bytes'] / 1e6:.0f} MB, {record['records']} records | {took:.1f} s | {steps} | {bare:.2f} s | "
            f"{took / bare:.0f} |"
        )


if __name__ == "__main__":
    main()
