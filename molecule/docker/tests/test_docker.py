"""Docker runs with the configuration that the role wrote."""

import json

UPSTREAM = "docker-upstream"


def info(host, template):
    return host.check_output("docker info --format %s", "{{json " + template + "}}")


def test_service_is_enabled_and_running(host):
    docker = host.service("docker")
    assert docker.is_enabled
    assert docker.is_running


def test_running_daemon_uses_the_configuration(host):
    assert json.loads(info(host, ".LiveRestoreEnabled")) is True
    assert json.loads(info(host, ".LoggingDriver")) == "json-file"
    assert json.loads(info(host, ".DefaultAddressPools"))[0] == {"Base": "172.28.0.0/15", "Size": 24}


def test_log_rotation(host):
    daemon = json.loads(host.file("/etc/docker/daemon.json").content_string)
    assert daemon["log-opts"] == {"max-size": "10m", "max-file": "3"}
    assert daemon["userland-proxy"] is False
    assert daemon["no-new-privileges"] is True


def test_bridge_is_inside_the_pool(host):
    addresses = host.interface("docker0").addresses
    assert any(address.startswith(("172.28.", "172.29.")) for address in addresses)


def test_compose_answers_to_one_name_on_every_release(host):
    assert host.file("/usr/bin/docker-compose").exists
    assert host.run("docker-compose version").rc == 0


def test_nothing_of_docker_listens_on_the_network(host):
    assert not host.socket("tcp://2375").is_listening
    assert not host.socket("tcp://2376").is_listening


def test_packages_come_from_where_they_were_asked_for(host):
    upstream = host.backend.get_hostname() == UPSTREAM
    assert host.package("docker-ce").is_installed is upstream
    assert host.package("docker.io").is_installed is not upstream
    assert host.file("/etc/apt/sources.list.d/docker.sources").exists is upstream
    if upstream:
        # The repository has 28.3.3, too.
        assert host.package("docker-ce").version.startswith("5:26.1.5-")
        assert "Candidate: 5:26.1.5-" in host.check_output("apt-cache policy docker-ce")
