"""Both hosts run the agent with the configuration on their disk: the image's own, and one from a signed package."""

import json

ETC = "/opt/aws/amazon-cloudwatch-agent/etc"
GROUPS = "/chromafleet/molecule/main"


def downloads(host):
    return host.backend.get_pytest_id().endswith("debian13")


def config_of(host):
    return json.loads(host.file(f"{ETC}/amazon-cloudwatch-agent.json").content_string)


def test_logs(host):
    file = host.file(f"{ETC}/amazon-cloudwatch-agent.json")
    assert (file.user, file.mode) == ("root", 0o644)
    logs = config_of(host)["logs"]["logs_collected"]
    assert {file["file_path"]: file["log_group_name"] for file in logs["files"]["collect_list"]} == {
        "/var/log/nginx/access.log": f"{GROUPS}/nginx",
        "/var/log/nginx/error.log": f"{GROUPS}/nginx",
        "/var/lib/docker/containers/*/*-json.log": f"{GROUPS}/chroma",
        "/var/log/cloud-init.log": f"{GROUPS}/system",
        "/var/log/cloud-init-output.log": f"{GROUPS}/system",
    }
    units, kernel = logs["journald"]["collect_list"]
    assert units["log_group_name"] == kernel["log_group_name"] == f"{GROUPS}/system"
    assert {"docker.service", "chromadb*.service", "nginx.service", "own.service"} <= set(units["units"])
    assert kernel["matches"] == [{"_TRANSPORT": "kernel"}]


def test_metrics(host):
    metrics = config_of(host)["metrics"]
    assert metrics["namespace"] == "ChromaFleet"
    assert metrics["append_dimensions"] == {"InstanceId": "${aws:InstanceId}"}
    assert metrics["aggregation_dimensions"] == [["Fleet", "Cell"], ["Fleet", "Cell", "Role"]]
    own = {"Fleet": "molecule", "Cell": "main", "Role": "writer", "AZ": "eu-central-1a"}
    assert metrics["metrics_collected"]["mem"]["append_dimensions"] == own
    assert [process["exe"] for process in metrics["metrics_collected"]["procstat"]] == ["nginx", "chroma", "dockerd"]


def test_what_the_agent_listens_on(host):
    """StatsD for the host itself; OTLP for its containers, where it is wanted; nothing for anybody else."""
    assert host.socket("udp://127.0.0.1:8125").is_listening
    assert not host.socket("udp://0.0.0.0:8125").is_listening
    assert host.socket("tcp://172.28.0.1:4317").is_listening is downloads(host)
    assert ("traces" in config_of(host)) is downloads(host)
    assert not host.socket("tcp://0.0.0.0:4317").is_listening


def test_agent_runs_at_boot_and_within_its_bounds(host):
    agent = host.service("amazon-cloudwatch-agent")
    assert agent.is_running
    assert agent.is_enabled
    shown = host.check_output(
        "systemctl show -p MemoryMax,CPUQuotaPerSecUSec,Environment,After amazon-cloudwatch-agent"
    )
    bounds = dict(line.split("=", 1) for line in shown.splitlines())
    assert (bounds["MemoryMax"], bounds["CPUQuotaPerSecUSec"]) == (str(384 * 1024**2), "500ms")
    assert bounds["Environment"] == "GOMEMLIMIT=288MiB"
    assert "docker.service" in bounds["After"].split()


def test_only_a_host_that_is_told_a_package_downloads(host):
    # What was refused is gone.
    packages = host.file("/var/cache/apt/archives").listdir()
    assert len(
        [name for name in packages if name.startswith("amazon-cloudwatch-agent-") and name.endswith(".deb")]
    ) == downloads(host)


def test_agent_uses_the_configuration_on_the_disk(host):
    """Also after a run that wrote it and was killed before the agent was restarted (side_effect.yml)."""
    written = host.file(f"{ETC}/amazon-cloudwatch-agent.json").content_string
    assert host.file(f"{ETC}/amazon-cloudwatch-agent.toml").content_string == written
    assert json.loads(written)["agent"]["metrics_collection_interval"] == (30 if downloads(host) else 60)
