"""The server runs hardened, on its volume only, and keeps what it was given."""

import json
import re

import pytest

DATA = "/var/lib/chromadb"
TOOLS = "/usr/local/lib/chromafleet/chromadb"
SERVE = f"python3 {TOOLS}/serve.py --volume {DATA} --data {DATA}/data --compose /etc/chromadb/compose.yaml --grace 5"
# Writes a holder's page as the holder does, in place and past the page cache.
MARK = "python3 /root/mark.py"
# The CloudWatch agent, as far as the tests need it.
LISTEN = """
import socket
agent = socket.socket(type=socket.SOCK_DGRAM)
agent.bind(("127.0.0.1", 8125))
while True:
    print(agent.recv(9999).decode(), flush=True)
"""
HEARTBEAT = "http://127.0.0.1:8000/api/v2/heartbeat"
API = "http://127.0.0.1:8000/api/v2/tenants/default_tenant/databases/default_database/collections"


def inspect(host):
    return json.loads(host.check_output("docker container inspect chromadb"))[0]


def call(host, path="", body=None):
    """One request of the API, made on the host."""
    data = f"--header 'Content-Type: application/json' --data '{json.dumps(body)}'" if body else ""
    return json.loads(host.check_output(f"curl --silent --show-error --fail {data} {API}{path}"))


def wait_until(host, command):
    host.check_output("timeout 60 sh -c %s", f"until {command}; do sleep 1; done")


def journal(host):
    return host.check_output("journalctl --unit chromadb --lines 30 --output cat --no-pager")


def wait_until_it_answers(host):
    wait_until(host, f"curl --silent --fail {HEARTBEAT}")


def test_unit_is_enabled_and_active(host):
    unit = host.service("chromadb")
    assert unit.is_enabled
    assert unit.is_running


def test_image_is_pinned_by_digest(host):
    image = json.loads(host.file("/etc/ansible/facts.d/molecule.fact").content_string)["image"]
    assert inspect(host)["Config"]["Image"] == image
    assert "@sha256:" in image


def test_container_is_confined(host):
    container = inspect(host)
    config, limits = container["Config"], container["HostConfig"]
    assert config["User"] == "10001:10001"
    assert limits["ReadonlyRootfs"] is True
    assert limits["CapDrop"] == ["ALL"]
    assert limits["SecurityOpt"] == ["no-new-privileges:true"]
    assert limits["PidsLimit"] == 4096
    # systemd starts it again, after a look at the data.
    assert limits["RestartPolicy"]["Name"] == "no"
    assert config["StopTimeout"] == 120


def test_limits_hold_in_the_container(host):
    """As the kernel has them for the server's own process, not only as they were asked for."""
    process = int(host.check_output("pgrep --oldest --exact chroma || pgrep --oldest --full 'chroma run'"))
    limits = dict(re.findall(r"^(Max [a-z ]+?) {2,}(\S+)", host.file(f"/proc/{process}/limits").content_string, re.M))
    volume = int(host.check_output("blockdev --getsize64 /dev/chroma-data"))
    assert limits["Max file size"] == str(int(volume * 0.9))
    assert limits["Max open files"] == "16384"
    status = host.file(f"/proc/{process}/status").content_string
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    assert "Uid:\t10001\t10001" in status
    wanted = inspect(host)["HostConfig"]
    total = 1024 * int(re.search(r"^MemTotal: +(\d+) kB", host.file("/proc/meminfo").content_string, re.M)[1])
    assert 0 < wanted["Memory"] <= total - 768 * 2**20
    assert wanted["MemorySwap"] == wanted["Memory"]
    groups = f"find /sys/fs/cgroup -path '*{inspect(host)['Id']}*'"
    files = host.check_output(f"{groups} '(' -name memory.max -o -name memory.limit_in_bytes -o -name pids.max ')'")
    values = {host.file(path).content_string.strip() for path in files.split()}
    assert values == {str(wanted["Memory"]), "4096"}
    mounts = host.check_output("docker exec chromadb cat /proc/mounts")
    assert re.search(r"^tmpfs /tmp tmpfs \S*noexec\S*size=262144k", mounts, re.M), mounts


def test_server_is_reached_on_loopback_only(host):
    assert host.run("curl --silent --fail http://127.0.0.1:8000/api/v2/heartbeat").rc == 0
    address = host.interface("eth0").addresses[0]
    assert host.run(f"curl --silent --max-time 2 http://{address}:8000/api/v2/heartbeat").rc != 0


def test_container_reports_itself_healthy_without_curl(host):
    wait_until(host, "docker inspect --format {{.State.Health.Status}} chromadb | grep --line-regexp healthy")


def test_data_lies_on_the_volume(host):
    mount = host.mount_point(DATA)
    assert mount.exists
    assert mount.filesystem == "xfs"
    assert {"nodev", "nosuid", "noexec", "noatime"} <= set(mount.options)
    data = host.file(f"{DATA}/data")
    assert (data.uid, data.gid, data.mode) == (10001, 10001, 0o700)
    assert host.file(f"{DATA}/data/chroma.sqlite3").exists


def test_configuration_is_in_use(host):
    log = host.run("docker logs chromadb")
    assert "collections_with_segments_provider" in log.stdout + log.stderr


@pytest.mark.parametrize("secret", ["molecule-password", "bW9sZWN1bGUtcGFzc3dvcmQ", "QVdTOm1vbGVjdWxlLXBhc3N3b3Jk"])
def test_password_of_the_registry_stays_nowhere(host, secret):
    """Plain, and in the forms that docker would write into its config.json."""
    places = "/etc /root /home /tmp /run /var/log /var/tmp /opt"
    found = host.run(f"grep --recursive --files-with-matches --fixed-strings -e {secret} {places}")
    assert found.stdout == ""
    assert not host.file("/root/.docker/config.json").exists


def test_answers_survive_a_restart(host):
    collection = call(host, body={"name": "kept", "get_or_create": True})["id"]
    records = {"ids": ["a", "b"], "embeddings": [[1, 0], [0, 1]], "documents": ["first", "second"]}
    call(host, f"/{collection}/upsert", records)
    host.check_output("systemctl restart chromadb")
    wait_until_it_answers(host)
    question = {"query_embeddings": [[0.9, 0.1]], "n_results": 1, "include": ["documents"]}
    answer = call(host, f"/{collection}/query", question)
    assert answer["documents"] == [["first"]]


def test_container_cannot_be_started_around_the_unit(host):
    """`docker start` would skip the lock and the check."""
    host.check_output("systemctl stop chromadb")
    refused = host.run("docker start chromadb")
    assert refused.rc != 0
    assert "/run/chromafleet/chromadb" in refused.stderr
    host.check_output("systemctl start chromadb")
    wait_until_it_answers(host)


def test_second_server_on_the_directory_is_refused(host):
    again = host.run(f"{SERVE}")
    assert again.rc == 1
    assert f"{DATA} is held by another process of this host" in again.stderr
    assert host.service("chromadb").is_running


def test_server_by_hand_on_the_directory_keeps_ours_from_starting(host):
    """No lock can keep `docker run` from it, but two of them never write: ours waits, then refuses."""
    image = inspect(host)["Config"]["Image"]
    host.check_output("systemctl stop chromadb")
    host.check_output(f"docker run --detach --rm --name byhand --user 10001 --volume {DATA}/data:/data {image}")
    try:
        wait_until(
            host, f"find /proc/[0-9]*/fd -lname {DATA}/data/chroma.sqlite3 -o -lname /data/chroma.sqlite3 | grep ."
        )
        assert host.run("systemctl start chromadb").rc != 0
        assert "chroma.sqlite3 is open in" in journal(host)
        probe = host.run("systemctl start chromadb-probe")
        assert probe.rc != 0
        faults = json.loads(host.file("/run/chromafleet/probe.json").content_string)["faults"]
        assert f"the container byhand has {DATA}/data too" in faults
    finally:
        host.check_output("docker stop byhand")
        host.check_output("systemctl start chromadb")
    wait_until_it_answers(host)


def test_volume_that_another_host_marks_is_refused(host):
    """The other host is played by a loop that marks the volume as its holder does."""
    mark = f"{MARK} {DATA}/holder other-machine/other-boot"
    collection, _ = fill(host, "doubtful")
    host.check_output("systemctl stop chromadb")
    host.check_output(f"systemd-run --unit other-host sh -c 'i=0; while i=$((i + 1)); do {mark} $i; sleep 0.5; done'")
    try:
        wait_until(host, f"grep --quiet other-machine {DATA}/holder")
        refused = host.run(SERVE)
        assert refused.rc == 1
        assert f"{DATA} is held by the host other-machine/other-boot" in refused.stderr
    finally:
        host.check_output("systemctl stop other-host")
    # The other host is gone without a word: its mark stays as it is, and the volume is taken.
    assert "other-machine" in host.check_output(f"cat {DATA}/holder")
    host.check_output("systemctl start chromadb")
    wait_until_it_answers(host)
    # What it had in its memory only is not there.
    assert re.search("Recovered: collection doubtful, .*the host that wrote it failed.* was made anew", journal(host))
    assert len(call(host, f"/{collection}/get", {"include": ["embeddings"]})["embeddings"]) == 1100
    # Should it come back to life, ours ends at once.
    host.check_output(f"{mark} 1")
    wait_until(host, "journalctl --unit chromadb --output cat --no-pager | grep --quiet 'was taken by another host'")
    wait_until_it_answers(host)


def test_network_file_system_is_refused(host):
    host.check_output("mkdir -p /mnt/shared && mount -t tmpfs none /mnt/shared")
    try:
        refused = host.run(SERVE.replace(DATA, "/mnt/shared"))
        assert refused.rc == 3
        assert "/mnt/shared is a file system of the type tmpfs" in refused.stderr
    finally:
        host.check_output("umount /mnt/shared")


def test_crash_is_followed_by_a_check_and_a_start(host):
    pid = host.service("chromadb").systemd_properties["MainPID"]
    host.check_output("docker kill --signal KILL chromadb")
    wait_until(
        host, f"systemctl show --property MainPID --value chromadb | grep --invert-match --line-regexp '0\\|{pid}'"
    )
    wait_until_it_answers(host)
    said = journal(host)
    assert "The container has ended: code 137" in said
    assert said.rindex("is whole") > said.rindex("The container has ended")


def test_restart_of_docker_leaves_the_server_alone(host):
    before = inspect(host)["State"]["StartedAt"]
    host.check_output("systemctl restart docker")
    wait_until_it_answers(host)
    assert inspect(host)["State"]["StartedAt"] == before
    assert host.service("chromadb").is_running


def fill(host, name, count=1100):
    """A collection whose vectors are in files; it is removed first."""
    host.run(f"curl --silent --request DELETE {API}/{name}")
    collection = call(host, body={"name": name})["id"]
    body = {"ids": [f"r{i}" for i in range(count)], "embeddings": [[i % 7, i % 11, 1] for i in range(count)]}
    call(host, f"/{collection}/upsert", body)
    query = "SELECT id FROM segments WHERE scope = 'VECTOR' AND collection = ?"
    ask = f"database.read(Path('{DATA}/data'), \"{query}\", ('{collection}',))[0][0]"
    program = f"import sys; sys.path.append('{TOOLS}'); import database; from pathlib import Path; print({ask})"
    segment = host.check_output("python3 -c %s", program)
    wait_until(host, f"test -s {DATA}/data/{segment}/index_metadata.pickle")
    return collection, f"{DATA}/data/{segment}"


def sql(host, statement):
    """Run a statement in Chroma's database."""
    program = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1], 30); print(*d.execute(sys.argv[2])); d.commit()"
    return host.check_output("python3 -c %s %s %s", program, f"{DATA}/data/chroma.sqlite3", statement)


def purge(host, collection):
    """As a server without this role does it, for a collection whose vectors are in files."""
    topic = f"topic LIKE '%{collection}'"
    last = f"(SELECT max(seq_id) FROM embeddings_queue WHERE {topic})"  # noqa: S608 - an id of the test's own
    sql(host, f"DELETE FROM embeddings_queue WHERE {topic} AND seq_id < {last}")  # noqa: S608


def test_queue_is_left_to_the_checkpoints(host):
    """Also where the server itself made the tables."""
    assert '"automatically_purge": false' in sql(host, "SELECT config_json_str FROM embeddings_queue_config")


def test_checkpoint_timer_makes_and_keeps_checkpoints(host):
    timer = host.service("chromadb-checkpoint.timer")
    assert timer.is_enabled
    assert timer.is_running
    fill(host, "checked")
    by_hand = f"python3 {TOOLS}/checkpoint.py --data {DATA}/data --checkpoints {DATA}/checkpoints"
    made = json.loads(host.check_output(f"{by_hand} --while-fenced sh -c 'ls $CHECKPOINT'"))
    assert host.file(f"{made['path']}/chroma.sqlite3").exists
    # The job, which is not root, removes what root made.
    for _ in range(2):
        host.check_output("systemctl start chromadb-checkpoint")
    found = host.file(f"{DATA}/checkpoints").listdir()
    assert len(found) == 2
    assert made["id"] not in found
    assert host.file(f"{DATA}/checkpoints/{found[0]}").user == "chromadb"
    assert "records of the queue were purged" in host.check_output(
        "journalctl --unit chromadb-checkpoint --output cat --no-pager"
    )
    # XFS shares the blocks.
    shared = f"cp --reflink=always {DATA}/data/chroma.sqlite3 {DATA}/checkpoints/{found[0]}/shared"
    host.check_output(f"{shared} && rm {DATA}/checkpoints/{found[0]}/shared")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("rm -r {}", "its directory is missing"),
        ("rm {}/index_metadata.pickle", "index_metadata.pickle is missing"),
        ("truncate --size 5000 {}/data_level0.bin", "data_level0.bin has 5000 bytes"),
    ],
    ids=["directory", "pickle", "vectors"],
)
def test_torn_segment_is_recovered_before_it_is_served(host, damage, sentence):
    """Each is a damage that the server would serve, with 200 on its health check."""
    collection, segment = fill(host, "torn")
    host.check_output("systemctl start chromadb-checkpoint")
    later = {"ids": [f"r{i}" for i in range(1000, 2200)], "embeddings": [[i, 2, 2] for i in range(1000, 2200)]}
    call(host, f"/{collection}/upsert", later)
    call(host, f"/{collection}/delete", {"ids": ["r0", "r2100"]})
    host.check_output(f"systemctl stop chromadb && {damage.format(segment)} && systemctl start chromadb")
    wait_until_it_answers(host)
    said = journal(host)
    assert (
        f"collection torn (tenant default_tenant, database default_database), segment {segment.split('/')[-1]}" in said
    )
    assert sentence in said
    assert "was taken from checkpoint" in said
    got = call(host, f"/{collection}/get", {"include": ["embeddings"]})
    wanted = {f"r{i}": [i % 7, i % 11, 1] for i in range(1, 1000)} | dict(
        zip(later["ids"], later["embeddings"], strict=True)
    )
    del wanted["r2100"]
    assert dict(zip(got["ids"], got["embeddings"], strict=True)) == wanted
    told = json.loads(host.file("/run/chromafleet/recovery.json").content_string)
    assert told[-1]["collection"] == "torn"
    assert sentence in told[-1]["damage"]
    assert re.search(
        r"SegmentsRecovered:[1-9]\d*\|g\|#Fleet:test,Cell:main",
        metrics_of(host, "systemctl start chromadb-probe", "SegmentsRecovered:[1-9]"),
    )


def metrics_of(host, command, name):
    """What a command sends to the CloudWatch agent of the metric `name`, among what others send meanwhile."""
    host.run("systemctl stop agent chromadb-probe.timer")
    host.check_output("rm -f /root/metrics")
    host.check_output("systemd-run --unit agent --property StandardOutput=file:/root/metrics python3 -c %s", LISTEN)
    try:
        wait_until(host, "ss --udp --listening --numeric | grep --quiet 127.0.0.1:8125")
        host.run(command)
        wait_until(host, f"grep --quiet {name} /root/metrics")
    finally:
        host.run("systemctl stop agent; systemctl start chromadb-probe.timer")
    return host.file("/root/metrics").content_string


def test_checkpoint_of_a_torn_directory_is_a_metric(host):
    _, segment = fill(host, "torn")
    host.check_output(f"cp -a {segment} /root/kept && truncate --size 5000 {segment}/data_level0.bin")
    before = host.file(f"{DATA}/checkpoints").listdir()
    try:
        assert "CheckpointFailed:1|g|#Fleet:test,Cell:main" in metrics_of(
            host, "systemctl start chromadb-checkpoint", "CheckpointFailed:1"
        )
        assert host.file(f"{DATA}/checkpoints").listdir() == before
    finally:
        host.check_output(f"systemctl stop chromadb && rm -rf {segment} && mv /root/kept {segment}")
        host.check_output("systemctl start chromadb")
    wait_until_it_answers(host)


def test_torn_segment_that_nothing_brings_back_is_refused(host):
    collection, segment = fill(host, "torn")
    host.check_output("systemctl stop chromadb")
    purge(host, collection)
    host.check_output(f"cp -a {segment} /root/kept && truncate --size 5000 {segment}/data_level0.bin")
    assert host.run("systemctl start chromadb").rc != 0
    status = host.check_output("systemctl show --property StatusText,ActiveState,NRestarts chromadb")
    assert "collection torn (tenant default_tenant, database default_database), segment" in status
    assert "data_level0.bin has 5000 bytes" in status
    assert "restore the data from the newest snapshot" in status
    assert "the queue alone lacks 1099 records" in status
    # What a person has to see to isn't tried again and again.
    assert "ActiveState=failed" in status
    assert host.run(f"curl --silent --fail {HEARTBEAT}").rc != 0
    host.check_output(f"rm -rf {segment} && mv /root/kept {segment} && systemctl start chromadb")
    wait_until_it_answers(host)
    host.check_output("systemctl start chromadb-checkpoint")


def test_deep_probe_reads_embeddings_back(host):
    assert host.service("chromadb-probe.timer").is_enabled
    assert host.service("chromadb-probe.timer").is_running
    host.check_output("systemctl start chromadb-probe")
    result = host.file("/run/chromafleet/probe.json")
    assert json.loads(result.content_string)["faults"] == []
    assert json.loads(result.content_string)["failed"] is False
    assert result.mode & 0o444 == 0o444


def test_deep_probe_finds_what_the_server_hides(host):
    """The vectors go behind the server's back, before it has read them: it counts on, and calls itself healthy."""
    host.check_output("systemctl stop chromadb-probe.timer")
    collection, segment = fill(host, "probed")
    host.check_output("systemctl restart chromadb")
    wait_until_it_answers(host)
    # From a queue that has everything the server would make the vectors anew.
    purge(host, collection)
    host.check_output(f"mv {segment} /root/kept")
    assert host.run(f"curl --silent --fail {HEARTBEAT.replace('heartbeat', 'healthcheck')}").rc == 0
    probe = f"python3 {TOOLS}/probe.py --data {DATA}/data --port 8000 --collections 100 --seconds 60"
    try:
        sent = metrics_of(
            host, f"{probe} --result /root/probe.json --tags Fleet:test,Cell:main >/root/said 2>&1", "DeepProbeFailed:1"
        )
        said = host.file("/root/said").content_string
        assert "collection probed (tenant default_tenant, database default_database): " in said
        assert json.loads(host.file("/root/probe.json").content_string)["failed"] is True
        assert "DeepProbeFailed:1|g|#Fleet:test,Cell:main" in sent
        unit = host.file("/etc/systemd/system/chromadb-probe.service").content_string
        assert "--tags Fleet:test,Cell:main" in unit
    finally:
        host.check_output(f"systemctl stop chromadb && rm -rf {segment} && mv /root/kept {segment}")
        host.check_output("systemctl start chromadb chromadb-probe.timer")
    wait_until_it_answers(host)


def test_sweep_removes_what_deleted_collections_left(host):
    _, kept = fill(host, "swept-not")
    _, left = fill(host, "swept")
    host.check_output(f"curl --silent --fail --request DELETE {API}/swept")
    sweep = f"python3 {TOOLS}/sweep.py --data {DATA}/data --age"
    # Too young, then only told, then done.
    host.check_output("systemctl start chromadb-sweep")
    assert "records are in the queue" in host.check_output("journalctl --unit chromadb-sweep --output cat --no-pager")
    assert host.service("chromadb-sweep.timer").is_enabled
    assert host.file(left).exists
    assert f"Would remove {left}" in host.check_output(f"{sweep} 0 --dry-run")
    assert host.file(left).exists
    assert f"Removed {left}" in host.check_output(f"{sweep} 0")
    assert not host.file(left).exists
    assert host.file(f"{kept}/index_metadata.pickle").exists


def test_vacuum_gives_pages_back_beside_the_running_server(host):
    assert not host.service("chromadb-vacuum.timer").is_enabled
    collection, _ = fill(host, "vacuumed", count=3000)
    size = host.file(f"{DATA}/data/chroma.sqlite3").size
    call(host, f"/{collection}/delete", {"ids": [f"r{i}" for i in range(2900)]})
    # The queue has them all, until no checkpoint needs it.
    for _ in range(2):
        host.check_output("systemctl start chromadb-checkpoint")
    host.check_output("systemctl start chromadb-vacuum")
    assert "bytes were given back" in host.check_output("journalctl --unit chromadb-vacuum --output cat --no-pager")
    assert host.file(f"{DATA}/data/chroma.sqlite3").size < size
    assert len(call(host, f"/{collection}/get", {"include": ["embeddings"]})["embeddings"]) == 100


@pytest.mark.parametrize("mixed", [False, True], ids=["adds", "mixed"])
def test_killed_under_load_nothing_is_silently_lost(host, mixed):
    """Two kills of the server's process and of its container; tests/soak does fifty of each."""
    load = host.check_output(
        f"python3 /root/load.py --kills 2 --threshold 300 {'--mixed' if mixed else ''} --base {API}"
    )
    result = json.loads(load.splitlines()[-1])
    assert result["kills"] == 2
    assert result["lost"] == result["wrong"] == result["refused"] == 0
    assert result["acknowledged"] > 150


def test_server_never_starts_without_its_volume(host):
    # A kill of the test before may have torn the directory, which was wiped then.
    call(host, body={"name": "kept", "get_or_create": True})
    host.check_output("systemctl stop chromadb")
    # fstab may not help either: in real life the volume is not attached.
    host.check_output(f"mv /etc/fstab /etc/fstab.kept && systemctl daemon-reload && umount {DATA}")
    try:
        assert host.run("systemctl start chromadb").rc != 0
        assert host.run("docker start chromadb").rc != 0
        assert not host.file(f"{DATA}/data").exists
        assert f"{DATA} is no mount point" in journal(host)
    finally:
        host.check_output(f"mv /etc/fstab.kept /etc/fstab && systemctl daemon-reload && mount {DATA}")
        host.check_output("systemctl start chromadb")
    wait_until_it_answers(host)
    assert "kept" in [collection["name"] for collection in call(host)]
