#!/usr/bin/env python3
"""How long writes wait for a snapshot: what clients see, and what the snapshot says of it.

python benchmarks/write_pause.py [--megabytes 500] [--snapshots 10]
Fills a cell, has three clients write, makes the snapshots, and prints a row of docs/snapshots.md.
"""

from __future__ import annotations

import argparse
import json
import statistics

from cell import cell, fill
from published import Snapshots

LOG = "/srv/pause.log"


def percentile(values: list[float], share: float) -> float:
    """Of sorted values."""
    return values[min(int(len(values) * share), len(values) - 1)]


def measure(snapshots: Snapshots, count: int) -> str:
    """A row."""
    host = snapshots.host
    host.check_output(f"rm -f {LOG}")
    load = f"setsid /srv/writes.py --clients 3 --seconds 99999 --log {LOG} >/srv/pause.out 2>&1 & echo $!"
    pid = host.check_output(load)
    host.check_output(f"timeout 60 sh -c 'until grep -q acknowledged {LOG}; do sleep 0.2; done; sleep 10'")
    records = [snapshots.now() for _ in range(count)]
    host.check_output(f"kill {pid}")
    lines = [json.loads(line) for line in host.file(LOG).content_string.splitlines() if line[-1:] == "}"]
    waits = sorted(line["seconds"] for line in lines if line.get("acknowledged"))
    fenced = sorted(record["fenced_seconds"] for record in records)
    size = f"{records[-1]['bytes'] / 1e6:.0f} MB, {records[-1]['records']} records"
    clients = " | ".join(f"{value:.2f} s" for value in (percentile(waits, 0.5), percentile(waits, 0.99), waits[-1]))
    told = f"{statistics.median(fenced):.2f} s | {fenced[-1]:.2f} s"
    refused = sum("refused" in line for line in lines)
    return f"| {size} | {count} | {told} | {len(waits)}, {refused} refused | {clients} |"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=500)
    parser.add_argument("--snapshots", type=int, default=10)
    given = parser.parse_args()
    with cell() as snapshots:
        fill(snapshots, given.megabytes)
        print(measure(snapshots, given.snapshots), flush=True)


if __name__ == "__main__":
    main()
