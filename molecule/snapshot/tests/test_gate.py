"""Another image gets the data only where there is a way back, and it opens what the present one wrote."""

import json
from base64 import b64encode
from pathlib import Path

import pytest
from published import TOOL

BASE = "http://127.0.0.1:8000/api/v2/tenants/default_tenant/databases/default_database/collections"
FAULTY = Path(__file__).parents[3] / "tests/faulty/faulty.pl"


def image(host):
    return host.check_output("docker container inspect --format {{.Config.Image}} chromadb")


def another(host, name, *changes):
    """The server's image with something changed."""
    options = " ".join(f"--change '{change}'" for change in changes)
    host.check_output(f"docker create --name another {image(host)} && docker commit {options} another {name}")
    host.check_output("docker rm another")


def test_image_that_opens_the_data_passes(host, snapshots):
    before = snapshots.latest()
    another(host, "another:good", "LABEL another=one")
    told = json.loads(host.check_output(f"{TOOL} gate another:good").splitlines()[-1])
    record = snapshots.latest()
    assert before is None or record["id"] > before["id"]
    assert (told["snapshot"], told["records"]) == (record["id"], record["records"])


def test_image_that_does_not_open_it_is_refused(host, snapshots):
    another(host, "another:bad", 'ENTRYPOINT ["false"]')
    running = host.check_output("docker container inspect --format {{.State.StartedAt}} chromadb")
    done = host.run(f"{TOOL} gate another:bad")
    assert done.rc == 1
    assert "another:bad does not get the data: The throw-away server does not open the copy" in done.stderr
    assert f"goes on, with snapshot {snapshots.latest()['id']}" in done.stderr
    assert host.check_output("docker container inspect --format {{.State.StartedAt}} chromadb") == running
    assert host.run("docker container inspect chromadb-proof").rc != 0
    assert not host.file("/var/lib/chromadb/snapshot").exists


@pytest.fixture
def records(host):
    """Something to ask for; gone afterwards."""
    post = "curl --silent --fail --header 'Content-Type: application/json' --data"
    made = json.loads(host.check_output(f"{post} %s {BASE}", json.dumps({"name": "gate"})))
    vectors = {"ids": [str(i) for i in range(20)], "embeddings": [[i, i * i, 1.0] for i in range(20)]}
    host.check_output(f"{post} %s {BASE}/{made['id']}/add", json.dumps(vectors))
    yield
    host.check_output(f"curl --silent --fail --request DELETE {BASE}/gate")


def counted(host):
    """The records of the collection."""
    made = json.loads(host.check_output(f"curl --silent --fail {BASE}/gate"))
    return int(host.check_output(f"curl --silent --fail {BASE}/{made['id']}/count"))


@pytest.mark.parametrize(
    ("fault", "said"),
    [("wrong", "a query finds 1 of the"), ("slow", "A query takes 10"), ("probe", "answered 500")],
)
def test_image_that_is_worse_is_refused(host, snapshots, records, fault, said):
    """It starts, and has all the data."""
    text = b64encode(FAULTY.read_bytes()).decode()
    host.check_output(f"echo {text} | base64 -d > /srv/faulty.pl")
    host.check_output(f"docker create --name another {image(host)} && docker cp /srv/faulty.pl another:/faulty.pl")
    entry = '["dumb-init", "--", "perl", "/faulty.pl"]'
    host.check_output(
        f"docker commit --change 'ENV FAULT={fault}' --change 'ENTRYPOINT {entry}' another another:{fault}"
    )
    host.check_output("docker rm another")
    done = host.run(f"{TOOL} gate another:{fault}")
    assert done.rc == 1
    assert f"another:{fault} does not get the data: " in done.stderr
    assert said in done.stderr


def test_data_come_back_with_their_image(host, snapshots, records):
    """In the same unit and sandbox as a restore; and away again."""
    another(host, "another:good", "LABEL another=one")
    present = image(host)
    record = snapshots.now()
    record["chroma"]["image"] = "another:good"
    snapshots.put(f"snapshots/{record['id']}.json", record)
    told = json.loads(host.check_output(f"{TOOL} return another:good"))
    assert told["snapshot"] == record["id"]
    data = host.check_output("stat --format %i /var/lib/chromadb/data")
    host.check_output(f"{TOOL} gate another:good")
    assert image(host) == "another:good"
    assert host.check_output("stat --format %i /var/lib/chromadb/data") != data
    assert counted(host) == 20
    host.check_output(f"{TOOL} return --cancel")
    assert image(host) == present
    assert host.check_output("stat --format %i /var/lib/chromadb/data") == data
    assert counted(host) == 20
    host.check_output(f"{TOOL} discard")


def test_without_a_snapshot_no_image_passes(host, snapshots):
    text = json.dumps(snapshots.settings | {"endpoint_url": "http://127.0.0.1:9"})
    host.check_output(
        f"cp /etc/chromafleet/snapshot.json /srv/kept.json; echo '{text}' > /etc/chromafleet/snapshot.json"
    )
    try:
        done = host.run(f"{TOOL} gate another:good")
    finally:
        host.check_output("mv /srv/kept.json /etc/chromafleet/snapshot.json")
    assert done.rc == 1
    assert "no snapshot of it could be made" in done.stderr
