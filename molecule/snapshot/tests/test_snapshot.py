"""A snapshot holds every acknowledged write, nothing broken is ever published, and serving goes on whatever happens."""

import contextlib
import json
import time

import pytest
from published import KEY, SECRET

COLLECTIONS = "https://127.0.0.1/api/v2/tenants/default_tenant/databases/default_database/collections"
TOKEN = "molecule-admin-0123456789abcdef"
CURL = f"curl --silent --show-error --fail --insecure --max-time 20 --header 'Authorization: Bearer {TOKEN}'"
WORK = "/var/lib/chromadb/snapshot"


def serves(host):
    """A write and a read through nginx."""
    body = json.dumps({"name": "serving", "get_or_create": True})
    collection = json.loads(
        host.check_output(f"{CURL} --header 'Content-Type: application/json' --data '{body}' {COLLECTIONS}")
    )
    assert host.check_output(f"{CURL} {COLLECTIONS}/{collection['id']}/count") == "0"


def test_units(host):
    """On demand only, as this scenario asks for it; the age is reported all the same."""
    assert host.service("chromafleet-snapshot-report.timer").is_enabled
    assert host.service("chromafleet-snapshot-report.timer").is_running
    assert not host.service("chromafleet-snapshot.timer").is_enabled


def test_age_is_told_before_there_is_any(host, snapshots):
    host.check_output("rm -f /var/lib/chromafleet/snapshot.json")
    told = snapshots.metrics()
    assert told["SnapshotAgeSeconds"][0] > 0
    value, tags = told["SnapshotFailed"]
    assert (value, sorted(tags.split(","))) == (0, ["Cell:main", "Fleet:molecule"])


def test_every_acknowledged_write_is_in_it(host, snapshots):
    """Two clients write, change and delete through nginx meanwhile."""
    host.check_output("rm -f /srv/writes.log")
    host.check_output("setsid python3 /srv/writes.py --log /srv/writes.log --seconds 16 >/srv/writes.out 2>&1 &")
    host.check_output("timeout 30 sh -c 'until grep -q acknowledged /srv/writes.log; do sleep 0.1; done; sleep 5'")
    before = float(host.check_output("date +%s.%N"))
    record = snapshots.now()
    host.check_output("timeout 60 sh -c 'while pgrep -f [w]rites.py; do sleep 0.2; done'")
    assert host.file("/srv/writes.out").content_string == ""
    base = snapshots.restored(record)
    compared = json.loads(
        host.check_output(f"python3 /srv/writes.py --log /srv/writes.log --base {base} --before {before}")
    )
    host.check_output("docker rm --force restored; rm -rf /var/lib/chromadb/restored")
    assert compared["faults"] == []
    assert compared["sure"] > 500
    assert compared["read"] > 500


def test_record_tells_what_it_is(host, snapshots):
    record = snapshots.latest()
    assert json.loads(snapshots.get(f"snapshots/{record['id']}.json")) == record
    assert record["chroma"]["version"] == "1.5.9"
    assert (
        record["chroma"]["image"] == json.loads(host.file("/etc/ansible/facts.d/molecule.fact").content_string)["image"]
    )
    assert record["records"] == sum(collection["records"] for collection in record["collections"]) > 0
    assert "chroma.sqlite3" in record["files"]
    assert record["bytes"] == sum(file["bytes"] for file in record["files"].values())
    assert record["samples"] > 0
    assert (
        list(record["seconds"])
        == ["prepare", "copy", "prove", "upload", "read back", "publish"][: len(record["seconds"])]
    )
    told = snapshots.metrics()
    assert told["SnapshotFailed"][0] == 0
    assert told["SnapshotAgeSeconds"][0] < 300
    assert told["SnapshotSizeBytes"][0] == pytest.approx(record["bytes"], rel=1e-4)
    assert told["WriteFenceSeconds"][0] == pytest.approx(record["fenced_seconds"], rel=1e-3)


def test_a_new_host_knows_the_snapshot_of_the_one_before(host, snapshots):
    host.check_output("rm /var/lib/chromafleet/snapshot.json")
    assert snapshots.metrics()["SnapshotAgeSeconds"][0] < 600
    assert snapshots.status()["last"]["id"] == snapshots.latest()["id"]


def refused(host, snapshots, kind, during=contextlib.nullcontext, **changes):
    """An attempt that must fail: what was published stays, the metric tells, serving goes on; the sentence."""
    before = snapshots.get("latest.json")
    with during():
        code, said, state = snapshots.take(**changes)
    assert (code, state["state"], state.get("kind")) == (1, "failed", kind), said
    assert snapshots.get("latest.json") == before
    assert f"The newest one is still {json.loads(before)['id']}. Serving goes on." in said
    assert not host.file(WORK).exists
    assert snapshots.metrics()["SnapshotFailed"][0] == 1
    serves(host)
    return state["error"]


@pytest.mark.parametrize("damage", ["truncated", "pickle", "segment", "records"])
def test_damaged_copy_is_refused(host, snapshots, damage):
    """Damaged between the copy and its proof; the server would serve it, its counts and queries too."""
    sabotaged = ["/usr/bin/python3", "/srv/sabotage.py", damage, *snapshots.settings["checkpoint"]]
    said = refused(host, snapshots, "broken-copy", checkpoint=sabotaged)
    assert "collection " in said
    host.check_output("rm -rf /var/lib/chromadb/sabotaged")


def test_flipped_bits_in_the_repository_are_refused(host, snapshots):
    """In what an earlier snapshot has stored, and this one only refers to, as nothing was written since."""
    snapshots.now()
    # What of an earlier snapshot is still in use is known to restic only.
    with snapshots.flipped():
        said = refused(host, snapshots, "unreadable")
    assert "repair packs" in said


def test_unreachable(host, snapshots):
    said = refused(host, snapshots, "unreachable", endpoint_url="http://127.0.0.1:9")
    assert "can't be reached" in said
    assert "VPC endpoints" in said


@pytest.mark.parametrize(
    ("code", "kind"), [("ExpiredToken", "expired-credentials"), ("AccessDenied", "access-denied"), ("SlowDown", "slow")]
)
def test_refused_by_s3(host, snapshots, api, code, kind):
    @contextlib.contextmanager
    def injected():
        api.inject("s3", "GetObject", code, status=503 if kind == "slow" else 403, times=20)
        try:
            yield
        finally:
            api.heal()

    assert code in refused(host, snapshots, kind, injected)


def test_wrong_key(host, snapshots, api):
    secrets = api.client("secretsmanager")
    secrets.put_secret_value(SecretId=SECRET, SecretString=json.dumps({"password": "another-key"}))
    try:
        said = refused(host, snapshots, "wrong-key")
    finally:
        secrets.put_secret_value(SecretId=SECRET, SecretString=json.dumps({"password": KEY}))
    assert SECRET in said
    assert "another-key" not in said


def test_full_volume(host, snapshots):
    free = int(host.check_output("df --output=avail --block-size=1 /var/lib/chromadb | tail -n 1"))
    host.check_output(f"fallocate --length {free - (8 << 20)} /var/lib/chromadb/filler")
    try:
        said = refused(host, snapshots, "disk-full")
    finally:
        host.check_output("rm /var/lib/chromadb/filler")
    assert "enlarge" in said


def killed(host, step):
    """Begin a snapshot and kill -9 everything of it in this step; whether it was not over before."""
    file = "/var/lib/chromafleet/snapshot.json"
    host.check_output(f"rm -f {file}; systemctl reset-failed chromafleet-snapshot; true")
    host.check_output("systemctl start --no-block chromafleet-snapshot.service")
    # Some steps last a few milliseconds only.
    script = (
        f"until read -r line 2>/dev/null <{file} &&"
        f""" [[ $line == *'"step": "{step}"'* || $line == *'"state": "done"'* ]]; do :; done\n"""
        "systemctl kill --signal=KILL chromafleet-snapshot.service\n"
        "while systemctl is-active chromafleet-snapshot | grep -qE '^(de)?activ'; do sleep 0.1; done\n"
        "systemctl is-failed chromafleet-snapshot || true"
    )
    return host.check_output("timeout 60 bash -c %s", script) == "failed"


@pytest.mark.parametrize("step", ["prepare", "copy", "prove", "upload", "read back", "publish", "retain"])
def test_killed_in_a_step(host, snapshots, step):
    """kill -9 of everything; nothing is left, and writes don't wait."""
    for _ in range(5):
        before = snapshots.latest()["id"]
        if killed(host, step):
            break
    else:
        pytest.fail(f"the step {step} was over five times before it could be seen")
    began = time.monotonic()
    serves(host)
    assert time.monotonic() - began < 10
    assert host.run("docker container inspect chromadb-proof").rc != 0
    assert not host.file(WORK).exists
    if step not in ("publish", "retain"):
        assert snapshots.latest()["id"] == before
    assert snapshots.metrics()["SnapshotFailed"][0] == 1


def test_after_all_of_this_there_is_a_snapshot(host, snapshots):
    """Made with all others let go, and with the data of failed attempts."""
    before = snapshots.keys("snapshots/")
    code, said, state = snapshots.take(keep={"last": 1}, prune_interval=0)
    assert code == 0, said
    assert state["state"] == "done"
    record = snapshots.latest()
    assert len(before) >= 1
    assert snapshots.keys("snapshots/") == [f"snapshots/{record['id']}.json"]
    held = json.loads(host.check_output("chromafleet-snapshot restic --json snapshots"))
    assert [one["id"] for one in held] == [record["restic_snapshot"]]
    host.check_output("chromafleet-snapshot restic check --read-data --quiet")
    assert snapshots.keys("restic/locks/") == []
    assert snapshots.metrics()["SnapshotFailed"][0] == 0


def test_key_stays_nowhere(host, snapshots):
    """Not in the arguments or the environment of a process while it is in use, in no file, not in the journal."""
    watch = (
        "import glob, subprocess, sys\n"
        "made = subprocess.Popen(['chromafleet-snapshot', 'take'], stdout=subprocess.DEVNULL)\n"
        "seen = 0\n"
        "while made.poll() is None:\n"
        "    for name in glob.glob('/proc/[0-9]*/cmdline') + glob.glob('/proc/[0-9]*/environ'):\n"
        "        try:\n"
        "            text = open(name, 'rb').read()\n"
        "        except OSError:\n"
        "            continue\n"
        "        seen += b'restic' in text\n"
        f"        if {KEY[:14]!r}.encode() + {KEY[14:]!r}.encode() in text:\n"
        "            sys.exit(f'{name}: {text}')\n"
        "print(seen)\n"
    )
    assert int(host.check_output("python3 -c %s", watch)) > 0
    places = "/etc /root /home /tmp /run /var/log /var/tmp /var/cache /var/lib/chromafleet /var/lib/chromadb /usr/local"
    assert host.run(f"grep --recursive --files-with-matches --fixed-strings -e {KEY} {places}").stdout == ""
    assert KEY not in host.check_output("journalctl --no-pager --output cat")
