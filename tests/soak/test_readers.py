"""Twenty refreshes of a reader (SOAK_REFRESHES) under clients that read; prints a line of docs/readers.md."""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path

import pytest
from scenario import hosts_of

ROOT = Path(__file__).parents[2]
SCENARIO = ROOT / "molecule/reader"
REFRESHES = int(os.environ.get("SOAK_REFRESHES", "20"))

# Before the benchmarks, which have a cell too.
sys.path[:0] = [str(SCENARIO / "tests"), str(ROOT / "molecule/nginx/tests")]

from cell import AGE, COLLECTIONS, SNAPSHOT, Cell, seconds_of  # noqa: E402 (found through the line above)
from load import running  # noqa: E402


@pytest.fixture(scope="module")
def cell():
    with hosts_of(SCENARIO.name):
        made = Cell()
        made.fill()
        made.refresh()
        yield made


def test_no_read_fails(cell, capsys):
    seen, seconds, times = [], [], {}
    first = cell.latest()
    times[first["id"]] = seconds_of(first)

    def read(load, number):
        client = cell.client()
        path = f"{COLLECTIONS}/{cell.collections['large']}"
        vector = {"query_embeddings": [[float(number)] * 16], "n_results": 5}
        while not load.ended.is_set():
            load.note("query", client, "POST", f"{path}/query", vector)
            began = time.time()
            _, headers, _ = client.ask("GET", f"{path}/count")
            seen.append((began, time.time(), int(headers[AGE]), headers[SNAPSHOT]))

    with running(*[read] * 8) as load:
        for number in range(REFRESHES):
            cell.write(cell.collections["large"], {f"l{place}": number for place in range(number, 1500, 7)})
            record = cell.snapshot()
            times[record["id"]] = seconds_of(record)
            began = time.monotonic()
            cell.catch_up()
            seconds.append(time.monotonic() - began)
            assert len(cell.servers()) == 1
    failed = {told: count for told, count in load.seen["query"].items() if told != 200}
    wrong = [one for one in seen if not one[0] - 1.1 <= times[one[3]] + one[2] <= one[1]]
    waits = sorted(one[1] - one[0] for one in seen)
    with capsys.disabled():
        print(
            f"\n| {len(seconds)} | {load.total() + len(seen)} | {sum(failed.values())} | {len(wrong)} "
            f"| {statistics.median(seconds):.1f} / {max(seconds):.1f} "
            f"| {waits[len(waits) // 2]:.2f} / {waits[-1]:.2f} |"
        )
    assert failed == {}
    assert wrong == []
    assert {one[3] for one in seen} == set(times)
    assert cell.read(cell.reader, cell.collections["large"])[1] == cell.read(cell.writer, cell.collections["large"])[1]
