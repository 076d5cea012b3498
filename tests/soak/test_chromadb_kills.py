"""Fifty kills of ChromaDB and of its container under each kind of write load; prints the table of docs/chromadb.md."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from scenario import hosts_of

ROOT = Path(__file__).parents[2]
HOST = "chromadb-debian13"
BASE = "http://127.0.0.1:8000/api/v2/tenants/default_tenant/databases/default_database/collections"
BATCH = 150  # records in one write
KILLS = 100  # the server's process and its container by turns
THRESHOLD = 300  # Chroma writes its vector files after as many writes, rather than 1,000: more kills hit that moment


@pytest.fixture(scope="module")
def host():
    with hosts_of("chromadb"):
        yield HOST


@pytest.mark.parametrize("load", [[], ["--mixed"]], ids=["adds", "mixed"])
def test_no_kill_loses_a_record_silently(host, load, capsys):
    command = ["docker", "exec", host, "python3", "/root/load.py", "--base", BASE, "--kills", str(KILLS)]
    command += ["--threshold", str(THRESHOLD), *load]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    result = json.loads(done.stdout.splitlines()[-1])
    recovery = result["recovery_seconds"]
    with capsys.disabled():
        print(
            f"\n| {'adds, upserts, deletions' if load else 'adds'} | {result['kills']} | {result['acknowledged']} "
            f"| {result['lost']} | {result['wrong']} | {result['repaired']} | {result['recovered']} "
            f"| {result['refused']} | {result['checkpoints']} "
            f"| {recovery.get('p50')} / {recovery.get('max')} |"
        )
    assert (result["lost"], result["wrong"], result["refused"]) == (0, 0, 0), result["refusals"]
    assert result["kills"] == KILLS
    assert result["acknowledged"] > KILLS * BATCH
