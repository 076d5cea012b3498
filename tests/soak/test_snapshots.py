"""A hundred snapshots (SOAK_SNAPSHOTS) under load, each restored and compared; prints a line of docs/snapshots.md."""

from __future__ import annotations

import json
import os
import statistics
import sys
from pathlib import Path

import pytest
import testinfra
from scenario import hosts_of

ROOT = Path(__file__).parents[2]
SCENARIO = ROOT / "molecule/snapshot"
SNAPSHOTS = int(os.environ.get("SOAK_SNAPSHOTS", "100"))
HOST = "snapshot-debian13"

sys.path.insert(0, str(SCENARIO / "tests"))

from published import Snapshots, serve  # noqa: E402 (found through the line above)


@pytest.fixture(scope="module")
def snapshots():
    with hosts_of(SCENARIO.name), serve() as api:
        yield Snapshots(testinfra.get_host(f"docker://{HOST}"), api)


def test_no_snapshot_lacks_an_acknowledged_write(snapshots, capsys):
    host = snapshots.host
    host.check_output("rm -rf /srv/writes.log /var/cache/chromafleet/restic/*")
    load = "setsid /srv/writes.py --clients 3 --seconds 99999 --log /srv/writes.log >/srv/writes.out 2>&1 & echo $!"
    pid = host.check_output(load)
    fenced, seconds, unusable, sure = [], [], [], 0
    try:
        host.check_output("timeout 60 sh -c 'until grep -q acknowledged /srv/writes.log; do sleep 0.2; done; sleep 10'")
        for _ in range(SNAPSHOTS):
            before = host.check_output("date +%s.%N")
            record = snapshots.now()
            fenced.append(record["fenced_seconds"])
            seconds.append(sum(record["seconds"].values()))
            base = snapshots.restored(record)
            said = host.run(f"python3 /srv/writes.py --log /srv/writes.log --base {base} --before {before}")
            host.check_output("docker rm --force restored; rm -rf /var/lib/chromadb/restored")
            compared = json.loads(said.stdout or "{}")
            sure += compared.get("sure", 0)
            if said.rc != 0:
                unusable.append(compared.get("faults") or said.stderr[-500:])
    finally:
        host.run(f"kill {pid}")
    lines = [json.loads(line) for line in host.file("/srv/writes.log").content_string.splitlines() if line[-1:] == "}"]
    waits = sorted(line["seconds"] for line in lines if line.get("acknowledged"))
    refused = sum("refused" in line for line in lines)
    with capsys.disabled():
        print(
            f"\n| {len(fenced)} | {len(waits)} | {sure} | {len(unusable)} | {refused} "
            f"| {statistics.median(fenced):.2f} / {max(fenced):.2f} | {waits[len(waits) // 2]:.2f} / {waits[-1]:.2f} "
            f"| {statistics.median(seconds):.1f} |"
        )
    assert unusable == []
    assert refused == 0
    assert len(fenced) == SNAPSHOTS
