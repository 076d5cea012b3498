"""A snapshot comes back in the place of the live data, which is whole whatever happens; a drill shows that it would."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from published import BUCKET, KEY, ROOT, TOOL

BASE = "https://127.0.0.1/api/v2/tenants/default_tenant/databases/default_database/collections"
TOKEN = "molecule-admin-0123456789abcdef"
VOLUME = "/var/lib/chromadb"
JOURNAL = f"{VOLUME}/swap.json"
STATUS = "/var/lib/chromafleet/restore.json"
RECORDS = 400


class Client:
    """A client of the cell."""

    def __init__(self, host, base=BASE):
        self.host, self.base = host, base

    def call(self, path="", body=None, method=None):
        said = self.run(path, body, method)
        assert said.rc == 0, said.stdout + said.stderr
        return json.loads(said.stdout) if said.stdout.strip() else None

    def run(self, path="", body=None, method=None):
        data = f"--data-binary {sh(json.dumps(body))}" if body is not None else ""
        return self.host.run(
            f"curl --silent --show-error --fail-with-body --insecure --max-time 60 --request "
            f"{method or ('POST' if body is not None else 'GET')} --header 'Authorization: Bearer {TOKEN}' "
            f"--header 'Content-Type: application/json' {data} {self.base}{path}"
        )

    def collection(self, name):
        return self.call(body={"name": name, "get_or_create": True})["id"]

    def write(self, collection, version, number=RECORDS):
        """Every vector begins with the version."""
        ids = [str(one) for one in range(number)]
        vectors = [[version, one, one % 7, 1] for one in range(number)]
        self.call(f"/{collection}/upsert", {"ids": ids, "embeddings": vectors})

    def versions(self, collection):
        """How many records have which version."""
        got = self.call(f"/{collection}/get", {"include": ["embeddings"], "limit": 10000})
        return {
            version: sum(v[0] == version for v in got["embeddings"]) for version in {v[0] for v in got["embeddings"]}
        }

    def names(self):
        return {one["name"] for one in self.call()}


def sh(text):
    return "'" + text.replace("'", "'\\''") + "'"


@pytest.fixture(scope="module")
def story(host, snapshots):
    """Two snapshots: of version 1, and of version 2 with one more collection."""
    client = Client(host)
    collection = client.collection("story")
    client.write(collection, 1)
    first = snapshots.now()
    client.write(collection, 2)
    client.write(client.collection("later"), 2, 50)
    second = snapshots.now()
    yield SimpleNamespace(client=client, collection=collection, first=first, second=second)
    host.check_output(f"{TOOL} discard")


def state(host):
    return json.loads(host.check_output(f"{TOOL} status restore"))


def look(host, **request):
    return host.run(f"echo {sh(json.dumps(request))} | {TOOL} look")


def untouched(host, story, version=2):
    """Served as before, also for writes; nothing is left beside the data."""
    assert story.client.versions(story.collection) == {version: RECORDS}
    story.client.write(story.collection, version, 1)
    assert not host.file(JOURNAL).exists
    assert host.run("docker container inspect chromadb-proof").rc != 0


def test_an_earlier_one_comes_back_under_reads(host, story):
    """What is asked meanwhile waits, and is answered; afterwards nothing of the newer data is served, from no cache."""
    url = f"{BASE}/{story.collection}/get"
    host.check_output("touch /srv/reading")
    command = f"python3 /srv/reads.py --url {url} --log /srv/reads.log --while-there /srv/reading"
    host.check_output(f"setsid {command} >/srv/reads.out 2>&1 &")
    host.check_output("timeout 30 sh -c 'until grep -q hit /srv/reads.log; do sleep 0.1; done'")
    said = host.check_output(f"{TOOL} restore --id {story.first['id']}")
    ended = float(host.check_output("date +%s.%N"))
    # The next one may have begun before that.
    after = int(host.check_output("wc --lines < /srv/reads.log")) + 2
    again = f"until tail --lines +{after} /srv/reads.log | grep -q hit; do sleep 0.1; done; rm /srv/reading"
    host.check_output("timeout 30 sh -c %s", again)
    host.check_output("timeout 30 sh -c 'while pgrep -f [r]eads.py; do sleep 0.1; done'")
    assert f"Snapshot {story.first['id']} is served: " in said
    assert host.file("/srv/reads.out").content_string == ""
    lines = [json.loads(line) for line in host.file("/srv/reads.log").content_string.splitlines()]
    assert [line for line in lines if "failed" in line] == []
    late = [line for line in lines if line["began"] > ended]
    assert {line["version"] for line in late} == {1}
    assert {line["cache"] for line in late} >= {"hit", "off"}
    # In one step: after the first old answer from Chroma itself no new one comes.
    order = [line["version"] for line in lines]
    assert order == sorted(order, reverse=True)
    print(f"the longest read took {max(line['ended'] - line['began'] for line in lines):.1f} s")
    assert story.client.versions(story.collection) == {1: RECORDS}
    assert "later" not in story.client.names()
    counts = {one["id"]: one["records"] for one in story.first["collections"]}
    assert {name: story.client.call(f"/{name}/count") for name in counts} == counts


def test_what_it_leaves(host, story):
    """The old data, a checkpoint of the new one and none of the old one, and what was done."""
    last = state(host)["last"]
    assert (last["id"], last["records"]) == (story.first["id"], story.first["records"])
    assert list(last["seconds"]) == ["wait", "prepare", "bring", "prove", "swap"]
    kept = host.file(last["kept"])
    assert kept.is_directory
    assert kept.user == host.file(f"{VOLUME}/data").user
    check = "PYTHONPATH=/usr/local/lib/chromafleet/chromadb python3 -m check"
    host.check_output(f"{check} {last['kept']}")
    checkpoints = host.check_output(f"ls {VOLUME}/checkpoints").split()
    assert len(checkpoints) == 1
    host.check_output(f"{check} {VOLUME}/checkpoints/{checkpoints[0]}/data")
    assert not host.file(f"{VOLUME}/restore").exists
    untouched(host, story, version=1)


def test_undo(host, story):
    said = host.check_output(f"{TOOL} undo")
    assert "is served again" in said
    untouched(host, story)
    assert "later" in story.client.names()


def test_discard(host, story):
    assert f"Removed {VOLUME}/data.before-" in host.check_output(f"{TOOL} discard")
    assert host.run(f"ls -d {VOLUME}/data.before-*").rc != 0
    done = host.run(f"{TOOL} undo")
    assert (done.rc, "nothing can be undone" in done.stderr) == (1, True)


def test_which_one(host, story):
    """By time, and none where there is none."""
    assert json.loads(look(host, before=story.first["time"]).stdout)["id"] == story.first["id"]
    assert json.loads(look(host).stdout)["id"] == story.second["id"]
    mistyped = story.first["id"].removesuffix("Z")
    for arguments, *sentences in (
        (f"--id {mistyped}", f'has no snapshot "{mistyped}"; the nearest are ', story.first["id"]),
        ("--before 2026-01-01", "or before; the oldest are"),
        ("--before noon", "expected ISO 8601 in UTC"),
    ):
        done = host.run(f"{TOOL} restore {arguments}")
        assert done.rc == 1
        assert [sentence for sentence in sentences if sentence not in done.stderr] == []


def test_newer_than_the_server(host, snapshots, story):
    key = f"{snapshots.cell}/snapshots/99991231T235959Z.json"
    record = {**story.second, "id": "99991231T235959Z", "chroma": {**story.second["chroma"], "version": "2.0.0"}}
    snapshots.s3.put_object(Bucket=BUCKET, Key=key, Body=json.dumps(record).encode())
    try:
        done = host.run(f"{TOOL} restore")
    finally:
        snapshots.s3.delete_object(Bucket=BUCKET, Key=key)
    assert done.rc == 1
    assert "is of ChromaDB 2.0.0, and this host runs 1.5.9" in done.stderr


def refused(host, story, kind):
    done = host.run(f"{TOOL} restore --id {story.first['id']}")
    known = state(host)
    assert (done.rc, known["state"], known.get("kind")) == (1, "failed", kind), done.stdout + done.stderr
    untouched(host, story)
    assert not host.file(f"{VOLUME}/restore").exists
    return known


def test_no_room(host, story):
    free = int(host.check_output(f"df --output=avail --block-size=1 {VOLUME} | tail -n 1"))
    host.check_output(f"fallocate --length {free - (50 << 20)} {VOLUME}/filler")
    try:
        known = refused(host, story, "disk-full")
    finally:
        host.check_output(f"rm {VOLUME}/filler")
    assert known["step"] == "prepare"
    assert "aws_fleet_data_volume_size" in known["error"]


@pytest.fixture
def broken(snapshots, story):
    with snapshots.flipped():
        yield


def test_a_damaged_repository_is_refused(host, story, broken):
    known = refused(host, story, "damaged")
    assert known["step"] == "bring"
    assert "restic check --read-data" in known["error"]


def test_a_drill_on_a_damaged_repository_fails(host, snapshots, broken):
    done = host.run(f"{TOOL} drill")
    assert done.rc == 1, done.stdout
    told = snapshots.metrics()
    assert told["RestoreDrillFailed"][0] == 1
    assert "RestoreDrillAgeSeconds" in told


def test_drill(host, snapshots, story):
    said = host.check_output(f"{TOOL} drill")
    assert f"Snapshot {story.second['id']} can be restored: {story.second['records']} records were read back" in said
    told = snapshots.metrics()
    assert told["RestoreDrillFailed"][0] == 0
    assert told["RestoreDrillAgeSeconds"][0] < 60
    assert told["RestoreDrillSeconds"][0] > 0.5
    assert not host.file(f"{VOLUME}/snapshot").exists
    assert host.service("chromafleet-drill.timer").is_enabled


def test_the_old_data_is_served_where_the_new_one_is_not(host, story):
    """The server starts over the old data only: it is put back, and the restore has failed."""
    inode = host.check_output(f"stat --format %i {VOLUME}/data")
    folder = "/run/systemd/system/chromadb.service.d"
    start = f"ExecStartPre=/bin/sh -c 'test $(stat --format %%i {VOLUME}/data) = {inode}'"
    host.check_output(f"mkdir -p {folder}; printf '%s\\n' '[Service]' {sh(start)} >{folder}/molecule.conf")
    host.check_output("systemctl daemon-reload")
    try:
        known = refused(host, story, "unhealthy")
    finally:
        host.check_output(f"rm {folder}/molecule.conf; systemctl daemon-reload")
    assert known["step"] == "swap"
    assert "The old data is served." in known["error"]
    assert host.check_output(f"stat --format %i {VOLUME}/data") == inode
    assert host.run(f"ls -d {VOLUME}/data.before-*").rc != 0


MOMENTS = {
    # A step of the status, or what can be seen of the swap.
    "prepare": f"""grep -q '"step": "prepare"' {STATUS}""",
    "bring": f"""grep -q '"step": "bring"' {STATUS}""",
    "prove": f"""grep -q '"step": "prove"' {STATUS}""",
    "before the swap": f"test -e {JOURNAL}",
    "stopped": f"test -e {JOURNAL} && ! systemctl --quiet is-active chromadb",
    "swapped": f"test -e {JOURNAL} && test $(stat --format %i {VOLUME}/data) != $INODE",
}
IN_GATE = ("swapped",)


@pytest.mark.parametrize(
    "moment", [pytest.param(one, marks=() if one in IN_GATE else pytest.mark.long) for one in MOMENTS]
)
def test_killed(host, story, moment):
    """kill -9 of everything: the old or the new data is served whole, writes go on, and the same again converges."""
    host.check_output(f"rm -f {STATUS}; systemctl reset-failed chromafleet-restore; true")
    host.check_output(f"""echo '{{"snapshot": "{story.first["id"]}"}}' >/var/lib/chromafleet/restore-request.json""")
    inode = host.check_output(f"stat --format %i {VOLUME}/data")
    host.check_output("systemctl start --no-block chromafleet-restore.service")
    script = f"INODE={inode}; until {MOMENTS[moment]}; do sleep 0.01; done"
    host.check_output("timeout 60 bash -c %s", script)
    host.check_output("systemctl kill --signal=KILL chromafleet-restore.service")
    ended = "while systemctl is-active chromafleet-restore | grep -qE '^(de)?activ'; do sleep 0.1; done"
    host.check_output("timeout 120 sh -c %s", ended)
    is_new = host.check_output(f"stat --format %i {VOLUME}/data") != inode
    assert is_new or moment != "swapped"
    untouched(host, story, version=1 if is_new else 2)
    said = host.check_output(f"{TOOL} restore --id {story.first['id']}")
    assert f"Snapshot {story.first['id']} is served: " in said
    untouched(host, story, version=1)
    assert len(host.check_output(f"ls -d {VOLUME}/data.before-*").split()) == 1
    host.check_output(f"{TOOL} undo")
    untouched(host, story)
    host.check_output(f"{TOOL} discard")


@pytest.fixture
def play(host, request):
    """The entry point, from the controller."""
    inventory = request.config.getoption("--ansible-inventory")
    name = host.backend.get_pytest_id().removeprefix("ansible://")

    def run(*arguments, **variables):
        command = [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, "--limit", name, *arguments]
        environment = os.environ | {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections")}
        environment |= {"ANSIBLE_CALLBACKS_ENABLED": "chromafleet.aws.fleet_summary"}
        return subprocess.run(
            [*command, ROOT / "molecule/snapshot/restore.yml", "-e", json.dumps(variables)],
            cwd=ROOT / "molecule/snapshot",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_check_run_tells_and_changes_nothing(host, story, play):
    before = host.check_output(f"stat --format %i {VOLUME}/data")
    done = play("--check", snapshot_restore_before=story.first["time"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Would: The snapshot {story.first['id']} of {story.first['time']}" in done.stdout
    assert "changed=0" in done.stdout
    assert host.check_output(f"stat --format %i {VOLUME}/data") == before
    done = play(snapshot_restore_confirm="another")
    assert done.returncode != 0
    assert '"another" is not the name of the fleet, so nothing was restored: type molecule' in " ".join(
        done.stdout.split()
    )


def test_one_collection_comes_back_beside(host, story, play):
    """Its records as they were; the live one stays, and its name is not taken from it."""
    arguments = {"snapshot_restore_id": story.first["id"], "snapshot_restore_token": TOKEN}
    done = play(**arguments, snapshot_restore_collection="story", snapshot_restore_as="story-before")
    assert done.returncode == 0, done.stdout + done.stderr
    assert TOKEN not in done.stdout
    assert story.client.versions(story.client.collection("story-before")) == {1: RECORDS}
    untouched(host, story)
    story.client.call("/story-before", method="DELETE")
    assert not host.file(f"{VOLUME}/restore").exists
    assert not host.file(f"{VOLUME}/restore-copy").exists


@pytest.mark.long
def test_a_collection_that_exists_is_not_mixed_with(host, story, play):
    done = play(
        snapshot_restore_id=story.first["id"], snapshot_restore_token=TOKEN, snapshot_restore_collection="story"
    )
    assert done.returncode != 0
    assert 'has a collection "story" already' in done.stdout
    untouched(host, story)


@pytest.mark.long
def test_one_tenant_comes_back_alone(host, story, snapshots, play):
    """With its databases and collections, after somebody has deleted them; nobody else's data is older than it was."""
    tenants = "https://127.0.0.1/api/v2/tenants"
    client = Client(host, f"{tenants}/shop/databases/fruit/collections")
    post = f"curl --silent --fail --insecure --header 'Authorization: Bearer {TOKEN}' --json"
    host.check_output(f"""{post} '{{"name": "shop"}}' {tenants}""")
    host.check_output(f"""{post} '{{"name": "fruit"}}' {tenants}/shop/databases""")
    for name in ("apples", "pears"):
        client.write(client.collection(name), 5, 60)
    kept = snapshots.now()
    for name in ("apples", "pears"):
        client.call(f"/{name}", method="DELETE")
    story.client.write(story.collection, 3)
    done = play(snapshot_restore_id=kept["id"], snapshot_restore_token=TOKEN, snapshot_restore_tenant="shop")
    assert done.returncode == 0, done.stdout + done.stderr
    assert client.names() == {"apples", "pears"}
    assert client.versions(client.collection("pears")) == {5: 60}
    assert story.client.versions(story.collection) == {3: RECORDS}
    story.client.write(story.collection, 2)
    untouched(host, story)


@pytest.mark.long
def test_another_fleets_in_another_region(host, story, snapshots, play):
    """With its bucket, its cell and its key, for this run only."""
    region, api, s3 = "eu-west-1", snapshots.api, snapshots.s3
    s3.create_bucket(Bucket="other-fleet", CreateBucketConfiguration={"LocationConstraint": region})
    for key in snapshots.keys(""):
        s3.copy({"Bucket": BUCKET, "Key": f"{snapshots.cell}/{key}"}, "other-fleet", f"elsewhere/{key}")
    api.client("secretsmanager", region).create_secret(Name="other", SecretString=json.dumps({"password": KEY}))
    source = {"bucket": "other-fleet", "cell": "elsewhere", "region": region, "secret": "other"}
    api.forget()
    done = play(
        snapshot_restore_id=story.first["id"],
        snapshot_restore_confirm="molecule",
        **{f"snapshot_restore_source_{name}": value for name, value in source.items()},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    asked = [call["region"] for call in api.calls() if call["operation"] == "GetSecretValue"]
    assert asked == [region]
    untouched(host, story, version=1)
    assert snapshots.now()["cell"] == snapshots.cell
    assert play(snapshot_restore_undo=True, snapshot_restore_confirm="molecule").returncode == 0
    assert play(snapshot_restore_discard_old=True).returncode == 0
    untouched(host, story)


@pytest.mark.long
def test_from_the_controller(host, story, play):
    done = play(snapshot_restore_id=story.first["id"], snapshot_restore_confirm="molecule")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "restore of the cell" in done.stdout
    untouched(host, story, version=1)
    done = play(snapshot_restore_undo=True, snapshot_restore_confirm="molecule")
    assert done.returncode == 0, done.stdout + done.stderr
    untouched(host, story)
    done = play(snapshot_restore_discard_old=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.run(f"ls -d {VOLUME}/data.before-*").rc != 0
