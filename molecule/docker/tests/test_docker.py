"""Docker runs with the configuration that the role wrote."""

import json


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


def test_bridge_is_inside_the_pool(host):
    addresses = host.interface("docker0").addresses
    assert any(address.startswith(("172.28.", "172.29.")) for address in addresses)


def test_compose_answers_to_one_name_on_every_release(host):
    assert host.file("/usr/bin/docker-compose").exists
    assert host.run("docker-compose version").rc == 0


def test_nothing_of_docker_listens_on_the_network(host):
    assert not host.socket("tcp://2375").is_listening
    assert not host.socket("tcp://2376").is_listening
