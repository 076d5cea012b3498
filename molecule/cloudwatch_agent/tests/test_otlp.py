"""A real Chroma, configured as group_vars do it, sends its metrics and traces to where an agent would listen.

The receiver is this test, on the bridge of the Docker that the hosts run on; Chroma is in a network of its own, as
Compose makes one. That is the way that the agent's receiver is reached on a host.
"""

import ipaddress
import operator
import re
import subprocess
import time
from collections import Counter
from concurrent import futures
from pathlib import Path

import grpc
import httpx
import jinja2.nativetypes
import pytest
import yaml
from chromadb import HttpClient
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

ROOT = Path(__file__).parents[3]
IMAGE = "chromafleet-local/chroma:1.5.9"
NAME = "cloudwatch-agent-chroma"
QUERIES = 40


class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self):
        self.seen, self.dimensions = set(), set()

    def Export(self, request, context):  # noqa: N802 (gRPC's name)
        for resource in request.resource_metrics:
            self.dimensions |= {(one.key, one.value.string_value) for one in resource.resource.attributes}
            self.seen |= {metric.name for scope in resource.scope_metrics for metric in scope.metrics}
        return metrics_service_pb2.ExportMetricsServiceResponse()


class Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self):
        self.spans = Counter()

    def Export(self, request, context):  # noqa: N802 (gRPC's name)
        for resource in request.resource_spans:
            self.spans.update(span.name for scope in resource.scope_spans for span in scope.spans)
        return trace_service_pb2.ExportTraceServiceResponse()

    def queries(self):
        return sum(count for name, count in self.spans.items() if name.endswith("/query"))


def docker(*arguments):
    done = subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True)
    return done.stdout + done.stderr if arguments[0] == "logs" else done.stdout.strip()


def until(condition, what):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def environment_of(traced):
    """The variable of group_vars."""
    template = yaml.safe_load((ROOT / "group_vars/common.yml").read_text())["fleet_otlp_environment"]
    jinja = jinja2.nativetypes.NativeEnvironment()
    jinja.filters["combine"] = operator.or_
    return jinja.from_string(template).render(fleet_role="writer", fleet_traced=traced)


@pytest.fixture(scope="module")
def receiver():
    """The bridge's address and what arrives there."""
    # Docker tells the gateway only where it was given one; otherwise it is the first address.
    subnet = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}")
    bridge = str(ipaddress.ip_network(subnet)[1])
    metrics, traces = Metrics(), Traces()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(metrics, server)
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(traces, server)
    port = server.add_insecure_port(f"{bridge}:0")
    server.start()
    yield f"http://{bridge}:{port}", metrics, traces
    server.stop(0).wait()


@pytest.fixture
def chroma(receiver, tmp_path):
    """Start a Chroma of which this share of the requests is traced, and ask it some things."""

    def run(traced):
        # By default metrics go once a minute.
        environment = environment_of(traced) | {"OTEL_METRIC_EXPORT_INTERVAL": "1000"}
        variables = [part for name, value in environment.items() for part in ("--env", f"{name}={value}")]
        telemetry = {"endpoint": receiver[0], "service_name": "demo-main"}
        config = {"port": 8000, "listen_address": "0.0.0.0", "persist_path": "/data", "open_telemetry": telemetry}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        docker("network", "create", NAME)
        mount = f"{tmp_path}/config.yaml:/config.yaml:ro"
        port = ("--publish", "127.0.0.1::8000")
        docker("run", "--detach", "--name", NAME, "--network", NAME, *port, "--volume", mount, *variables, IMAGE)
        client = connected(int(docker("port", NAME, "8000").rpartition(":")[2]))
        things = client.create_collection("things")
        things.add(ids=["a", "b"], embeddings=[[1, 2], [2, 3]], documents=["x", "y"])
        for _ in range(QUERIES):
            things.query(query_embeddings=[[1, 2]], n_results=1)
        return docker("logs", NAME)

    yield run
    docker("rm", "--force", NAME)
    docker("network", "rm", NAME)


def connected(port):
    clients = []

    def connects():
        try:
            clients.append(HttpClient(host="127.0.0.1", port=port))
        except (ValueError, httpx.TransportError):
            return False
        return True

    until(connects, "Chroma does not answer")
    return clients[0]


def test_metrics_arrive_and_traces_only_where_they_are_wanted(chroma, receiver):
    _endpoint, metrics, traces = receiver
    log = chroma(traced=0)
    until(lambda: {"collection_add", "collection_query", "tokio_active_tasks"} <= metrics.seen, metrics.seen)
    # What they are found by, and that no container's id is among it.
    assert metrics.dimensions == {("service.name", "demo-main"), ("service.pod_name", "writer")}
    listed = re.search(r"```\n(.+?)```", (ROOT / "docs/metrics.md").read_text(), re.S)[1].split()
    assert metrics.seen - set(listed) == set()
    assert traces.spans == {}
    assert "INFO" not in log


def test_all_requests_are_traced_where_that_is_wanted(chroma, receiver):
    _endpoint, _metrics, traces = receiver
    chroma(traced=1)
    until(lambda: traces.queries() == QUERIES, traces.spans)
