#!/usr/bin/env python3
"""Seconds from the repository to the first answered query, and how that compares with a bare copy of the same data.

    python benchmarks/restore.py [--megabytes 234 1000]

For each size it fills a cell, makes a snapshot, empties the live data so that every byte is fetched, restores, and
prints a row of docs/snapshots.md.
"""

from __future__ import annotations

import argparse
import json
import time

from cell import COLLECTIONS, DATA, DIMENSION, cell, fill
from published import TOOL, Snapshots

FORGET = "sync; echo 3 >/proc/sys/vm/drop_caches; true"


def bare_copy(snapshots: Snapshots) -> float:
    """Seconds of `cp`, the middle of three."""
    taken = []
    for _ in range(3):
        snapshots.host.check_output(f"rm -rf /var/lib/chromadb/bench; {FORGET}")
        began = time.monotonic()
        snapshots.host.check_output(f"cp --recursive --reflink=never {DATA} /var/lib/chromadb/bench")
        taken.append(time.monotonic() - began)
    snapshots.host.check_output("rm -rf /var/lib/chromadb/bench")
    return sorted(taken)[1]


def restore(snapshots: Snapshots) -> str:
    """A row."""
    host, record = snapshots.host, snapshots.now()
    (collection,) = [one["id"] for one in record["collections"] if one["name"] == "benchmark"]
    bare = bare_copy(snapshots)
    # As on an empty volume; what earlier restores replaced would take its room.
    host.check_output(f"{TOOL} discard; rm -rf /var/cache/chromafleet/restic/*")
    host.check_output("systemctl stop chromadb")
    host.check_output(f"rm -rf {DATA}/* /var/lib/chromadb/checkpoints/*")
    host.check_output(f"systemctl start chromadb; {FORGET}")
    body = json.dumps({"query_embeddings": [[0.5] * DIMENSION], "n_results": 1})
    began = time.monotonic()
    host.check_output(f"{TOOL} restore --id {record['id']}")
    url = f"{COLLECTIONS}/{collection}/query"
    host.check_output(f"curl --silent --fail --header 'Content-Type: application/json' --data '{body}' {url}")
    took = time.monotonic() - began
    seconds = json.loads(host.check_output(f"{TOOL} status restore"))["last"]["seconds"]
    steps = " | ".join(f"{seconds[step]:.1f} s" for step in ("prepare", "bring", "prove", "swap"))
    size = f"{record['bytes'] / 1e6:.0f} MB, {record['records']} records"
    return f"| {size} | {took:.1f} s | {steps} | {bare:.2f} s | {took / bare:.0f} |"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[234, 1000])
    with cell() as snapshots:
        for megabytes in sorted(parser.parse_args().megabytes):
            fill(snapshots, megabytes)
            print(restore(snapshots), flush=True)


if __name__ == "__main__":
    main()
