"""The server runs hardened, on its volume only, and keeps what it was given."""

import json

import pytest

DATA = "/var/lib/chromadb"
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
    assert limits["Memory"] > 0
    assert limits["PidsLimit"] == 4096
    assert limits["RestartPolicy"]["Name"] == "on-failure"
    assert config["StopTimeout"] == 120


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


def test_server_never_starts_without_its_volume(host):
    host.check_output("systemctl stop chromadb")
    # fstab may not help either: in real life the volume is not attached.
    host.check_output(f"mv /etc/fstab /etc/fstab.kept && systemctl daemon-reload && umount {DATA}")
    try:
        assert host.run("systemctl start chromadb").rc != 0
        assert host.run("docker start chromadb").rc != 0
        assert not host.file(f"{DATA}/data").exists
    finally:
        host.check_output(f"mv /etc/fstab.kept /etc/fstab && systemctl daemon-reload && mount {DATA}")
        host.check_output("systemctl start chromadb")
    wait_until_it_answers(host)
    assert call(host)[0]["name"] == "kept"
