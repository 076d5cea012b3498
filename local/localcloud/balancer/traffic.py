"""What a load balancer says of its requests in CloudWatch: HAProxy tells each one, and this sums them up."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.aws import client
from localcloud.patches.cloudwatch import percentile

log = logging.getLogger("traffic")

#: AWS tells them once a minute; tests can't wait so long (seconds).
PERIOD = 5.0
NAMESPACE = "AWS/ApplicationELB"
SERVER_ERRORS = 500
#: What HAProxy says for the time until the answer where there was none.
NO_ANSWER = "-1"


def metrics(requests: dict[str, list[tuple[int, str]]], balancer: str) -> list[dict[str, Any]]:
    """The data of one period; `requests` has `(status, milliseconds)` by the name of the backend."""
    data: list[dict[str, Any]] = []
    own = [{"Name": "LoadBalancer", "Value": balancer}]

    def say(metric: str, value: float, dimensions: list[dict[str, str]]) -> None:
        data.append({"MetricName": metric, "Value": value, "Dimensions": dimensions})

    refused = 0
    for backend, found in requests.items():
        answered = [(status, float(took) / 1000) for status, took in found if took != NO_ANSWER]
        refused += sum(status >= SERVER_ERRORS for status, took in found if took == NO_ANSWER)
        if not answered or "_" not in backend:
            continue
        name, _, ident = backend.rpartition("_")
        whose = [{"Name": "TargetGroup", "Value": f"targetgroup/{name}/{ident}"}, *own]
        say("RequestCount", len(answered), whose)
        say("HTTPCode_Target_5XX_Count", sum(status >= SERVER_ERRORS for status, _ in answered), whose)
        say("TargetResponseTime", percentile([took for _, took in answered], 0.99), whose)
    if refused:
        say("HTTPCode_ELB_5XX_Count", refused, own)
    return data


class Traffic(threading.Thread):
    """Listens to one HAProxy."""

    def __init__(self, folder: Path, balancer: str) -> None:
        super().__init__(name="traffic", daemon=True)
        self.balancer = balancer
        path = folder / "requests.sock"
        path.unlink(missing_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        path.chmod(0o666)
        self.socket.settimeout(PERIOD)
        self.ended = threading.Event()
        self.requests: dict[str, list[tuple[int, str]]] = defaultdict(list)

    def run(self) -> None:
        """Until the load balancer is gone."""
        told = time.monotonic()
        while not self.ended.is_set():
            with contextlib.suppress(TimeoutError, ValueError):
                backend, status, took = self.socket.recv(512).decode().split()
                self.requests[backend].append((int(status), took))
            if time.monotonic() - told >= PERIOD:
                told, requests, self.requests = time.monotonic(), self.requests, defaultdict(list)
                self._tell(metrics(requests, self.balancer))
        self.socket.close()

    def _tell(self, data: list[dict[str, Any]]) -> None:
        if not data:
            return
        try:
            client("cloudwatch").put_metric_data(Namespace=NAMESPACE, MetricData=data)
        except (BotoCoreError, ClientError) as error:
            log.warning("the requests of %.0f seconds are not in CloudWatch: %s", PERIOD, error)
