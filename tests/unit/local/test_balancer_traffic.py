"""What the local load balancer says in CloudWatch, and what is planned for a point in time."""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from localcloud.balancer.traffic import Traffic, metrics, percentile
from localcloud.schedule import due

BALANCER = "app/demo/1"


def test_requests_are_summed_up_for_each_target_group() -> None:
    found = metrics({"demo-main-reader_0a1b": [(200, "10"), (200, "20"), (502, "3000"), (503, "-1")]}, BALANCER)
    own = [{"Name": "LoadBalancer", "Value": BALANCER}]
    whose = [{"Name": "TargetGroup", "Value": "targetgroup/demo-main-reader/0a1b"}, *own]
    said = {row["MetricName"]: (row["Value"], row["Dimensions"]) for row in found}
    assert said == {
        "RequestCount": (3, whose),
        "HTTPCode_Target_5XX_Count": (1, whose),
        "TargetResponseTime": (3.0, whose),
        # Nobody answered that one.
        "HTTPCode_ELB_5XX_Count": (1, own),
    }


def test_what_no_target_answered_belongs_to_none() -> None:
    assert metrics({"listener_443": [(301, "-1")], "demo-main-reader_0a1b": [(200, "-1")]}, BALANCER) == []


def test_an_api_that_does_not_answer_is_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []

    class Api:
        def put_metric_data(self, Namespace: str, MetricData: list[dict[str, Any]]) -> None:  # noqa: N803
            told.append(MetricData[0]["Value"])
            if len(told) == 1:
                raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")

    monkeypatch.setattr("localcloud.balancer.traffic.client", lambda service: Api())
    monkeypatch.setattr("localcloud.balancer.traffic.PERIOD", 0.05)
    listening = Traffic(tmp_path, BALANCER)
    listening.start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as haproxy:
        haproxy.settimeout(5)  # nobody takes anything from a thread that has ended
        deadline = time.monotonic() + 10
        while len(told) < 2 and time.monotonic() < deadline:
            haproxy.sendto(b"demo-main-reader_0a1b 200 10", str(tmp_path / "requests.sock"))
            time.sleep(0.01)
    listening.ended.set()
    listening.join(5)
    assert len(told) >= 2
    assert not listening.is_alive()


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert percentile([float(n) for n in range(100)], 0.5) == 49.0


@pytest.mark.parametrize(
    ("recurrence", "expected"),
    [
        ("30 8 5 3 *", True),
        ("31 8 5 3 *", False),
        ("30 8 5 4 *", False),
        ("30 8 4 3 *", False),
        ("*/15 7-9 * * 4", True),
        ("*/15 7-9 * * 5", False),
        ("0,30 * * * *", True),
        ("", False),
    ],
)
def test_what_is_planned_happens_in_its_minute(recurrence: str, expected: bool) -> None:
    assert due(recurrence, datetime(2026, 3, 5, 8, 30, tzinfo=UTC)) is expected
