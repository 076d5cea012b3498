"""What alarms and dashboard read is what hosts send: the agent, senders and Chroma, as docs/metrics.md lists it."""

from __future__ import annotations

import ipaddress
import json
import re

import pytest
import yaml
from ansible_runs import ROOT, run_ansible
from test_aws_observability import ACCOUNT, REGION, WHOLE

DOCS = (ROOT / "docs/metrics.md").read_text()
ROWS = re.findall(r"^\| (\w+) \| (c|g|ms) \| (.+) \|$", DOCS, re.M)
BY_STATSD = {name: (kind, sender) for name, kind, sender in ROWS}
BY_OTLP = set(re.search(r"```\n(.+?)```", DOCS, re.S)[1].split())
COMMON = yaml.safe_load((ROOT / "group_vars/common.yml").read_text())
HOSTS = {
    "writer": {"ec2_tags": {"chromafleet:role": "writer"}, "ec2_placement": {"availability_zone": "us-east-1b"}},
    "traced": {"fleet_traced": 0.5},
    "elsewhere": {"fleet_otlp": "http://otel.example.com:4317", "fleet_traced": 0.5},
    "nowhere": {"fleet_otlp": "none"},
}
WANTED = {
    "agent": "{{ cloudwatch_agent_config }}",
    "chroma": {"config": "{{ chromadb_config_extra }}", "environment": "{{ chromadb_environment }}"},
    "traces": "{{ aws_identity_traces }}",
    "nginx": "{{ nginx_metric_dimensions }}",
    **{kind: f"{{{{ __aws_observability_wanted_{kind} }}}}" for kind in ("alarms", "dashboards", "log_groups")},
}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    """What each host gets, and what alarms and dashboard are, with the shared variables of every inventory."""
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "group_vars").mkdir()
    observability = {f"aws_observability_{name}": value for name, value in WHOLE.items()}
    own = {"fleet_name": "demo", "fleet_region": REGION, "fleet_domain": "example.org", "ansible_connection": "local"}
    own |= {
        "aws_identity_account_id": ACCOUNT,
        "aws_identity_kms_key_arn": "",
        "aws_identity_partition": "aws",
        **observability,
    }
    (folder / "group_vars/all.yml").write_text(yaml.safe_dump({**COMMON, **own}))
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": HOSTS}}))
    roles = [
        {"ansible.builtin.include_role": {"name": f"chromafleet.aws.{role}", "tasks_from": "preflight", "public": True}}
        for role in ("aws_observability", "cloudwatch_agent")
    ]
    file = {"dest": f"{folder}/{{{{ inventory_hostname }}}}.json", "content": "{{ wanted | to_json }}"}
    tasks = [*roles, {"ansible.builtin.copy": file, "vars": {"wanted": WANTED}}]
    (folder / "play.yml").write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    process = run_ansible(folder / "play.yml", inventory=folder / "hosts.yml")
    assert process.returncode == 0, process.stdout + process.stderr
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in HOSTS}


@pytest.fixture(scope="module")
def writer(hosts):
    return hosts["writer"]


# --- What is sent ----------------------------------------------------------------------------------------------------

#: Dimensions that the agent's inputs add.
ADDED = {"cpu": {"cpu"}, "disk": {"path", "fstype"}, "diskio": {"name"}, "net": {"interface"}}
ADDED |= {"procstat": {"exe", "process_name"}}


def collected(agent):
    """What the agent measures: (metric, the dimensions that the configuration gives it, those that the agent adds)."""
    for plugin, given in agent["metrics"]["metrics_collected"].items():
        for part in given if isinstance(given, list) else [given]:
            for measurement in part.get("measurement", []):
                yield f"{plugin}_{measurement}", part["append_dimensions"], ADDED.get(plugin, set()) | {"InstanceId"}


def statsd(tags):
    """What senders send; to nginx's tags the deep senders' may lack the role."""
    for name, (_kind, sender) in BY_STATSD.items():
        own = tags if sender == "nginx" else {key: tags[key] for key in ("Fleet", "Cell")}
        yield name, own, {"metric_type", "InstanceId"}


def rolled_up(agent, given, added):
    """As the agent does it: over each set of dimensions that a metric has all of, and others besides."""
    for names in agent["metrics"]["aggregation_dimensions"]:
        if set(names) < set(given) | added:
            yield {name: given[name] for name in names}


def sent(host):
    """Every summed-up metric of a host: (name, its dimensions)."""
    for name, given, added in [*collected(host["agent"]), *statsd(host["nginx"])]:
        for dimensions in rolled_up(host["agent"], given, added):
            yield name, frozenset(dimensions.items())


# --- What is read ----------------------------------------------------------------------------------------------------


def read_by_alarms(host):
    for alarm in host["alarms"]:
        if alarm["namespace"] == "ChromaFleet":
            yield alarm["metric_name"], frozenset(alarm["dimensions"].items())
        for query in alarm["metrics"]:
            metric = query.get("metric_stat", {}).get("metric", {})
            assert metric.get("namespace") != "ChromaFleet", "compare these as well"


def rows(host):
    (dashboard,) = host["dashboards"]
    for widget in dashboard["body"]["widgets"]:
        yield from widget["properties"].get("metrics", [])


def read_by_widgets(host):
    for row in rows(host):
        names = [part for part in row if isinstance(part, str)]
        if names[:1] == ["ChromaFleet"]:
            yield names[1], frozenset(zip(names[2::2], names[3::2], strict=True))


def as_of(role, metrics):
    """Those that this role's hosts send."""
    return {(name, dimensions) for name, dimensions in metrics if dict(dimensions).get("Role", role) == role}


def test_what_is_read_is_sent(writer):
    read = {*read_by_alarms(writer), *read_by_widgets(writer)}
    assert len({name for name, _dimensions in read}) > 15
    assert as_of("writer", read) - set(sent(writer)) == set()
    # Readers send the same as a writer, with another role.
    as_writer = {
        (name, frozenset({**dict(found), "Role": "writer"}.items())) for name, found in read if "Role" in dict(found)
    }
    assert as_writer - set(sent(writer)) == set()


def test_what_is_searched_for_is_sent_by_chroma(writer):
    searches = [row[0]["expression"] for row in rows(writer) if isinstance(row[0], dict)]
    assert searches
    service = writer["chroma"]["config"]["open_telemetry"]["service_name"]
    for search in searches:
        assert search.startswith(f'SEARCH(\'Namespace="ChromaFleet" "{service}" ')
        assert set(re.findall(r'MetricName="([^"]+)"', search)) <= BY_OTLP


def test_nginx_sends_what_is_listed():
    lua = "".join(path.read_text() for path in (ROOT / "roles/nginx/files/lua/chromafleet").glob("*.lua"))
    counts = set(re.findall(r'count\("(\w+)"\)', lua)) | set(re.findall(r'= "(Cache\w+)"', lua))
    times = set(re.findall(r'\btime\("(\w+)"', lua))
    listed = {name: kind for name, (kind, sender) in BY_STATSD.items() if sender == "nginx"}
    assert listed == dict.fromkeys(counts, "c") | dict.fromkeys(times, "ms")


def test_hosts_have_every_dimension(writer):
    own = {"Fleet": "demo", "Cell": "main", "Role": "writer"}
    assert writer["nginx"] == own
    assert {json.dumps(given, sort_keys=True) for _name, given, _added in collected(writer["agent"])} == {
        json.dumps({**own, "AZ": "us-east-1b"}, sort_keys=True)
    }


def test_the_estimate_counts_what_is_sent(writer):
    """Of a writer with one interface and two disks, Chroma on two processors; of a cell with readers."""
    several = {"disk": 2, "diskio": 2}
    host = sum(several.get(name.split("_")[0], 1) for name, _given, _added in collected(writer["agent"]))
    host += sum("on readers" not in sender for _kind, sender in BY_STATSD.values())
    chroma = int(re.search(r"that makes (\d+) metrics a host", DOCS)[1])
    assert COMMON["fleet_cost_agent_metrics"] == host + chroma
    cell = {(name, frozenset(dict(dimensions))) for name, dimensions in sent(writer)}
    by_role = sum("Role" in dimensions for _name, dimensions in cell)
    assert COMMON["fleet_cost_cell_metrics"] == len(cell) + by_role


# --- OTLP ------------------------------------------------------------------------------------------------------------


def receivers(host):
    agent = host["agent"]
    metrics = agent["metrics"]["metrics_collected"].get("otlp")
    return metrics, agent.get("traces", {}).get("traces_collected", {}).get("otlp")


def test_chroma_sends_where_the_agent_listens(hosts):
    bridge = {"grpc_endpoint": "172.28.0.1:4317"}
    assert receivers(hosts["writer"]) == (bridge, None)
    assert receivers(hosts["traced"]) == (bridge, bridge)
    for host in (hosts["writer"], hosts["traced"]):
        assert host["chroma"]["config"]["open_telemetry"]["endpoint"] == "http://172.28.0.1:4317"
    # docker0 has the first address of the first pool.
    pool = yaml.safe_load((ROOT / "roles/docker/defaults/main.yml").read_text())["docker_address_pools"][0]
    assert ipaddress.ip_network(pool["base"])[1] == ipaddress.ip_address(COMMON["fleet_bridge_address"])


def test_one_switch_sends_elsewhere_or_nowhere(hosts):
    assert receivers(hosts["elsewhere"]) == receivers(hosts["nowhere"]) == (None, None)
    assert hosts["elsewhere"]["chroma"]["config"]["open_telemetry"]["endpoint"] == "http://otel.example.com:4317"
    assert hosts["nowhere"]["chroma"] == {"config": {}, "environment": {}}


def test_hosts_may_write_traces_only_where_the_agent_gets_some(hosts):
    assert {name: host["traces"] for name, host in hosts.items()} == {
        "writer": False,
        "traced": True,
        "elsewhere": False,
        "nowhere": False,
    }


def test_chroma_logs_requests_only_where_it_must(hosts):
    levels = {name: host["chroma"]["environment"].get("RUST_LOG") for name, host in hosts.items()}
    assert levels == {"writer": "warn", "traced": None, "elsewhere": None, "nowhere": None}


# --- Logs ------------------------------------------------------------------------------------------------------------


def files(host):
    return {file["file_path"]: file for file in host["agent"]["logs"]["logs_collected"]["files"]["collect_list"]}


def test_log_groups_are_those_that_are_made(writer):
    made = {group["name"] for group in writer["log_groups"]}
    entries = [*files(writer).values(), *writer["agent"]["logs"]["logs_collected"]["journald"]["collect_list"]]
    assert {entry["log_group_name"] for entry in entries} == made
    # How long they are kept is said there, and not here as well.
    assert [entry for entry in entries if "retention_in_days" in entry] == []


#: The agent's own translation.
TIMES = {
    "%Y": r"\d{4}",
    "%m": r"\s{0,1}\d{1,2}",
    "%d": r"\s{0,1}\d{1,2}",
    "%H": r"\d{2}",
    "%M": r"\d{2}",
    "%S": r"\d{2}",
}


def time_in(file, line):
    found = re.search(re.sub(r"%\w", lambda match: TIMES[match[0]], file["timestamp_format"]), line)
    return found and found[0]


def is_kept(file, line):
    assert all(one["type"] == "exclude" for one in file["filters"])
    return not any(re.search(one["expression"], line) for one in file["filters"])


def access_line(**values):
    """A line of nginx's access log, as its configuration has it."""
    template = (ROOT / "roles/nginx/templates/nginx.conf.j2").read_text()
    text = "".join(re.findall(r"^\s+'(.*)'", re.search(r"log_format .*?;\n", template, re.S)[0], re.M))
    line = re.sub(r"\$(\w+)", lambda match: str(values.get(match[1], "0")), text)
    assert json.loads(line)
    return line


def test_access_log(writer):
    file = files(writer)["/var/log/nginx/access.log"]
    now = {"time_iso8601": "2026-08-08T12:00:00+02:00"}
    assert time_in(file, access_line(**now)) == "2026-08-08T12:00:00"
    assert is_kept(file, access_line(**now, request_uri="/api/v2/tenants/t/databases/d/collections", status=200))
    for path in ("/health", "/ready", "/api/v1/health", "/api/v2/heartbeat"):
        assert not is_kept(file, access_line(**now, request_uri=path, status=200))
        assert is_kept(file, access_line(**now, request_uri=path, status=503))
    assert is_kept(file, access_line(**now, request_uri="/healthy", status=200))


def docker_line(text):
    return json.dumps({"log": text + "\n", "stream": "stdout", "time": "2026-11-25T03:08:37.1Z"}, separators=(",", ":"))


def test_container_log(writer):
    file = files(writer)["/var/lib/docker/containers/*/*-json.log"]
    assert file["publish_multi_logs"] is True
    # As Chroma writes them.
    head = "  \x1b[2m2026-11-25T03:08:36.041124Z\x1b[0m "
    info = head + "\x1b[32m INFO\x1b[0m  \x1b[1;32mtenant_name\x1b[0m\x1b[32m: default_tenant\x1b[0m"
    error = head + "\x1b[31mERROR\x1b[0m  \x1b[31mFailed to export metrics\x1b[0m"
    assert [
        is_kept(file, docker_line(text)) for text in (info, "    \x1b[2;3mat\x1b[0m x.rs:1", "    \x1b[2;3min\x1b[0m x")
    ] == [
        False,
        False,
        False,
    ]
    assert is_kept(file, docker_line(error))
    assert is_kept(file, docker_line("[2026-11-25 03:08:36: INFO/MainProcess] celery ready"))
    assert time_in(file, docker_line(error)) == "2026-11-25T03:08:36"


def test_logs_of_several_lines(writer):
    lines = {
        "/var/log/nginx/error.log": "2026/08/08 12:00:00 [error] 7#7: *1 lua entry thread aborted: runtime error",
        "/var/log/cloud-init.log": "2026-08-08 12:00:00,123 - util.py[WARNING]: failed",
    }
    for path, line in lines.items():
        file = files(writer)[path]
        assert file["multi_line_start_pattern"] == "{timestamp_format}"
        assert line.startswith(time_in(file, line))
        assert time_in(file, "stack traceback:") is None
    assert not is_kept(files(writer)["/var/log/cloud-init.log"], "2026-08-08 12:00:00,123 - util.py[DEBUG]: x")
