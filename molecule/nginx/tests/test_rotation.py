"""A token is replaced while clients work with the old and the new one, over connections that they keep."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from load import Client, running

SCENARIO = Path(__file__).parents[1]
TOKENS = "/etc/nginx/chromafleet/tokens.json"
OLD, NEW = "molecule-rotation-old-0123456789", "molecule-rotation-new-0123456789"
HEARTBEAT = "/api/v2/heartbeat"


@pytest.fixture
def give(host, request):
    """Run the role's entry point for tokens with those that were there and a holder's."""
    name = host.backend.get_pytest_id().removeprefix("ansible://")
    before = {}
    for token in json.loads(host.file(TOKENS).content_string):
        digests = before.get(token["name"], {"sha256": []})["sha256"]
        before[token["name"]] = token | {"sha256": [*digests, token["sha256"]]}

    def run(*secrets):
        digests = [hashlib.sha256(secret.encode()).hexdigest() for secret in secrets]
        holder = {"name": "rotation", "scope": "read", "sha256": digests}
        command = [Path(sys.executable).with_name("ansible-playbook"), SCENARIO / "rotate.yml", "--limit", name]
        command += ["--inventory", request.config.getoption("--ansible-inventory")]
        command += ["--extra-vars", json.dumps({"rotation_tokens": [*before.values(), *[holder][: len(secrets)]]})]
        environment = os.environ | {"ANSIBLE_COLLECTIONS_PATH": str(SCENARIO.parents[1] / ".collections")}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr

    yield run
    run()


def test_rotation_fails_no_request(address, host, chroma, give):
    workers = "pgrep --parent $(cat /run/nginx.pid)"
    before = host.check_output(workers)

    def use(token):
        def run(load, _):
            client = Client(address, token)
            while not load.ended.is_set():
                load.note(token, client, "GET", HEARTBEAT)
                # Below the rate limit.
                time.sleep(0.01)

        return run

    give(OLD)
    with running(use(OLD), use(OLD)) as load:
        load.until(100)
        give(OLD, NEW)
        with running(use(NEW), use(NEW)) as overlap:
            load.until(100)
            overlap.until(100)
            # Nobody has been refused so far, with either.
            assert {token: set(told) for token, told in (load.seen | overlap.seen).items()} == {OLD: {200}, NEW: {200}}
            give(NEW)
            load.until(100)
            overlap.until(100)
            refused = load.seen[OLD].copy()
            load.until(100)
        assert set(overlap.seen[NEW]) == {200}
    # And from then on nobody is let in with the old one; no connection broke.
    assert set(load.seen[OLD]) == {200, 401}
    assert load.seen[OLD][200] == refused[200]
    # No reload: the workers are the same.
    assert host.check_output(workers) == before
