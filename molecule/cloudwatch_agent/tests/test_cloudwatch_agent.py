"""The configuration is on every host; the agent runs with it where there is a package."""
import json

ETC = "/opt/aws/amazon-cloudwatch-agent/etc"


def has_package(host):
    return host.backend.get_pytest_id().endswith("debian13")


def test_configuration(host):
    file = host.file(f"{ETC}/amazon-cloudwatch-agent.json")
    assert (file.user, file.mode) == ("root", 0o644)
    config = json.loads(file.content_string)
    groups = {entry["file_path"]: entry["log_group_name"] for entry in config["logs"]["logs_collected"]["files"]["collect_list"]}
    assert groups == {
        "/var/log/nginx/access.log": "/chromafleet/molecule/main/nginx",
        "/var/log/nginx/error.log": "/chromafleet/molecule/main/nginx",
        "/var/lib/docker/containers/*/*-json.log": "/chromafleet/molecule/main/chroma",
    }
    metrics = config["metrics"]
    assert metrics["namespace"] == "ChromaFleet"
    assert metrics["append_dimensions"] == {"InstanceId": "${aws:InstanceId}"}
    assert [sorted(dimensions) for dimensions in metrics["aggregation_dimensions"]] == [["InstanceId"], ["Cell", "Fleet", "Role"]]
    assert metrics["metrics_collected"]["mem"]["append_dimensions"] == {"Fleet": "molecule", "Cell": "main", "Role": "writer"}


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
