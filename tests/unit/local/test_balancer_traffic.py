"""What the local load balancer says in CloudWatch, and what is planned for a point in time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from localcloud.balancer.traffic import metrics, percentile
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
