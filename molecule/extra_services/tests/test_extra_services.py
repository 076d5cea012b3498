"""The user's containers run confined, with their secrets as files, and go with the list."""

import json

import pytest


def inspect(host, name):
    return json.loads(host.check_output(f"docker container inspect extra-services-{name}"))[0]


def test_unit_is_enabled_and_active(host):
    unit = host.service("extra-services")
    assert unit.is_enabled
    assert unit.is_running


@pytest.mark.parametrize(("name", "user", "memory"), [("api", "10002:10002", 512), ("worker", "10003:10003", 256)])
def test_containers_are_confined(host, name, user, memory):
    container = inspect(host, name)
    limits = container["HostConfig"]
    assert container["State"]["Running"] is True
    assert container["Config"]["User"] == user
    assert "@sha256:" in container["Config"]["Image"]
    assert limits["ReadonlyRootfs"] is True
    assert limits["CapDrop"] == ["ALL"]
    assert limits["SecurityOpt"] == ["no-new-privileges:true"]
    assert limits["Memory"] == limits["MemorySwap"] == memory * 2**20
    assert limits["PidsLimit"] == 512
    assert limits["OomScoreAdj"] == 500
    assert limits["RestartPolicy"]["Name"] == "unless-stopped"


def test_service_is_reached_on_loopback_only(host):
    assert host.run("curl --silent --fail http://127.0.0.1:8100/api/v2/heartbeat").rc == 0
    address = host.interface("eth0").addresses[0]
    assert host.run(f"curl --silent --max-time 2 http://{address}:8100/api/v2/heartbeat").rc != 0


def test_healthcheck_is_asked(host):
    assert inspect(host, "api")["State"]["Health"]["Status"] == "healthy"


def test_secret_is_a_file_of_its_service_only(host):
    assert "molecule-secret" in host.check_output("docker exec extra-services-worker cat /run/secrets/redis_url")
    assert host.run("docker exec extra-services-api cat /run/secrets/redis_url").rc != 0
    file = host.file("/etc/extra-services/secrets/worker/redis_url")
    assert (file.uid, file.mode) == (10003, 0o400)
    found = host.run(
        "grep --recursive --files-with-matches --fixed-strings molecule-secret /etc /root /home /tmp /run /var/log /opt"
    )
    assert found.stdout.split() == ["/etc/extra-services/secrets/worker/redis_url"]


def test_secret_is_in_no_environment_and_no_argument(host):
    assert "molecule-secret" not in host.check_output("docker inspect extra-services-worker extra-services-api")
    # The pattern's own process doesn't match itself.
    found = host.run("grep --text --files-with-matches 'molecule-[s]ecret' /proc/[0-9]*/environ /proc/[0-9]*/cmdline")
    assert found.stdout == ""


def test_service_comes_back(host):
    pid = inspect(host, "worker")["State"]["Pid"]
    host.check_output(f"kill -9 {pid}")
    state = "docker inspect --format '{{.RestartCount}} {{.State.Running}}' extra-services-worker"
    host.check_output("timeout 60 sh -c %s", f"until {state} | grep --line-regexp '1 true'; do sleep 1; done")
