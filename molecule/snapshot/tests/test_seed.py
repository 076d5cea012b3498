"""A server on a new volume begins with the newest snapshot, or not at all."""

import json

import pytest
from test_snapshot import COLLECTIONS, CURL

VOLUME = "/var/lib/chromadb"
DROP_IN = "/run/systemd/system/chromadb.service.d"


@pytest.fixture
def empty(host, snapshots):
    """The data is away, as on a new volume, and a collection is in the newest snapshot; its id."""
    body = json.dumps({"name": "seeded", "get_or_create": True})
    header = "--header 'Content-Type: application/json'"
    collection = json.loads(host.check_output(f"{CURL} {header} --data '{body}' {COLLECTIONS}"))["id"]
    records = json.dumps({"ids": ["a", "b"], "embeddings": [[1, 2, 3], [3, 2, 1]], "documents": ["one", "two"]})
    host.check_output(f"{CURL} {header} --data '{records}' {COLLECTIONS}/{collection}/upsert")
    snapshots.now()
    start = host.check_output(r"systemctl cat chromadb | sed --quiet '/^ExecStart=/,/[^\\]$/p'")
    host.check_output(f"mkdir --parents {DROP_IN}")
    text = f"[Service]\nExecStart=\n{start} --seed 'chromafleet-snapshot --settings /srv/settings.json seed'\n"
    host.check_output(f"cat > {DROP_IN}/seed.conf <<'END'\n{text}END\nsystemctl daemon-reload")
    host.check_output("systemctl stop chromadb")
    host.check_output(f"cd {VOLUME}; mkdir kept; mv data checkpoints kept; mkdir data checkpoints")
    host.check_output(f"chown --recursive chromadb:chromadb {VOLUME}/data {VOLUME}/checkpoints")
    configure(host, snapshots)
    yield collection
    host.check_output(f"systemctl stop chromadb; rm -r {DROP_IN}; systemctl daemon-reload")
    host.check_output(f"cd {VOLUME}; rm -rf data checkpoints seed; mv kept/* .; rmdir kept")
    host.check_output("systemctl reset-failed chromadb; systemctl start chromadb")


def configure(host, snapshots, **changes):
    """The settings of the command."""
    text = json.dumps(snapshots.settings | changes)
    host.check_output(f"cat > /srv/settings.json <<'END'\n{text}\nEND")


def said(host, words):
    """Wait until the journal has it."""
    journal = "journalctl --unit chromadb --since -60s --output cat"
    look = f"until {journal} | grep --fixed-strings '{words}'; do sleep 0.2; done"
    return host.check_output("timeout 50 sh -c %s", look)


def read(host, collection):
    """The embeddings that are there."""
    body = json.dumps({"include": ["embeddings"]})
    header = "--header 'Content-Type: application/json'"
    got = json.loads(host.check_output(f"{CURL} --retry 20 {header} --data '{body}' {COLLECTIONS}/{collection}/get"))
    return dict(zip(got["ids"], got["embeddings"], strict=True))


def test_new_volume_is_filled(host, empty):
    host.check_output("systemctl start chromadb")
    assert read(host, empty) == {"a": [1, 2, 3], "b": [3, 2, 1]}
    assert "is back after" in said(host, "is back after")
    assert (host.file(f"{VOLUME}/data").user, host.file(f"{VOLUME}/data").mode) == ("chromadb", 0o700)
    assert not host.file(f"{VOLUME}/seed").exists


def test_server_never_begins_empty_where_there_are_snapshots(host, snapshots, empty):
    """S3 can't be reached; then it can, and the server comes up by itself, from where a killed attempt was."""
    configure(host, snapshots, endpoint_url="http://127.0.0.1:9")
    host.check_output("systemctl start --no-block chromadb")
    said(host, "be reached")
    assert host.check_output(f"ls {VOLUME}/data") == ""
    assert host.run("docker ps --quiet --filter name=^chromadb$").stdout == ""
    host.check_output(f"mkdir --parents {VOLUME}/seed/left && echo half > {VOLUME}/seed/chroma.sqlite3")
    configure(host, snapshots)
    assert len(read(host, empty)) == 2
    assert not host.file(f"{VOLUME}/data/left").exists


def test_checkpoints_that_may_be_younger_are_not_passed_over(host, empty):
    host.check_output(f"mkdir {VOLUME}/checkpoints/20260101T000000Z")
    host.check_output("systemctl start --no-block chromadb")
    assert "20260101T000000Z" in said(host, "may be younger")
    assert host.check_output(f"ls {VOLUME}/data") == ""


def test_first_server_of_a_cell_begins_empty(host, snapshots, empty):
    configure(host, snapshots, cell="another")
    host.check_output("systemctl start chromadb")
    said(host, "begins empty")
    assert json.loads(host.check_output(f"{CURL} --retry 20 {COLLECTIONS}")) == []
