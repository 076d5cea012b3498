"""A reader takes over snapshot after snapshot, and writer after writer is lost, while clients read and write."""

from __future__ import annotations

import os
import statistics
import time

import httpx
import pytest
from support import Load, Writes, aws, docker, wait_until, writer

COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
FAILOVERS = int(os.environ.get("SOAK_FAILOVERS", "5"))
#: Snapshots that the reader takes over before each of them.
REFRESHES = 4
BOOT = ("systemctl", "show", "--property", "SubState", "--value", "chromafleet-boot.service")
SNAPSHOT = "X-Chroma-Snapshot"


@pytest.mark.long
def test_no_read_fails_and_no_acknowledged_write_is_lost(
    with_readers: None, http: httpx.Client, read_http: httpx.Client, bearer: dict[str, str]
) -> None:
    made = http.post(COLLECTIONS, headers=bearer, json={"name": "failovers"}).json()["id"]
    collection = f"{COLLECTIONS}/{made}"
    writes, windows, refreshes = Writes(http, collection, bearer), [], []

    def served() -> str:
        return read_http.get(f"{collection}/count", headers=bearer).headers.get(SNAPSHOT, "")

    def refresh() -> None:
        began = time.time()
        docker("exec", writer(), "chromafleet-snapshot", "now")
        newest = docker("exec", writer(), "chromafleet-snapshot", "list").splitlines()[-1].split()[0]
        wait_until("the reader serves it", lambda: served() == newest, 180)
        refreshes.append(time.time() - began)

    refresh()  # from then on the reader knows the collection
    with Load(read_http, f"{collection}/count", bearer) as reads:
        writes.start()
        for _ in range(FAILOVERS):
            for _ in range(REFRESHES):
                refresh()
            before, began = writer(), time.time()
            acknowledged = len(writes.acknowledged)
            aws("autoscaling").terminate_instance_in_auto_scaling_group(
                InstanceId=before, ShouldDecrementDesiredCapacity=False
            )
            wait_until("another writer", lambda known=before: writer() != known)
            wait_until("writes go on", lambda known=acknowledged: len(writes.acknowledged) > known + 50, 600)
            windows.append((began, time.time()))
            wait_until("it has configured itself", lambda: docker("exec", writer(), *BOOT) == "dead", 600)
        missing = writes.missing()
    seconds = sorted(end - began for began, end in windows)
    print(
        f"\n| {len(windows)} | {len(refreshes)} | {len(reads.statuses)} | {len(writes.acknowledged)} "
        f"| {len(writes.failed)} | {statistics.median(seconds):.0f} s, {seconds[-1]:.0f} s "
        f"| {statistics.median(refreshes):.0f} s |"
    )
    assert set(reads.statuses) == {200}
    assert missing == set()
    outside = [at for at in writes.failed_at if not any(began <= at <= end for began, end in windows)]
    assert outside == []
    assert len(writes.acknowledged) > 100 * FAILOVERS
