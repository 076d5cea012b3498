"""A snapshot of the demo: with the rights of its host's role and no others, and on demand from the controller."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
from local_api import LocalApi
from support import CONNECTION, Done, aws, run, secret_values, writer

BUCKET = "chromafleet-demo-123456789012-us-east-1"
COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"


def latest() -> dict[str, Any]:
    """The record that readers and restores go by."""
    return json.load(aws("s3").get_object(Bucket=BUCKET, Key="main/latest.json")["Body"])


def counts(http: httpx.Client, bearer: dict[str, str]) -> dict[str, int]:
    """Each collection's records, as the endpoint counts them."""
    found = http.get(COLLECTIONS, headers=bearer).json()
    return {one["name"]: http.get(f"{COLLECTIONS}/{one['id']}/count", headers=bearer).json() for one in found}


def test_the_hosts_own_rights_suffice(demo: Done, http: httpx.Client, bearer: dict[str, str]) -> None:
    command = ["docker", "exec", writer(), "chromafleet-snapshot", "now"]
    with LocalApi(CONNECTION["endpoint_url"]).enforced():
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {one["name"]: one["records"] for one in latest()["collections"]} == counts(http, bearer)


def test_a_playbook_brings_one_back(demo: Done, http: httpx.Client, bearer: dict[str, str], clone: Path) -> None:
    """What was written since is gone, and comes back with the old data."""
    wanted = latest()
    before = counts(http, bearer)
    made = http.post(COLLECTIONS, headers=bearer, json={"name": "after-the-snapshot"})
    assert made.status_code == 200, made.text
    command = ("ansible-playbook", "-i", "inventories/local", "playbooks/restore.yml", "-e", "cell=main")
    done = run(*command, "-e", f"snapshot={wanted['id']}", "-e", "confirm=demo", cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert wanted["id"] in done.output
    assert counts(http, bearer) == {one["name"]: one["records"] for one in wanted["collections"]}
    done = run(*command, "-e", "restore_undo=true", "-e", "confirm=demo", cwd=clone)
    assert done.code == 0, done.output[-3000:]
    assert counts(http, bearer) == before | {"after-the-snapshot": 0}
    assert http.delete(f"{COLLECTIONS}/after-the-snapshot", headers=bearer).status_code == 200
    done = run(*command, "-e", "restore_discard_old=true", cwd=clone)
    assert done.code == 0, done.output[-3000:]


def test_a_playbook_makes_one_now(demo: Done, clone: Path) -> None:
    before = latest()["id"]
    done = run("ansible-playbook", "-i", "inventories/local", "playbooks/backup.yml", cwd=clone)
    assert done.code == 0, done.output[-3000:]
    made = latest()
    assert made["id"] > before
    assert f"Snapshot {made['id']} of the cell main is published." in done.output
    key = aws("secretsmanager").get_secret_value(SecretId="chromafleet/demo/snapshots")["SecretString"]
    for secret in (*secret_values(), json.loads(key)["password"]):
        assert secret not in done.output
