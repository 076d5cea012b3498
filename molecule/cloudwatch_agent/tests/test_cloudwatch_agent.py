"""The configuration is on every host; the agent runs with it where there is a package."""

import json

ETC = "/opt/aws/amazon-cloudwatch-agent/etc"


def has_package(host):
    return host.backend.get_pytest_id().endswith("debian13")


def test_configuration(host):
    file = host.file(f"{ETC}/amazon-cloudwatch-agent.json")
    assert (file.user, file.mode) == ("root", 0o644)
    config = json.loads(file.content_string)
    files = config["logs"]["logs_collected"]["files"]["collect_list"]
    assert {file["file_path"]: file["log_group_name"] for file in files} == {
        "/var/log/nginx/access.log": "/chromafleet/molecule/main/nginx",
        "/var/log/nginx/error.log": "/chromafleet/molecule/main/nginx",
        "/var/lib/docker/containers/*/*-json.log": "/chromafleet/molecule/main/chroma",
    }
    metrics = config["metrics"]
    assert metrics["namespace"] == "ChromaFleet"
    assert metrics["append_dimensions"] == {"InstanceId": "${aws:InstanceId}"}
    own = {"Fleet": "molecule", "Cell": "main", "Role": "writer"}
    assert [set(dimensions) for dimensions in metrics["aggregation_dimensions"]] == [{"InstanceId"}, set(own)]
    assert metrics["metrics_collected"]["mem"]["append_dimensions"] == own


def test_agent_runs_where_there_is_a_package(host):
    agent = host.service("amazon-cloudwatch-agent")
    assert host.package("amazon-cloudwatch-agent").is_installed is has_package(host)
    assert agent.is_running is has_package(host)
    if has_package(host):
        assert agent.is_enabled


def test_agent_uses_the_configuration_on_the_disk(host):
    """Also after a run that wrote it and was killed before the agent was restarted (side_effect.yml)."""
    if has_package(host):
        written = host.file(f"{ETC}/amazon-cloudwatch-agent.json").content_string
        assert host.file(f"{ETC}/amazon-cloudwatch-agent.toml").content_string == written
        assert json.loads(written)["agent"]["metrics_collection_interval"] == 30
