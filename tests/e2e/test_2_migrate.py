"""A running Chroma server is moved into the demo, through its load balancer, with the token that the playbook finds."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support import Done, docker, run, secret_values, wait_until

COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
NAME = "e2e-old-server"
RECORDS = 400


@pytest.fixture
def old(demo: Done) -> Iterator[httpx.Client]:
    """A server as somebody's laptop has it, with a collection in it."""
    docker("run", "--detach", "--name", NAME, "--publish", "127.0.0.1:8123:8000", "chromafleet-local/chroma:1.5.9")
    with httpx.Client(base_url="http://127.0.0.1:8123", timeout=30) as client:

        def answers() -> bool:
            try:
                return client.get("/api/v2/heartbeat").status_code == 200
            except httpx.HTTPError:
                return False

        wait_until("an answer of the old server", answers)
        made = client.post(COLLECTIONS, json={"name": "moved", "metadata": {"hnsw:space": "ip"}}).json()["id"]
        ids = [f"id-{number}" for number in range(RECORDS)]
        numbers = random.Random(1)  # noqa: S311 - not for secrets
        records = {
            "ids": ids,
            "embeddings": [[numbers.uniform(-1, 1) for _ in range(16)] for _ in ids],
            "documents": [f"document {one}" for one in ids],
            "metadatas": [{"number": number} for number in range(RECORDS)],
        }
        assert client.post(f"{COLLECTIONS}/{made}/add", json=records).status_code == 201
        yield client
    docker("rm", "--force", "--volumes", NAME)


def everything(client: httpx.Client, headers: dict[str, str]) -> dict[str, tuple]:
    """Each record of the collection by its id."""
    (made,) = [one["id"] for one in client.get(COLLECTIONS, headers=headers).json() if one["name"] == "moved"]
    asked = {"include": ["embeddings", "documents", "metadatas"], "limit": 2 * RECORDS}
    got = client.post(f"{COLLECTIONS}/{made}/get", headers=headers, json=asked).json()
    parts = zip(got["ids"], got["embeddings"], got["documents"], got["metadatas"], strict=True)
    return {one: (vector, document, metadata) for one, vector, document, metadata in parts}


def test_a_server_is_moved_into_the_fleet(
    demo: Done, clone: Path, old: httpx.Client, http: httpx.Client, bearer: dict[str, str]
) -> None:
    asked = {"migrate_source": {"location": str(old.base_url)}, "migrate_collections": ["moved"]}
    moves = json.dumps(asked | {"migrate_step": "cut_over"})
    done = run("ansible-playbook", "-i", "inventories/local", "playbooks/migrate.yml", "-e", moves, cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert "every record" in done.output
    expected = everything(old, {})
    assert len(expected) == RECORDS
    assert everything(http, bearer) == expected
    assert secret_values()[0] not in done.output
    # The steps that follow look at the demo's own collection.
    assert http.delete(f"{COLLECTIONS}/moved", headers=bearer).status_code == 200
